"""What every time in the table is worth: the counts behind it equal the definition."""

import numpy as np

import srmfast
from srmfast import naive

_CELLS = 1 << 20  # rows × angles that the definition holds at a time


def ours(X, basis, eps, a, threads=None, keep="all"):
    """Make the whole public call."""
    return srmfast.run(X, basis, epsilon=eps, angles=a, keep=keep, threads=threads)


def naive_way(X, B, planes, a, eps):
    """Count by the definition, with the arguments of `bench.ways`."""
    return naive.counts(X, B, planes, [eps], a)[0]


def pairs_of(result):
    """Return the planes of a result, (p, 2)."""
    return np.stack([result.plane_i, result.plane_j], axis=1)


def arcs_of(result):
    """Return how often a row was inside a cone of some plane: the arcs that were added."""
    return result.attrs["provenance"]["arcs"]


def check_sample(result, X, size=2):
    """Compare a result with the definition on some of the planes it kept, if any, all rows."""
    planes = pairs_of(result)
    if not len(planes):
        return
    some = np.random.default_rng(0).permutation(len(planes))[:size]
    a = result.angle.size
    step = max(1, _CELLS // max(a, X.shape[1]))
    wanted = sum(
        naive.counts(X[start : start + step], result.basis, planes[some], result.epsilon, a)
        for start in range(0, len(X), step)
    )
    if not (result.counts.sum(axis=0)[:, some] == wanted).all():
        raise AssertionError("the counts of srmfast differ from the definition")


def check_total(result, X):
    """Compare the sums over all planes with the definition; every pair must span a plane."""
    k = len(result.basis)
    planes = [(i, j) for i in range(k) for j in range(k) if i != j]
    wanted = naive.counts(X, result.basis, planes, result.epsilon, result.angle.size).sum(axis=1)
    if not (result.total.sum(axis=0) == wanted).all():
        raise AssertionError("the sums over all planes of srmfast differ from the definition")


def check_same(results):
    """Compare the sums over all planes of several results of the same rows."""
    first, *others = results
    if not all((other.total == first.total).all() and (other.counts == first.counts).all() for other in others):
        raise AssertionError("srmfast gives different counts for the same rows")


def compare(counts, reference, name):
    """Return how many counts differ from ours; ours, other threads and the definition may not differ at all.

    Float arithmetic without a tie rule may put a row on the other side of an edge that it lies on: a count off by
    a few here and there is accepted of the other ways, more is an error.
    """
    off = np.abs(counts - reference)
    exact = name.startswith(("srmfast", "naive"))
    allowed = 0 if exact else 2 + off.size // 100
    if np.count_nonzero(off) > allowed or off.max(initial=0) > (0 if exact else 3):
        raise AssertionError(
            f"{name}: {np.count_nonzero(off):,} of {off.size:,} counts differ from ours, by up to {off.max():,}"
        )
    return int(np.count_nonzero(off))
