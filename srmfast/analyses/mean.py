"""The mean of the rows of a store, found in one reading and kept in a file."""

import math
import os
from pathlib import Path

import numpy as np

from srmfast.archive import save_array
from srmfast.engine import find_mean, prepare
from srmfast.engine.events import ignore
from srmfast.errors import InputError
from srmfast.stores import load_column


def write_mean(store, path, request, resources, *, replace=True, checkpoint=None, on_event=ignore):
    """Find the mean of the rows that a request selects and write it.

    Parameters
    ----------
    store : Store, array or path
    path : str or Path
        The .npy file to be, (d,) float64.
    request, resources : Request, Resources
    replace : bool
        Whether a file of another mean may be replaced.
    checkpoint : Checkpoint, optional
    on_event : callable

    Returns
    -------
    str
        What was done, for people.
    """
    (member,) = prepare([("", store)], [], request, resources, on_event=on_event, apart=True, single=True)
    mean, rows, limit = find_mean(member, request, resources, checkpoint=checkpoint, on_event=on_event)
    if not replace and os.path.exists(path) and not np.array_equal(load_column(path), mean):
        raise InputError(f"output must not exist yet, got {path}, which is another mean; use --force to replace it")
    save_array(path, mean)
    norm = f" --max-norm abs:{limit!r}" if limit < math.inf else ""
    inner = f" --inner-product {request.inner_product}" if isinstance(request.inner_product, (str, Path)) else ""
    said = f"mean of {rows:,} rows of width {mean.size:,}, written to {path}"
    return f"{said}\nnext: srmfast run STORE{inner} --centre {path}{norm}"
