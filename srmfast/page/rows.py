"""Where all rows went."""

from srmfast.page.sections import Cell, Column, Section, Table


def rows_section(attrs):
    """Return the row accounting of a result.

    Parameters
    ----------
    attrs : dict
        Of the result.

    Returns
    -------
    Section
    """
    rows = attrs["rows"]
    lines = [("used", rows["used"]), ("of zero norm", rows["zero_norm"]), ("not finite", rows["nonfinite"])]
    lines += [(f"masked: {rule}", count) for rule, count in (rows.get("masked") or {}).items()]
    lines += [("seen", rows["seen"])]
    shown = tuple(
        (Cell(name), Cell(f"{count:,}", count), Cell(f"{count / max(rows['seen'], 1):.2%}", count))
        for name, count in lines
    )
    kept = rows.get("zero_kept")
    return Section(
        "Rows",
        words=("Every row that was seen is accounted for: it was used, or it left for a reason given here.",),
        facts=(("Zero-norm rows", f"{kept:,} of them are among those used"),) if kept else (),
        tables=(
            Table("Where the rows went", (Column("rows"), Column("count", "", True), Column("share", "", True)), shown),
        ),
    )
