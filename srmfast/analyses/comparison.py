"""In which fields two results differ, to the last count."""

from dataclasses import dataclass

import numpy as np

from srmfast.archive import VARIABLES
from srmfast.displayed import Displayed
from srmfast.results import Result
from srmfast.spec import differences

_OF_THE_RUN = ("provenance", "store_name", "store_location", "inputs")  # where and how, not what
_LONG = 60  # characters of a value that are shown


@dataclass(frozen=True, repr=False)
class Comparison(Displayed):
    """What differs between two results.

    Attributes
    ----------
    lines : tuple of str
        One for each difference; empty when there is none.
    numbers : int
        Integers that were compared.
    """

    lines: tuple
    numbers: int

    @property
    def same(self):
        """Whether no count and no field differs."""
        return not self.lines

    def _line(self):
        return (
            f"{len(self.lines):,} differences in {self.numbers:,} counts"
            if self.lines
            else f"the same, {self.numbers:,} counts"
        )

    def __str__(self):
        if self.same:
            return f"the same: {self.numbers:,} counts and every field of what was run"
        return "\n".join(self.lines)


def diff(a, b):
    """Compare two results.

    Parameters
    ----------
    a, b : Result or Results

    Returns
    -------
    Comparison
    """
    lines, numbers = [], 0
    mine, theirs = _members(a), _members(b)
    for key in [*mine, *(key for key in theirs if key not in mine)]:
        name = "/".join(key)
        if key not in mine or key not in theirs:
            lines.append(f"{name}: only in {'the first' if key in mine else 'the second'}")
            continue
        found, compared = _one(mine[key], theirs[key])
        lines += [f"{name}: {line}" if len(mine) > 1 else line for line in found]
        numbers += compared
    return Comparison(tuple(lines), numbers)


def _members(result):
    return {("", ""): result} if isinstance(result, Result) else dict(result)


def _one(a, b):
    """Return the lines about two results and how many integers were compared."""
    skipped = dict.fromkeys(_OF_THE_RUN)
    fields = differences(a.attrs | skipped, b.attrs | skipped)
    lines = [f"{name}: {_short(old)} and {_short(new)}" for name, old, new in fields if name != "spec_digest"]
    compared = 0
    for name in VARIABLES:
        first, second = getattr(a, name), getattr(b, name)
        if first is None and second is None:
            continue
        if first is None or second is None:
            lines.append(f"{name}: only in {'the second' if first is None else 'the first'}")
        elif np.shape(first) != np.shape(second):
            lines.append(f"{name}: shapes {np.shape(first)} and {np.shape(second)}")
        elif not np.array_equal(first, second):
            lines.append(f"{name}: {_how_much(np.asarray(first), np.asarray(second))}")
        elif np.asarray(first).dtype.kind in "iu":
            compared += np.size(first)
    return lines, compared


def _how_much(first, second):
    other = first != second
    text = f"{int(other.sum()):,} of {first.size:,} values differ"
    if first.dtype.kind in "iuf" and second.dtype.kind in "iuf":
        text += f", by up to {np.abs(first.astype(float) - second.astype(float))[other].max():g}"
    return text


def _short(value):
    text = "nothing" if value is None else str(value) or "nothing"
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
