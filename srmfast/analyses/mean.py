"""The mean of the rows of a store, found in one reading and kept in a file."""

import math

from srmfast.archive import save_array
from srmfast.engine import find_mean, prepare
from srmfast.engine.events import ignore


def write_mean(store, path, request, resources, *, checkpoint=None, on_event=ignore):
    """Find the mean of the rows that a request selects and write it.

    Parameters
    ----------
    store : Store, array or path
    path : str or Path
        The .npy file to be, (d,) float64.
    request, resources : Request, Resources
    checkpoint : Checkpoint, optional
    on_event : callable

    Returns
    -------
    str
        What was done, for people.
    """
    (member,) = prepare([("", store)], [], request, resources, on_event=on_event, apart=True)
    mean, rows, limit = find_mean(member, request, resources, checkpoint=checkpoint, on_event=on_event)
    save_array(path, mean)
    norm = f" --max-norm abs:{limit!r}" if limit < math.inf else ""
    return f"mean of {rows:,} rows of width {mean.size:,}, written to {path}\nnext: srmfast run STORE --centre {path}{norm}"
