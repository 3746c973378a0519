"""Write a named basis to a file and say how its vectors are spread."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srmfast.archive import check_output, save_array
from srmfast.bases import count_of, load_basis
from srmfast.displayed import Displayed
from srmfast.errors import InputError
from srmfast.spec import available_memory, format_bytes
from srmfast.thompson import energy


@dataclass(frozen=True, repr=False)
class BasisFile(Displayed):
    """A basis that was written.

    Attributes
    ----------
    path : str
    kind : str
    shape : tuple of int
        (k, d).
    energy : float
        Σ_{i≠j} (b_i·b_j)/‖b_i − b_j‖ (paper 2505.13471, Eqns 16 and 17).
    cosine_min, cosine_max : float
        Extremes of b_i·b_j over pairs.
    standard_angle : float
        Smallest angle between a vector and a coordinate axis, in degrees.
    """

    path: str
    kind: str
    shape: tuple
    energy: float
    cosine_min: float
    cosine_max: float
    standard_angle: float

    def _line(self):
        return f"{self.kind}, {self.shape[0]:,} vectors of width {self.shape[1]:,}, {self.path}"

    def __str__(self):
        k, d = self.shape
        return "\n".join(
            [
                f"{self.kind}: {k:,} unit vectors of width {d:,}, written to {self.path}",
                f"  energy                     {self.energy:.6f}",
                f"  cosine between vectors     {self.cosine_min:+.6f} to {self.cosine_max:+.6f}",
                f"  angle to the nearest axis  {self.standard_angle:.2f} degrees",
            ]
        )


def write_basis(kind, d, path, *, seed=0, force=False):
    """Build a named basis and save it as a .npy file of shape (k, d).

    Parameters
    ----------
    kind : str
        standard, plusminus, simplex, random:K or thompson:K.
    d : int
        Width of the activations.
    path : str or Path
        A .npy file to be.
    seed : int
    force : bool
        Replace an existing file.

    Returns
    -------
    BasisFile

    Raises
    ------
    InputError
        The file exists, is no .npy or cannot be written; or the basis cannot be built.
    """
    path = Path(path)
    if path.suffix != ".npy":
        raise InputError(f"a basis is written as .npy, got {path}; use {path.with_suffix('.npy')}")
    check_output(path, force=force, folder=False)
    k = count_of(kind, d)
    need = 3 * 8 * k**2
    if d > 1 and need > available_memory():
        raise InputError(
            f"the cosines between the vectors of a written basis must fit into memory, but {k:,} x {k:,} of them take "
            f"{format_bytes(need)} of {format_bytes(available_memory())}; srmfast run makes {kind} itself: --basis {kind}"
        )
    basis = load_basis(kind, d, seed=seed)
    save_array(path, basis.vectors)
    return BasisFile(str(path), kind, basis.vectors.shape, *_spread(basis.vectors))


def _spread(vectors):
    cosine = vectors @ vectors.T
    others = cosine[~np.eye(len(vectors), dtype=bool)]
    axis = np.degrees(np.arccos(min(1.0, np.abs(vectors).max())))
    return float(energy(vectors)[0]), float(others.min()), float(others.max()), float(axis)
