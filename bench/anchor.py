"""An outside anchor: the counters of angular pairs that astronomers use, at d = 3, where they can take part.

The sum over all planes and angles of the counts at ε is the number of pairs (probe direction, row) at most
arccos ε apart, where the probe directions are cos θ·b_i + sin θ·(b_j − g·b_i)/s. With several ε it is a
cumulative histogram of angular separations: what Corrfunc's `DDtheta_mocks` and SciPy's
`cKDTree.count_neighbors` count for any two sets of points. They do not know that the probes lie on great
circles, and return the sums only; srmfast has the count of every plane and angle when it is done.
"""

import itertools
from functools import partial

import numpy as np
from scipy.spatial import cKDTree

import srmfast
from bench.timing import alternate, ratio, seconds, table, times
from srmfast import naive
from srmfast.angles import angle_table

CORRFUNC = "Corrfunc DDtheta_mocks, 1 thread"
_WIDE = (0.98, 0.95, 0.9, 0.8)


def anchor(quick):
    """Pairs of directions and rows by separation: at random, with many ties, and the other counters' own question."""
    n, k, few, a, rounds = (300, 4, 20, 36, 1) if quick else (10_000, 16, 1_000, 360, 3)
    rng = np.random.default_rng(12)
    rows = rng.standard_normal((n, 3))
    every = itertools.permutations
    _compare(f"random rows, {k} Thompson vectors", rows, f"thompson:{k}", every(range(k), 2), a, _WIDE, rounds)
    lattice = np.argwhere(np.ones((5, 5, 5))) - 2.0
    lattice = lattice[lattice.any(axis=1)]
    edges = "lattice points, standard basis, pairs on the cones' edges"
    _compare(edges, lattice, "standard", every(range(3), 2), a, (0.5, 0.0), rounds)
    ring = [(i, (i + 1) % few) for i in range(few)]
    _compare("random points with each other, angle 0 alone", rows[:few], rows[:few], ring, 2, _WIDE, rounds, only=0)
    print(
        "Wrong pairs: in the cumulative counts at each ε, against the definition. Corrfunc leaves out the upper edge of a "
        "bin, so it is given\nthe next larger float; pairs on an edge still fall on either side, and so do points at angle 0 "
        "of themselves. Every time includes bringing\nthe rows into the form that the counter needs. The last table is what "
        "pair counters are made for: there srmfast, which looks at one\nplane for each point, loses."
    )
    if corrfunc(rows, rows, _WIDE) is None:
        print("Corrfunc is not installed: pip install Corrfunc (it needs a C compiler and GSL, libgsl-dev in Debian)")


def _compare(name, rows, basis, planes, a, epsilons, rounds, only=slice(None)):
    """Print the time and the wrong counts of every counter for one problem."""
    basis, planes = srmfast.load_basis(basis, 3), np.array(list(planes))
    probes = probe_directions(basis.vectors, planes, a)[:, only].reshape(-1, 3)
    exact = naive.counts(rows, basis.vectors, planes, epsilons, a)[:, :, only].reshape(len(epsilons), -1).sum(axis=1)

    def srm():
        result = srmfast.run(rows, basis, epsilon=epsilons, angles=a, planes=planes, keep="summary", threads=1)
        return result.total[0][:, only].reshape(len(epsilons), -1).sum(axis=1)

    counters = {
        "srmfast, 1 thread": srm,
        CORRFUNC: corrfunc(probes, rows, epsilons),
        "SciPy cKDTree.count_neighbors": partial(kd_tree, probes, rows, epsilons),
    }
    series = alternate({name: counter for name, counter in counters.items() if counter}, rounds, limit=30.0)
    first, *_ = series.values()
    lines = []
    for counter, one in series.items():
        wrong = one.answers[0] - exact
        if wrong.any() and one is first:
            raise AssertionError("the counts of srmfast differ from the definition")
        if (np.abs(wrong) > 0.05 * exact).any():
            raise AssertionError(f"{counter} counts other pairs: {one.answers[0]}, by definition {exact}")
        lines.append([counter, seconds(one.median), times(ratio(one, first)), *(f"{number:+,}" for number in wrong)])
    pairs = f"{len(probes) * len(rows):,} pairs, {exact.max():,} within"
    print(f"{len(rows):,} {name}, {len(probes):,} directions, {pairs}:\n")
    print(table(["way", "time", "of ours", *(f"wrong at ε {eps}" for eps in epsilons)], lines) + "\n")


def probe_directions(vectors, planes, a):
    """Return the directions in which the spotlight points, (planes, angles, 3) unit vectors."""
    cos, sin = angle_table(a)
    geometry = [naive.plane(vectors[i], vectors[j]) for i, j in planes]
    return np.array(
        [
            np.outer(cos, vectors[i]) + np.outer(sin, (vectors[j] - g * vectors[i]) / s)
            for (i, j), (g, s) in zip(planes, geometry, strict=True)
        ]
    )


def corrfunc(probes, rows, epsilons):
    """Return a call of Corrfunc's counter that gives the pairs within each ε, or None without Corrfunc."""
    try:
        from Corrfunc.mocks import DDtheta_mocks
    except ImportError:
        return None
    edges = [0.0, *np.nextafter(np.degrees(np.arccos(epsilons)), 180.0)]

    def call():
        (ra, dec), (ra2, dec2) = sky(probes), sky(rows)
        return np.cumsum(DDtheta_mocks(0, 1, edges, ra, dec, RA2=ra2, DEC2=dec2)["npairs"].astype(np.int64))

    return call


def sky(points):
    """Return right ascension in [0, 360) and declination, both in degrees."""
    x, y, z = points.T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def kd_tree(probes, rows, epsilons):
    """Return the pairs within each ε, counted by the distance of points on the unit sphere: √(2 − 2ε)."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return cKDTree(unit).count_neighbors(cKDTree(probes), np.sqrt(2.0 - 2.0 * np.asarray(epsilons)))
