"""How many rows are exact repeats of another, looked for among rows that are the same whoever counts them."""

import functools

import numpy as np

LOOKED_AT = 1 << 18  # rows at most
_SHARE = 32  # one row of so many: hashing a row can cost what counting it costs
_FEW = 1 << 11  # rows that are always looked at, if there are so many
GROUP = 8  # neighbours that are looked at together: memory is read in runs
_SPAN = 1 << 12
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Repeats:
    """The hashes of the rows looked at and how often each occurred; parts of a store add up.

    Parameters
    ----------
    hashes : ndarray of uint64
        Sorted and distinct.
    counts : ndarray of int64
    """

    def __init__(self, hashes=np.empty(0, np.uint64), counts=np.empty(0, np.int64)):
        self.hashes, self.counts = hashes, counts

    @classmethod
    def of(cls, hashes):
        """Count hashes in any order."""
        hashes = np.sort(hashes)
        first = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]][: hashes.size])
        return cls(hashes[first], np.diff(np.r_[first, hashes.size]))

    def __add__(self, other):
        hashes, place = np.unique(np.concatenate([self.hashes, other.hashes]), return_inverse=True)
        counts = np.zeros(hashes.size, np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        return Repeats(hashes, counts)

    def to_arrays(self):
        """Return the hashes and the counts."""
        return self.hashes, self.counts

    @classmethod
    def from_arrays(cls, hashes, counts):
        """Make one of what `to_arrays` returned."""
        return cls(hashes, counts)

    def describe(self):
        """Return rows looked at, how many of them repeat another, and how often the commonest occurs."""
        looked_at = int(self.counts.sum())
        return {
            "looked_at": looked_at,
            "repeats": looked_at - self.hashes.size,
            "commonest": int(self.counts.max(initial=0)),
        }


def stride(rows):
    """Return of how many groups of rows one is looked at, `rows` being selected."""
    return max(1, -(-rows // min(max(rows // _SHARE, _FEW), LOOKED_AT)))


def looked_at(start, stop, step):
    """Return the absolute rows to look at: of each `step` groups of eight neighbours a pseudo-random one.

    Parameters
    ----------
    start, stop : int
        Absolute rows start … stop − 1.
    step : int

    Returns
    -------
    ndarray of int64
        In order.
    """
    if step == 1:
        return np.arange(start, stop)
    rows = [_span(number, step) for number in range(start // (_SPAN * step), -(-stop // (_SPAN * step)))]
    if not rows:
        return np.empty(0, np.int64)
    rows = rows[0] if len(rows) == 1 else np.concatenate(rows)
    return rows[rows.searchsorted(start) : rows.searchsorted(stop)]


@functools.lru_cache(maxsize=64)
def _span(number, step):
    """Return the rows to look at among `_SPAN` × step: those of many blocks at once, as finding them takes calls."""
    runs = _SPAN // GROUP
    run = np.arange(number * runs, (number + 1) * runs, dtype=np.uint64)
    mixed = (run + np.uint64(1)) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(32))) * _GOLDEN
    group = (run * np.uint64(step) + (mixed >> np.uint64(32)) % np.uint64(step)).astype(np.int64)
    return (group[:, None] * GROUP + np.arange(GROUP)).reshape(-1)
