"""Several results on one page: a line for each, and their pictures side by side."""

from srmfast.excerpts import finite, first_hit, number, plural
from srmfast.page.sections import Cell, Chart, Column, Section, Table
from srmfast.report import by_epsilon

SHOWN = 36  # pictures side by side, at most


def several(members, keys):
    """Return the section that compares results.

    Parameters
    ----------
    members : dict of str to Result
        By name.
    keys : list of str
        Under which the page holds their numbers.

    Returns
    -------
    Section
    """
    rows = []
    for name, result in members.items():
        at = first_hit(result)
        found = by_epsilon(result)[at]
        word, p, effect = ("not tested", None, None)
        if result.null_phase is not None:
            alignment = result.alignment()
            word = alignment.verdict + (", explained" if alignment.explained else "")
            p, effect = alignment.p, alignment.effect.size if alignment.effect.near + alignment.effect.far else None
        on, midway = found["on"], found["midway"]
        offset = "subtracted" if result.attrs.get("centred") else number(result.offset) if finite(result.offset) else ""
        rows.append(
            (
                Cell(name), Cell(word), _shown(p), Cell("" if effect is None else f"{effect:+.2f}", effect), _shown(found["epsilon"]),
                _shown(found["peak"]), _shown(on / midway if midway else None), _shown(found["isotropic"]),
                Cell(offset, result.offset if finite(result.offset) and offset != "subtracted" else None), Cell(f"{result.attrs['rows']['used']:,}", result.attrs["rows"]["used"]),
            )
        )  # fmt: skip
    columns = (
        Column("result", "store × basis"), Column("verdict", "explained: by the mean and the covariance of the rows alone"),
        Column("p", "of the verdict", True), Column("effect", "share nearer to the basis minus share nearer midway, −1 to 1", True),
        Column("ε", "of the columns that follow", True), Column("peak", "highest share of rows in the cone, mean of all planes", True),
        Column("on/midway", "that mean on the basis vectors over the same midway between them", True),
        Column("isotropic rows", "what they would give", True), Column("|mean|/rms", "near 1, the mean of the rows makes the picture", True),
        Column("rows", "used", True),
    )  # fmt: skip
    left = len(keys) - SHOWN
    drawn = Chart(
        "planes", {"panels": keys[:SHOWN]},
        f"{plural(len(keys), 'result')} side by side, each the share of rows inside the cone against the angle of the spotlight.",
        f"the first {SHOWN} of {len(keys)}" if left > 0 else "",
    )  # fmt: skip
    return Section(
        "Side by side",
        words=(
            "The same reading with other bases or treatments of the rows is what a picture is to be compared with.",
        ),
        charts=(drawn,),
        tables=(Table("A line for each result", columns, tuple(rows)),),
    )


def _shown(value):
    return Cell("") if value is None else Cell(number(float(value)), float(value))
