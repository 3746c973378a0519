"""Sets of unit vectors whose planes the spotlight turns in: built by name or read from a file."""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from srmfast.displayed import Displayed
from srmfast.errors import InputError, OtherWidth, meant
from srmfast.spec import available_memory, format_bytes, machine_memory
from srmfast.threads import each_range

KINDS = "standard", "plusminus", "simplex", "random", "thompson"
NAMES = "standard, plusminus, simplex, random:K, thompson:K"
FILES = ".npy, .npz::member, .txt or .csv"
UNIT = 1e-12  # rows this close to unit length keep their bytes, so that a saved basis loads as what was saved
NOTABLE = 1e-6  # rows farther from unit length than this were not meant to be unit
_PANEL = 32  # rows orthonormalised together; part of the definition of random:K, its bytes depend on it
_RANGE = 32  # rows looked at together


@dataclass(frozen=True, eq=False, repr=False)
class Basis(Displayed):
    """A set of privileged unit vectors.

    Attributes
    ----------
    vectors : ndarray, (k, d) float64, C-contiguous
        The vectors, one a row, of unit length.
    kind : str
        "standard", "plusminus", "random", "simplex", "thompson", "file" or "array".
    name : str
        What the result calls it.
    normalised : bool
        Whether a vector given was not of unit length (by more than 1e-6).
    metric : str
        Hash of the inner product that the vectors were changed for; "" for the Euclidean.
    """

    vectors: np.ndarray
    kind: str
    name: str
    normalised: bool = False
    metric: str = ""

    def _line(self):
        k, d = self.vectors.shape
        return f"{self.name}: {k:,} vectors of width {d:,}"

    @cached_property
    def sha256(self):
        """Hash of the shape and the bytes; of ±unit vectors, which can be long, of their columns and signs."""
        k, d = self.vectors.shape
        if self.selection is None:
            digest = hashlib.sha256(f"{k} {d} ".encode())
            digest.update(self.vectors.astype("<f8", copy=False))
        else:
            columns, signs = self.selection
            digest = hashlib.sha256(f"units {k} {d} ".encode())
            digest.update(columns.astype("<i8", copy=False))
            digest.update(signs.astype("<f8", copy=False))
        return digest.hexdigest()

    @cached_property
    def selection(self):
        """Columns, (k,) int64, and signs, (k,) float64, when every vector is exactly ±e_j, otherwise None.

        Coordinates along such a basis are entries of the row and need no product.
        """
        k = len(self.vectors)
        columns = np.empty(k, np.int64)
        for start in range(0, k, _RANGE):  # in pieces: a wide standard basis is mostly untouched memory
            rows = self.vectors[start : start + _RANGE]
            where, column = np.nonzero(rows)
            if not np.array_equal(where, np.arange(len(rows))):
                return None
            columns[start : start + _RANGE] = column
        signs = self.vectors[np.arange(k), columns]
        return (columns, signs) if (np.abs(signs) == 1.0).all() else None


def load_basis(spec, d, *, name=None, transpose=False, seed=0, axes=None, memory=None):
    """Build a basis for rows of width d.

    Parameters
    ----------
    spec : array (k, d), path or str
        Vectors as rows; a .npy, .npz::member, .txt or .csv file of them; or a name: `standard`, `plusminus`
        (e_0 … e_{d−1}, then their negatives), `simplex` (d + 1 vectors, every pair at cosine −1/d), `random:K`
        (orthonormal when K ≤ d, otherwise K unit vectors) or `thompson:K` (K vectors spread by repulsion).
    d : int
        Width of the rows that the basis is for.
    name : str, optional
        What the result calls it; the name, the file's stem or "basis" when omitted.
    transpose : bool
        The array or file holds vectors as columns, shape (d, k). Names are not affected.
    seed : int
        Seed of `random:K` and `thompson:K`.
    axes : dict of int to int, optional
        Sizes of the other axes of the array that the rows are of: what does not fit d may fit one of them.
    memory : int, optional
        Bytes that vectors made by name may take; those of this machine when omitted.

    Returns
    -------
    Basis

    Raises
    ------
    InputError
        Unknown name, missing or unreadable file, wrong rank or width, fewer than two vectors or dimensions, a zero
        vector or a non-finite entry.

    Examples
    --------
    >>> load_basis("plusminus", 3).vectors[[0, 3]]
    array([[ 1.,  0.,  0.],
           [-1.,  0.,  0.]])
    """
    if d < 2:
        raise InputError(f"rows must be at least 2 wide, because a plane needs two dimensions; got width {d}")
    if isinstance(spec, (str, os.PathLike)):
        spec = os.fspath(spec)
        kind, _, count = spec.partition(":")
        if kind in ("random", "thompson") and count[:1] != ":":
            _check_room(count_of(spec, d), d, memory)
            return _drawn(kind, count_of(spec, d), d, name or spec, seed)
        if spec in ("standard", "plusminus"):
            _check_room(count_of(spec, d), d, machine_memory())  # mostly zeros that are never touched
            return _signed_units(d, spec, name or spec)
        if spec == "simplex":
            _check_room(count_of(spec, d), d, memory)
            return Basis(_unit(_simplex(d))[0], spec, name or spec)
        return _given(*_read(spec), d, "file", name, transpose, axes)
    if hasattr(spec, "detach"):  # a torch tensor, which may be bfloat16, on a device or part of a graph
        spec = spec.detach().cpu().double()
    try:
        array = np.asarray(spec)
    except ValueError as error:
        raise InputError(f"a basis must be an array of shape (k, {d}): {error}") from None
    return _given(array, "basis", d, "array", name, transpose, axes)


