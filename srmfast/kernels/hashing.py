"""A 64-bit hash of the stored bytes of a row: equal rows have equal hashes, others differ but for one pair in 2⁶⁴."""

import numpy as np

from srmfast.kernels._jit import jit

LANES = 8
_PRIME = np.uint64(0x9FB21C651E98DF25)
_SEEDS = tuple(np.uint64((lane + 1) * 0x9E3779B97F4A7C15 % 2**64) for lane in range(LANES))
_SHIFT = np.uint64(32)


@jit
def hash_rows(words, which, out):
    """Hash some rows.

    Parameters
    ----------
    words : (n, m) uint64
        The bytes of each row, the last word filled up with zeros.
    which : (k,) int64
        The rows to hash.
    out : (k,) uint64, filled
    """
    m = words.shape[1]
    whole = m - m % LANES
    for r in range(which.shape[0]):
        row = words[which[r]]
        a, b, c, d, e, f, g, h = _SEEDS
        for w in range(0, whole, LANES):  # eight chains side by side: a step waits for the one before it
            a, b = _step(a, row[w]), _step(b, row[w + 1])
            c, d = _step(c, row[w + 2]), _step(d, row[w + 3])
            e, f = _step(e, row[w + 4]), _step(f, row[w + 5])
            g, h = _step(g, row[w + 6]), _step(h, row[w + 7])
        for w in range(whole, m):
            a = _step(a, row[w])
        a = _step(_step(_step(a, b), c), d)
        out[r] = _step(_step(_step(_step(a, e), f), g), h)


@jit
def _step(state, word):
    """Mix one word in; for either argument fixed it is a bijection of the other.

    The word is mixed by itself first: its highest bit, the sign of a value, would pass a product unchanged.
    """
    word *= _PRIME
    state = (state ^ word ^ (word >> _SHIFT)) * _PRIME
    return state ^ (state >> _SHIFT)
