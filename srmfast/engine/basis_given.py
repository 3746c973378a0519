"""The basis of a store, from whatever a run is given."""

from pathlib import Path

from srmfast.bases import Basis, load_basis
from srmfast.errors import OtherWidth, shown
from srmfast.stores import load_column

_ARRAY_FILES = (".h5", ".hdf5", ".hdf", ".nc", ".zarr", ".zip")  # bases in formats that only stores can read


def basis_for(name, spec, store, request, *, memory):
    """Load a basis for a store.

    Parameters
    ----------
    name : str
        Empty to take its own.
    spec : Basis, array, path or name
    store : Store
    request : Request
    memory : int
        Bytes that vectors made by name may take.

    Returns
    -------
    Basis
    """
    if not isinstance(spec, Basis):
        shape = store.describe()["array_shape"]
        axes = {axis: shape[axis] for axis in store.row_axes}
        path = shown(str(spec)).partition("::")[0] if isinstance(spec, (str, Path)) else ""
        if Path(path).suffix.lower() in _ARRAY_FILES or "://" in path:
            name, spec = name or Path(path).stem, load_column(spec)
        spec = load_basis(
            spec,
            store.d,
            name=name or None,
            transpose=request.basis_transpose,
            seed=request.seed,
            axes=axes,
            memory=memory,
        )
    if spec.vectors.shape[1] != store.d:
        raise OtherWidth(
            f"basis vectors must be as wide as the activations (d = {store.d}), got {spec.vectors.shape} in {spec.name}"
        )
    inner = getattr(store, "inner", None)
    return spec if inner is None else inner.change_basis(spec)