def count_of(name, d):
    """Return how many vectors of width d the name of a basis stands for."""
    sizes = {"standard": d, "plusminus": 2 * d, "simplex": d + 1}
    if name in sizes:
        return sizes[name]
    kind, _, count = name.partition(":")
    k = int(count) if count.isdecimal() else 0
    if k < 2:
        raise InputError(f"{kind}:K needs a whole number K of at least 2, got {name!r}")
    return k


def _check_room(k, d, memory):
    """Refuse vectors that memory cannot hold before any of them is made."""
    room = available_memory() if memory is None else memory
    if 8 * k * d > room:
        raise InputError(
            f"the vectors of a basis must fit into memory, but {k:,} float64 vectors of width {d:,} take "
            f"{format_bytes(8 * k * d)} of {format_bytes(room)}; use fewer of them"
        )


def random_frame(k, d, rng):
    """Draw k orthonormal vectors, uniformly over all of them: the same bytes on every CPU.

    Parameters
    ----------
    k, d : int
        Number of vectors and width, k ≤ d.
    rng : numpy.random.Generator
        Consumed for k·d normal numbers.

    Returns
    -------
    ndarray, (k, d) float64

    Notes
    -----
    Gram–Schmidt twice with the pinned dot, a panel of rows at a time; QR of LAPACK would differ by CPU.
    """
    from srmfast.kernels.frames import orthonormalise, project_out

    rows = rng.standard_normal((k, d))
    for start in range(0, k, _PANEL):
        panel, before = rows[start : start + _PANEL], rows[:start]
        for _ in range(2):
            each_range(lambda first, last, p=panel, b=before: project_out(p, b, first, last), len(panel), 8, size=start)
            orthonormalise(panel)
    return rows


def random_vectors(k, d, rng):
    """Draw k unit vectors, (k, d) float64: orthonormal when k ≤ d, independent otherwise; `rng` gives k·d normal numbers."""
    return random_frame(k, d, rng) if k <= d else _unit(rng.standard_normal((k, d)))[0]


def _unit(rows):
    """Return the rows at unit length and their norms; a row within 1e-12 of unit length keeps its bytes."""
    from srmfast.kernels.frames import row_norms

    # Scaled by an exact power of two first where a square could overflow or underflow.
    exponent = np.frexp(np.abs(rows).max(axis=1))[1]
    exponent[np.abs(exponent) < 400] = 0
    if exponent.any():
        rows = np.ldexp(rows, -exponent[:, None])
    norms = np.empty(len(rows))
    row_norms(np.ascontiguousarray(rows), norms)
    divisor = np.where((np.abs(norms - 1.0) <= UNIT) | (norms == 0.0), 1.0, norms)
    return np.ascontiguousarray(rows / divisor[:, None]), np.ldexp(norms, exponent)


