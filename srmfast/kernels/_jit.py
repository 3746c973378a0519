"""The one place that says how kernels are compiled.

nogil            kernels run in a thread pool beside reader threads; Numba's own parallel layers fork badly
                 and abort when two Python threads enter them
cache            the second process starts in milliseconds: `_cache` keeps the code, for this text of all kernels
inline           `jit_inline` is for the few lines that run once an arc: passing the arrays would cost more than the arc.
                 Its code is part of its callers', so that there is nothing to keep
error_model      "numpy": a division by zero gives inf or NaN instead of a branch per division
fastmath         off in everything that decides a count: no contraction to FMA, no reordering. `jit_screen` allows
                 reordering and contraction, but never nnan or ninf: screens may only pass too much
"""

import numba

from srmfast.kernels._cache import keep

_OPTIONS = {"nogil": True, "error_model": "numpy"}
_SCREEN = {"reassoc", "contract", "nsz", "arcp"}


def jit(function):
    """Compile a kernel that may decide a count."""
    return keep(numba.njit(**_OPTIONS)(function))


def jit_inline(function):
    """Compile a few lines into every kernel that calls them."""
    return numba.njit(**_OPTIONS, inline="always")(function)


def jit_screen(function):
    """Compile a kernel that screens: it may pass too much, and never decides."""
    return keep(numba.njit(**_OPTIONS, fastmath=_SCREEN)(function))
