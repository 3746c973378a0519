"""An outside anchor: the counters of angular pairs that astronomers use, at d = 3, where they can take part.

The sum over all planes and angles of the counts at ε is the number of pairs (probe direction, row) at most
arccos ε apart, where the probe directions are cos θ·b_i + sin θ·(b_j − g·b_i)/s. With several ε it is a
cumulative histogram of angular separations: what Corrfunc's `DDtheta_mocks` and SciPy's
`cKDTree.count_neighbors` count for any two sets of points. They do not know that the probes lie on great
circles, and return the sums only; srmfast has the count of every plane and angle when it is done.
"""

from functools import partial

import numpy as np
from scipy.spatial import cKDTree

import srmfast
from bench.answers import ours
from bench.timing import alternate, ratio, seconds, table, times
from srmfast import naive
from srmfast.angles import angle_table

CORRFUNC = "Corrfunc DDtheta_mocks, 1 thread"


def anchor(quick):
    """Pairs of probe directions and rows by separation: at random, and on a lattice with many ties."""
    n, a, rounds = (300, 36, 2) if quick else (10_000, 360, 3)
    rows = np.random.default_rng(12).standard_normal((n, 3))
    _compare("random rows, 16 Thompson vectors", rows, "thompson:16", (0.98, 0.95, 0.9, 0.8), a, rounds)
    lattice = np.argwhere(np.ones((5, 5, 5))) - 2.0
    lattice = lattice[lattice.any(axis=1)]
    _compare("lattice points, standard basis, pairs on the cones' edges", lattice, "standard", (0.5, 0.0), a, rounds)
    print(
        "Wrong pairs: in the cumulative counts at each ε, against the definition. Corrfunc leaves out the upper edge "
        "of a bin, so it is given\nthe next larger float; pairs that lie on the edge still fall on either side, other "
        "ones with other `link_in_ra`. An edge 1e-9° larger\nwould count this lattice right. Every time includes "
        "bringing the input into the form the counter needs."
    )


def _compare(name, rows, basis, epsilons, a, rounds):
    """Print the time and the wrong counts of every counter for one problem."""
    basis = srmfast.load_basis(basis, 3)
    k = len(basis.vectors)
    planes = [(i, j) for i in range(k) for j in range(k) if i != j]
    probes = probe_directions(basis.vectors, planes, a)
    exact = naive.counts(rows, basis.vectors, planes, epsilons, a).sum(axis=(1, 2))
    counters = {
        "srmfast, 1 thread": lambda: ours(rows, basis, epsilons, a, 1).total[0].sum(axis=-1),
        CORRFUNC: corrfunc(probes, rows, epsilons),
        "SciPy cKDTree.count_neighbors": partial(kd_tree, probes, rows, epsilons),
    }
    series = alternate({name: counter for name, counter in counters.items() if counter}, rounds)
    first, *_ = series.values()
    lines = []
    for counter, one in series.items():
        wrong = one.answers[0] - exact
        if wrong.any() and one is first:
            raise AssertionError("the counts of srmfast differ from the definition")
        if (np.abs(wrong) > 0.05 * exact).any():
            raise AssertionError(f"{counter} counts other pairs: {one.answers[0]}, by definition {exact}")
        lines.append([counter, seconds(one.median), times(ratio(one, first)), *(f"{number:+,}" for number in wrong)])
    print(
        f"{len(rows):,} {name}, {len(probes):,} probe directions, {len(probes) * len(rows):,} pairs, {exact[-1]:,} within:\n"
    )
    print(table(["way", "time", "of ours", *(f"wrong at ε {eps}" for eps in epsilons)], lines) + "\n")
    if CORRFUNC not in series:
        print("Corrfunc is not installed: pip install Corrfunc (it needs a C compiler and GSL)\n")


def probe_directions(vectors, planes, a):
    """Return the directions in which the spotlight points, (planes · angles, 3) unit vectors."""
    cos, sin = angle_table(a)
    geometry = [naive.plane(vectors[i], vectors[j]) for i, j in planes]
    return np.concatenate(
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
