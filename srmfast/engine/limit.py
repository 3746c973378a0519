"""The longest norm that a row may have: given, or a multiple of the median that one more reading finds."""

import math
from dataclasses import asdict, dataclass

from srmfast.engine.collect import SharedNorms
from srmfast.errors import InputError

RULE = "max-norm"  # how the rows it leaves out are accounted for
_GIVEN = "abs:"


@dataclass(frozen=True)
class NormLimit:
    """Rows with a norm above `limit`, as stored, are left out.

    Attributes
    ----------
    limit : float
        Infinite when there is none.
    multiple, median : float or None
        What it is the product of, unless it was given.
    """

    limit: float = math.inf
    multiple: float | None = None
    median: float | None = None

    def to_dict(self):
        """Return the fields for the Spec; None without a limit."""
        return None if self.limit == math.inf and self.multiple is None else asdict(self)


def check_max_norm(value):
    """Return `max_norm` as None, a multiple of the median (float) or "abs:LIMIT"."""
    if value is None:
        return None
    text = str(value).strip()
    given = text.startswith(_GIVEN)
    try:
        number = float(text.removeprefix(_GIVEN))
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf or isinstance(value, bool):
        raise InputError(
            f"max_norm must be a positive multiple of the median norm, or abs:LIMIT, got {value!r}; for example 10 or abs:523.7"
        )
    return f"{_GIVEN}{number!r}" if given else number


def needs_median(max_norm):
    """Whether the store is read once more for the median of its norms."""
    return isinstance(max_norm, float)


def given_limit(max_norm):
    """Return the limit that no reading has to find, or None."""
    if needs_median(max_norm):
        return None
    return NormLimit() if max_norm is None else NormLimit(float(max_norm.removeprefix(_GIVEN)))


def find_limit(max_norm, read):
    """Find the limit of the rows that all other rules keep.

    Parameters
    ----------
    max_norm : float, str or None
        From `check_max_norm`.
    read : callable
        Given a `SharedNorms`, reads the rows once and fills it.

    Returns
    -------
    limit : NormLimit
    norms : NormHistogram or None
        Of these rows, when they were read.
    """
    if not needs_median(max_norm):
        return given_limit(max_norm), None
    shared = SharedNorms()
    read(shared)
    norms = shared.value
    if not norms.total:
        return NormLimit(), None  # no usable row: the count says so
    return NormLimit(max_norm * norms.median, max_norm, norms.median), norms
