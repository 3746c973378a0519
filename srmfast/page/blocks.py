"""Arrays of numbers as short text: differences along the last axis, deflated; `decode.js` is the other half."""

import base64
import zlib

import numpy as np

_STEPS = 1 << 20  # of the largest value, in which rounded curves are kept
_LEVEL = 9


def encode(values, scale=1):
    """Encode integers for the page.

    Parameters
    ----------
    values : ndarray of int, at least 1-D
        Below 2⁵², as the page counts in floats.
    scale : float
        What the page multiplies them with.

    Returns
    -------
    dict
        shape; scale; width, the bytes of a number; data: base64 of deflated bytes, the lowest of every number first,
        then the next of every number. A number stands for its difference d from the one before in its row (the first
        for itself), as 2d when d ≥ 0 and −2d − 1 otherwise.
    """
    values = np.asarray(values, np.int64)
    steps = np.diff(values, axis=-1, prepend=0)
    folded = np.where(steps >= 0, 2 * steps, -2 * steps - 1).astype("<u8").reshape(-1)
    top = int(folded.max(initial=0))
    width = max(1, (top.bit_length() + 7) // 8)
    planes = folded.view(np.uint8).reshape(-1, 8)[:, :width].T
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(planes), _LEVEL)).decode()
    return {"shape": list(values.shape), "scale": scale, "width": width, "data": data}


def encode_rounded(values):
    """Encode floats for drawing: each to a millionth of the largest, as the page's pixels need no more.

    Parameters
    ----------
    values : ndarray of float, at least 1-D
        Finite.

    Returns
    -------
    dict
        As of `encode`.
    """
    values = np.asarray(values, float)
    scale = float(np.abs(values).max(initial=0.0)) / _STEPS or 1.0
    return encode(np.rint(values / scale).astype(np.int64), scale)
