"""The mean to centre by, where it is given."""

from pathlib import Path

import numpy as np

from srmfast.errors import InputError
from srmfast.stores import load_column


def given_mean(centre, store):
    """Return a mean that is given, as an array or a file, (d,) float64; None where it is found, or nothing is subtracted."""
    if isinstance(centre, (bool, np.bool_)) or centre is None:
        return None
    mean = np.asarray(load_column(centre) if isinstance(centre, (str, Path)) else centre)
    if mean.shape != (store.d,) or mean.dtype.kind not in "iuf" or not np.isfinite(mean).all():
        raise InputError(
            f"the mean to centre by must be {store.d} finite numbers, got {mean.dtype} of shape {mean.shape}"
        )
    return np.ascontiguousarray(mean, np.float64)