def _given(array, default_name, d, kind, name, transpose, axes=None):
    """Check, orient and normalise vectors that the user supplies."""
    if array.ndim != 2:
        raise InputError(f"a basis must have two axes, (k, {d}), got shape {array.shape}")
    vectors = array.T if transpose else array
    if vectors.shape[1] != d:
        width, other = ("columns", "rows") if transpose else ("rows", "columns")
        remedy = "give a basis of that width"
        if vectors.shape[0] == d:
            remedy = f"its {other} fit: " + ("drop" if transpose else "add") + " --basis-transpose"
        elif fits := [axis for axis, size in (axes or {}).items() if size == vectors.shape[1]]:
            remedy = (
                f"the basis is {vectors.shape[1]} wide and axis {fits[0]} of the store is: --feature-axis {fits[0]}"
            )
        raise OtherWidth(
            f"basis vectors must be {d} wide like the rows of shape (n, {d}), got an array of shape {array.shape} "
            f"whose {width} are {vectors.shape[1]} wide; {remedy}"
        )
    if len(vectors) < 2:
        raise InputError(f"a basis needs at least 2 vectors to span a plane, got {len(vectors)} of width {d}")
    try:
        if vectors.dtype.kind not in "biufV" or vectors.dtype.fields:
            raise TypeError
        vectors = vectors.astype(np.float64)  # V: bfloat16 and float8 of ml_dtypes convert, raw bytes do not
    except (TypeError, ValueError):
        raise InputError(
            f"a basis must hold real numbers, got dtype {array.dtype}; convert it to float32 or float64"
        ) from None
    bad = np.argwhere(~np.isfinite(vectors))
    if bad.size:
        i, column = bad[0].tolist()
        raise InputError(
            f"basis vectors must be finite, got {vectors[i, column]} in vector {i}, column {column}; remove that vector"
        )
    zero = np.flatnonzero(~vectors.any(axis=1))
    if zero.size:
        raise InputError(f"basis vectors must have a direction, got a zero vector at index {zero[0]}; remove it")
    vectors, norms = _unit(vectors)
    return Basis(vectors, kind, name or default_name, bool((np.abs(norms - 1.0) > NOTABLE).any()))


def _read(spec):
    """Return the array of a basis file and a name for it."""
    path, _, member = spec.partition("::")
    file, suffix = Path(path), Path(path).suffix.lower()
    if suffix not in (".npy", ".npz", ".txt", ".csv"):
        if suffix in (".h5", ".hdf5", ".zarr"):
            raise InputError(f"a basis file must be {FILES}, got {spec}; read it into an array and pass that")
        raise InputError(f"a basis must be {NAMES}, or a file ({FILES}), got {spec!r}{meant(spec, KINDS)}")
    if not file.is_file():
        raise InputError(f"a basis file must exist, got {path}; names are {NAMES}")
    if member and suffix != ".npz":
        raise InputError(f"only .npz files hold members, got {spec}; leave out '::{member}'")
    try:
        return _read_member(file, member) if suffix == ".npz" else (read_table(path), file.stem)
    except InputError:
        raise
    except Exception as error:  # whatever the parsers raise on a damaged file, the user needs one line
        raise InputError(f"a basis file must hold plain numbers, but {path} cannot be read: {_line(error)}") from None


def read_table(path):
    """Read a .npy, .txt or .csv file of plain numbers, whatever its shape; raises what the parsers raise."""
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return np.load(path, allow_pickle=False)
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if line.strip()]
    if not lines:
        raise ValueError("it is empty")
    return np.loadtxt(lines, delimiter="," if suffix == ".csv" else None, ndmin=2)


def _read_member(file, member):
    with np.load(file, allow_pickle=False) as archive:
        members = archive.files
        if not member and len(members) == 1:
            member = members[0]
        if member not in members:
            raise InputError(
                f"{file} needs one of its members, {file.name}::NAME, got {member or 'none'}; "
                f"it has {', '.join(members) or 'none'}"
            )
        return archive[member], f"{file.stem}::{member}"


def _line(error):
    return " ".join(str(error).split()) or type(error).__name__


def _drawn(kind, k, d, name, seed):
    if kind == "thompson":
        from srmfast.thompson import thompson

        return Basis(_unit(thompson(d, k, seed=seed)[0])[0], kind, name)
    return Basis(random_vectors(k, d, np.random.Generator(np.random.PCG64(seed))), kind, name)


def _signed_units(d, kind, name):
    diagonal = np.arange(d)
    columns, signs = (
        (np.tile(diagonal, 2), np.repeat([1.0, -1.0], d)) if kind == "plusminus" else (diagonal, np.ones(d))
    )
    vectors = np.zeros((columns.size, d))
    vectors[np.arange(columns.size), columns] = signs
    basis = Basis(vectors, kind, name)
    vars(basis)["selection"] = columns, signs  # known: looking for it would touch every page of a wide basis
    return basis


def _simplex(d):
    vectors = np.full((d + 1, d), -(np.sqrt(d + 1.0) + 1.0) / (d * np.sqrt(d)))
    diagonal = np.arange(d)
    vectors[diagonal, diagonal] += np.sqrt(1.0 + 1.0 / d)
    vectors[d] = 1.0 / np.sqrt(d)
    return vectors
