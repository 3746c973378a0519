"""The one place that says how kernels are compiled.

nogil            kernels run in a thread pool beside reader threads; Numba's own parallel layers fork badly
                 and abort when two Python threads enter them
cache            the second process starts in milliseconds
inline           `jit_inline` is for the few lines that run once an arc: passing the arrays would cost more than the arc
error_model      "numpy": a division by zero gives inf or NaN instead of a branch per division
fastmath         off in everything that decides a count: no contraction to FMA, no reordering. `jit_screen` allows
                 reordering and contraction, but never nnan or ninf: screens may only pass too much
"""

import numba

jit = numba.njit(nogil=True, cache=True, error_model="numpy")
jit_inline = numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
jit_screen = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
