"""Some rows of a store seen from above: their first two principal components, or UMAP."""

import warnings

import numpy as np

from srmfast.engine import prepare
from srmfast.engine.classes import Classes
from srmfast.engine.stored import to_floats
from srmfast.errors import InputError, require

KINDS = ("pca", "umap")
MOST = 4096  # rows drawn
_RUNS = 64  # places in the store where they are read, so that sorted classes are all met


def look_from_above(source, kind, request, resources, *, limit=None, concepts=None, concept_names=None):
    """Place some rows in two dimensions.

    Parameters
    ----------
    source : array, path, Store
    kind : {"pca", "umap"}
        UMAP needs umap-learn.
    request, resources : Request, Resources
        Which rows take part, and their labels.
    limit : float, optional
        Rows with a longer norm are left out: what `max_norm` of the request has come to.
    concepts, concept_names : optional
        As in `srmfast.neurons`; a row is drawn in the colour of its first concept.

    Returns
    -------
    points : ndarray, (n, 2) float64
    classes : ndarray, (n,) str
    made : str
        How, for people.
    """
    if kind not in KINDS:
        raise InputError(f"a map must be one of {', '.join(KINDS)}, got {kind!r}")
    umap = require("umap", purpose="a UMAP of the rows", extra="umap") if kind == "umap" else None
    (member,) = prepare([("", source)], [], request, resources, compiles=False, single=True)
    try:
        rows, absolute = _some_rows(member, np.inf if limit is None else limit)
        classes = Classes.of(member, concepts, concept_names)
        names = np.append(classes.names, "none")
        table = classes.table(absolute)
        codes = np.where(table.any(axis=1), table.argmax(axis=1), -1) if classes.several else table
    finally:
        if member.owned:
            member.store.close()
    if len(rows) < 3:
        raise InputError(f"a map needs at least 3 usable rows, got {len(rows)}")
    if umap is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a seed means one thread
            return umap.UMAP(random_state=request.seed).fit_transform(rows), names[codes], "UMAP"
    from sklearn.decomposition import PCA

    made = PCA(2, svd_solver="covariance_eigh" if rows.shape[1] <= 1000 else "randomized", random_state=request.seed)
    points = made.fit_transform(rows)
    first, second = made.explained_variance_ratio_
    return points, names[codes], f"principal components ({first:.0%}, {second:.0%})"


def _some_rows(member, limit):
    """Return the usable ones of some rows at fixed places, (n, d) float64, and their absolute numbers."""
    store, size = member.store, MOST // _RUNS
    found, numbers = [np.empty((0, store.d))], [np.empty(0, np.int64)]
    for start in np.unique(np.linspace(0, max(store.n - size, 0), _RUNS).astype(np.int64)).tolist():
        stop = min(start + size, store.n)
        keep, _, _ = member.selection.keep(start, stop)
        kept = np.arange(stop - start) if keep is None else np.flatnonzero(keep)
        found.append(to_floats(store.read(start, stop)[kept], store.dtype))
        numbers.append(start + kept)
    rows, numbers = np.concatenate(found), np.concatenate(numbers)
    numbers, first = np.unique(numbers, return_index=True)
    rows = rows[first]
    norms = np.sqrt((rows**2).sum(axis=1))
    good = (norms > 0) & (norms <= limit) & np.isfinite(norms)
    return rows[good], numbers[good]
