"""Other readings of the same result, in one table that says where they agree."""

import math

from srmfast.excerpts import number
from srmfast.page.sections import Cell, Column, Section, Table

_COLUMNS = (
    Column("reading"), Column("says", "what it would call the result"), Column("value", "with its 95 % interval", True),
    Column("p", "against random rotations of the basis", True), Column("counted", "whether it is one of those that are compared"),
    Column("in words"),
)  # fmt: skip


def opinions_section(result):
    """Return the second opinions on a result, None where there are none.

    Parameters
    ----------
    result : Result

    Returns
    -------
    Section or None
    """
    found = result.opinions()
    if not found.rows:
        return None
    rows = tuple(
        (
            Cell(one.reading), Cell(one.says), _value(one), Cell("") if math.isnan(one.p) else Cell(number(one.p), one.p),
            Cell("yes" if one.votes else "no"), Cell(one.words),
        )
        for one in found.rows
    )  # fmt: skip
    return Section("Second opinions", words=(found.overall,), tables=(Table("Other readings", _COLUMNS, rows),))


def _value(one):
    if math.isnan(one.value):
        return Cell("")
    interval = "" if math.isnan(one.low) else f" [{number(one.low)}, {number(one.high)}]"
    return Cell(number(one.value) + interval, one.value)
