"""How many rows have a norm in each bin of leading bits: one addition a row, as every run makes it."""

import numpy as np

from srmfast.kernels._jit import jit
from srmfast.kernels.decode import USED


@jit
def count_norms(norms, fate, start, shift, place, bins):
    """Count the norms of the rows used, from row `start` on, as far as their powers of two have a page.

    Parameters
    ----------
    norms : (n,) float64
    fate : (n,) uint8
        Rows that are not USED are passed over.
    start : int
    shift : int
        Bits of a float64 below those that make a bin.
    place : (2048,) int64
        Which page holds a biased exponent, −1 for none.
    bins : (pages, 2^(52 − shift)) int64, updated

    Returns
    -------
    int
        The first row that was not counted because its power of two has no page; n when all were.
    """
    bits, mask = norms.view(np.int64), bins.shape[1] - 1
    for r in range(start, norms.shape[0]):
        if fate[r] != USED:
            continue
        page = place[bits[r] >> 52]
        if page < 0:
            return r
        bins[page, (bits[r] >> shift) & mask] += 1
    return norms.shape[0]
