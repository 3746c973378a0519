"""What kind of row makes the peak: the strata of a result."""

import math

from srmfast.excerpts import number
from srmfast.page.sections import Cell, Column, Section, Table

_COLUMNS = (
    Column("rows by", "the family of strata; each holds every row once"), Column("stratum"), Column("rows", "used", True),
    Column("of rows", "their share of all rows", True), Column("of near", "their share of the (row, plane) pairs that point to a basis vector", True),
    Column("of peak", "their share of the count where the mean of all planes peaks", True), Column("effect", "of these rows", True),
    Column("without", "effect of all other rows, with its 95 % interval", True),
)  # fmt: skip


def strata_section(result):
    """Return the strata of a result, None where they were not told apart.

    Parameters
    ----------
    result : Result

    Returns
    -------
    Section or None
    """
    if result.stratum is None:
        return None
    found = result.strata()
    rows = tuple(
        (
            Cell(one.family), Cell(one.name), Cell(f"{one.rows:,}", one.rows), _share(one.share), _share(one.near_share),
            _share(one.peak_share), _effect(one.effect), _effect(one.without, one.low, one.high),
        )
        for one in found.strata
    )  # fmt: skip
    noted = [f"{one.family}: {one.name}" for one in found.noted]
    words = (
        f"Far more of the peak, or of the pairs along the basis, than of the rows: {'; '.join(noted)}." if noted else ""
    )
    return Section(
        "What kind of row makes the peak",
        words=(words,) if words else (),
        tables=(Table(f"Strata at ε = {number(found.epsilon)}", _COLUMNS, rows),),
    )


def _share(value):
    return Cell("") if math.isnan(value) else Cell(f"{value:.2%}", value)


def _effect(value, low=math.nan, high=math.nan):
    interval = "" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]"
    return Cell("") if math.isnan(value) else Cell(f"{value:+.2f}{interval}", value)
