"""What the geometry of a basis and the choice of planes will take, before anything is computed."""

from srmfast.coherence import tile_plan
from srmfast.geometry import BLOCK, matrix_bytes
from srmfast.planes import FEW, SHUFFLED, count_of
from srmfast.threads import cores

_PAIR = 80  # bytes that drawing, sorting and storing one listed pair takes
_CANDIDATES = 400  # bytes a vector for what may be its neighbours
_BLAS = 4 << 20  # bytes that the product of one thread takes for itself
_DOT, _SINES = 0.33e-10, 0.97e-10  # seconds on one core, by k²·d: the pinned arithmetic of all pairs
_PRODUCT = 5e10  # operations a second and core of a float32 product


def geometry_bytes(k, d, planes, orthogonal, limit):
    """Project the memory that geometry and the choice of planes take beside the basis.

    Parameters
    ----------
    k, d : int
    planes : str
        As for `choose_planes`.
    orthogonal : bool
    limit : int or None
        As for `Geometry.of`.

    Returns
    -------
    int
        Bytes at the peak: those of `matrix_bytes`, which stay, and what is needed for a while.

    Notes
    -----
    Parallel pairs (16 bytes each) and ties of the smallest angle are found on the way and not known before.
    """
    matrices = matrix_bytes(k, orthogonal, limit)
    _, threads, tiles = tile_plan(d)
    working = 0 if orthogonal else 48 * BLOCK if matrices else tiles + threads * _BLAS
    if planes == "neighbours":
        working += _CANDIDATES * k
    drawing = 0
    if planes.startswith("random:"):
        wanted, slots = count_of(planes), k * (k - 1)
        drawing = _PAIR * wanted + (8 * slots if slots <= FEW and wanted > slots // SHUFFLED else 0)
    return matrices + max(working, drawing)


def geometry_seconds(k, d, planes, orthogonal, limit, *, threads=None):
    """Estimate the seconds that geometry and the choice of planes take; ±unit vectors take none.

    Parameters
    ----------
    k, d, planes, orthogonal, limit
        As for `geometry_bytes`.
    threads : int, optional
        All cores when omitted.

    Returns
    -------
    float
        Rough: within a factor of two on two cores of an EPYC.
    """
    size, threads = float(k) * k * d, threads or cores()
    if orthogonal:
        return size * _DOT / threads
    if matrix_bytes(k, orthogonal, limit):
        return size * (_DOT + _SINES) / threads
    return size * (2 if planes == "neighbours" else 1) / (_PRODUCT * threads)
