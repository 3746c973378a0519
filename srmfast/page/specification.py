"""The sections of a specification curve: the verdict under every combination of choices, and what decides it."""

import math

from srmfast.excerpts import number
from srmfast.page.provenance import provenance
from srmfast.page.sections import Cell, Chart, Column, Section, Table

_HEADS = {
    "decided by": "What decides it", "together": "All readings together", "note": "Mind", "throughout": "The same in all",
    "not varied": "Not varied",
}  # fmt: skip
_COLUMNS = (
    Column("reading", "by effect, highest first", True), Column("verdict", "explained: mean and covariance of the rows alone bring it about"),
    Column("effect", "share nearer to the basis minus share nearer midway, with its 95 % interval", True),
    Column("least", "effect that would have been found four times out of five", True), Column("p", "of the verdict", True),
    Column("rows", "used", True),
)  # fmt: skip


def specification_section(curve, name, file, *, folded=False):
    """Return the section of a specification curve.

    Parameters
    ----------
    curve : SpecificationCurve
    name : str
    file : str or None
        Where it is saved.
    folded : bool

    Returns
    -------
    Section
    """
    lines = curve.summary().split("\n\n")[0].splitlines()
    facts, last = {}, ""
    for line in lines[1:]:
        head, words = line[2:14].strip(), line[14:].strip()
        if head:
            last = head
            facts.setdefault(last, []).append(words)
        else:
            facts[last][-1] += f" {words}"
    told = tuple(
        (_HEADS[head], words[0] if len(words) == 1 else tuple(words)) for head, words in facts.items() if head in _HEADS
    )
    headline = curve.headline()
    words = (
        f"{headline[:1].upper()}{headline[1:]}. A reading is one combination of the choices that could have been made otherwise: every one "
        "of them is here, so that none was picked for its verdict.",
    )
    ranked = curve.ranked()
    return Section(
        name, words=words, facts=told, charts=(_chart(ranked),), tables=(_table(curve, ranked),), parts=(provenance(curve, file),),
        folded=folded,
    )  # fmt: skip


def _chart(ranked):
    shown = [row for row in ranked if not math.isnan(row["effect"])]
    series = [
        {
            "name": verdict,
            "points": True,
            **{key: [row[field] if row["verdict"] == verdict and not math.isnan(row[field]) else None for row in shown]
               for key, field in (("values", "effect"), ("low", "low"), ("high", "high"))},
        }
        for verdict in dict.fromkeys(row["verdict"] for row in shown)
    ]  # fmt: skip
    data = {"x": [row["reading"] for row in shown], "series": series, "xlabel": "reading", "ylabel": "effect"}
    words = "Effect of every reading, highest first, from −1 (between the basis vectors) to +1 (along them), by its verdict."
    return Chart("curves", data, words, words)


def _table(curve, ranked):
    varied = [name for name, options in curve.choices if len(options) > 1]
    rows = []
    for row in ranked:
        known = not math.isnan(row["low"])
        interval = f" [{row['low']:+.2f}, {row['high']:+.2f}]" if known else ""
        effect = (
            Cell("no pair") if math.isnan(row["effect"]) else Cell(f"{row['effect']:+.2f}{interval}", row["effect"])
        )
        least = row["detectable"]
        options = (str(row[name]) if name != "ε" else number(row[name]) for name in varied)
        rows.append(
            (
                Cell(str(row["reading"]), row["reading"]), Cell(row["verdict"] + ", explained" * row["explained"]), effect,
                Cell("") if math.isinf(least) else Cell(number(least), least), Cell(number(row["p"]), row["p"]),
                Cell(f"{row['rows']:,}", row["rows"]), *map(Cell, options),
            )
        )  # fmt: skip
    return Table("Every reading", (*_COLUMNS, *map(Column, varied)), tuple(rows))
