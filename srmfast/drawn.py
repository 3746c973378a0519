"""Rows drawn from all that are used: those with the smallest keys, so that draws of any parts add up to that of the whole."""

import numpy as np

_STEP = 0x9E3779B97F4A7C15  # splitmix64: Steele, Lea and Flood, OOPSLA 2014
_LARGEST = np.uint64(2**64 - 1)


def keys_of(rows, seed):
    """Return a key for each absolute row, (n,) uint64: a bijection of 64-bit numbers that looks random.

    Parameters
    ----------
    rows : ndarray, (n,) int64
    seed : int
    """
    z = rows.astype(np.uint64) + np.uint64(_mixed(seed))
    z *= np.uint64(_STEP)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _mixed(seed):
    """Return a 64-bit number of a seed, so that neighbouring seeds do not draw nearly the same rows."""
    return int(np.random.SeedSequence([seed, _STEP]).generate_state(1, np.uint64)[0])


class DrawnRows:
    """The `size` rows with the smallest keys of all that were added; adds by `+`.

    Parameters
    ----------
    size, d : int
    keys : ndarray, (m,) uint64, optional
    about : ndarray, (m, 3) int64, optional
        Absolute row, label code and fold.
    values : ndarray, (m, d) float64, optional
        As stored.
    """

    def __init__(self, size, d, keys=None, about=None, values=None):
        self.size, self.d = size, d
        self.keys = np.empty(0, np.uint64) if keys is None else keys
        self.about = np.empty((0, 3), np.int64) if about is None else about
        self.values = np.empty((0, d)) if values is None else values

    @property
    def last(self):
        """A key above this one is not drawn any more."""
        return self.keys[-1] if self.keys.size == self.size else _LARGEST

    def __add__(self, other):
        keys = np.concatenate([self.keys, other.keys])
        order = np.argsort(keys, kind="stable")[: self.size]  # no two rows have one key
        about, values = (
            np.concatenate([mine, theirs])[order]
            for mine, theirs in ((self.about, other.about), (self.values, other.values))
        )
        return DrawnRows(self.size, self.d, keys[order], about, values)

    def to_arrays(self):
        """Return size and width, (2,) int64; keys as their bits with what is known of each row, (m, 4) int64; the rows."""
        about = np.concatenate([self.keys.view(np.int64)[:, None], self.about], axis=1)
        return np.array([self.size, self.d]), about, self.values

    @classmethod
    def from_arrays(cls, sizes, about, values):
        """Return the rows that `to_arrays` gave."""
        size, d = sizes.tolist()
        keys = np.ascontiguousarray(about[:, 0]).view(np.uint64)
        if values.shape != (keys.size, d) or keys.size > size or about.shape[1] != 4:
            raise ValueError("rows that were drawn do not fit together")
        return cls(size, d, keys, np.ascontiguousarray(about[:, 1:]), values)
