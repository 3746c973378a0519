"""Whether rows point along the basis or between it, in the planes that they come near; `naive.phase` says it plainly.

`add_phase` takes the candidates that were found for counting and needs float64 only near a border. `phase_of_pairs` takes
float64 coordinates of few rows along any vectors, as rotated bases have them, and compares at every pair.
"""

import math

import numpy as np

from srmfast.kernels._jit import jit, jit_inline, jit_screen
from srmfast.kernels.count import SMALL_NORM
from srmfast.kernels.dots import four_dots
from srmfast.kernels.pairs import LISTED, SINGLE, exact_point, geometry, oblique, plane_number, wander
from srmfast.kernels.rows import pinned_dot

_OBLIQUE = 0.96  # |g| below which float32 coordinates may settle anything
_STEEP = 1.5  # bounds the change of a border's distance, per radius, with that of its angle
_STRIP = 256  # rows looked at together
_SCREENED = 0.01  # sine above which the rounding of a screen is within its slack
NEAR, FAR, NEITHER = 0, 1, 2


@jit_inline
def borders(g):
    """Return cos and sin of half and of a quarter of the angle between two vectors at cosine g."""
    cos_half, sin_half = math.sqrt((1.0 + g) / 2.0), math.sqrt((1.0 - g) / 2.0)
    return cos_half, sin_half, math.sqrt((1.0 + cos_half) / 2.0), math.sqrt((1.0 - cos_half) / 2.0)


@jit
def nearer(u, v, cos_half, sin_half, cos_quarter, sin_quarter):
    """Say to what the direction (u, v) is nearer: NEAR the basis, FAR from it, NEITHER on a border."""
    along, across = abs(u * cos_half + v * sin_half), abs(v * cos_half - u * sin_half)
    first, second = across * cos_quarter, along * sin_quarter
    third, fourth = along * (cos_quarter + sin_quarter), across * (cos_quarter - sin_quarter)
    if first < second or third < fourth:
        return FAR
    return NEAR if first > second and third > fourth else NEITHER


@jit
def add_phase(candidates, m, coordinates, stride, step, block, frame, pairs, cut, epsilons, phase):
    """Add `m` candidates to the integers of the statistic.

    Parameters
    ----------
    candidates, m, coordinates, stride, step, block, frame, pairs, cut
        As for `count.count`.
    epsilons : (e,) float64
    phase : (64, c, e, 2) int64, updated
        Near and far, by fold.
    """
    k = frame.vectors.shape[0]
    by_product = not frame.orthogonal and not frame.g.shape[0]
    doubt = frame.delta if by_product else 0.0
    usable = min(cut - 2.0 * doubt, _OBLIQUE)
    listed = pairs.numbering == LISTED
    last_i, last_j, last_pair, sides, simple = -1, -1, -2, 0, False
    g, inverse, error, tilt = 0.0, 1.0, wander(frame.delta, 0.0, 1.0), 0.0
    cos_half, sin_half, cos_quarter, sin_quarter = borders(0.0)
    for at in range(m):
        i, j, pair = np.int64(candidates.first[at]), np.int64(candidates.second[at]), np.int64(candidates.pair[at])
        r = np.int64(candidates.row[at])
        if i != last_i or j != last_j or pair != last_pair:
            last_i, last_j, last_pair = i, j, pair
            if listed:
                sides = (pairs.forward[pair] >= 0) + 2 * (pairs.reverse[pair] >= 0)
            else:
                sides = np.int64(plane_number(i, j, k, pairs.numbering) >= 0)
                sides += 2 * (pairs.both and plane_number(j, i, k, pairs.numbering) >= 0)
            if not frame.orthogonal:
                near = math.inf
                if pair < 0:
                    near = np.float64(candidates.cosine[at]) if by_product else frame.g[i, j]
                simple = abs(near) < usable
                if simple:
                    g = near
                    inverse, error = oblique(frame.delta, doubt, g)
                    tilt = 2.0 * doubt * inverse
                else:
                    g, s, s_back = geometry(frame, pairs, i, j, pair)
                    if s == 0.0 or (pair < 0 and abs(g) > cut):
                        sides = 0
                        continue
                    inverse, tilt = 1.0 / s, 0.0
                    error = max(wander(frame.delta, g, s), wander(frame.delta, g, s_back))
                cos_half, sin_half, cos_quarter, sin_quarter = borders(g)
        if not sides:
            continue
        norm = block.norms[r]
        sure = norm >= SMALL_NORM and abs(g) < _OBLIQUE
        radius, what = 0.0, NEITHER
        if sure:
            u = np.float64(coordinates[i * stride + r * step])
            v = (np.float64(coordinates[j * stride + r * step]) - g * u) * inverse
            radius = math.sqrt(u * u + v * v)
            along, across = abs(u * cos_half + v * sin_half), abs(v * cos_half - u * sin_half)
            first = across * cos_quarter - along * sin_quarter  # distances from the borders, up to a factor
            second = (along * (cos_quarter + sin_quarter) - across * (cos_quarter - sin_quarter)) * math.sqrt(0.5)
            what = FAR if min(first, second) < 0.0 else NEAR
            doubtful = error + (_STEEP * tilt + 64.0 * SINGLE * SINGLE) * radius
            sure = min(abs(first), abs(second)) > doubtful
            for e in range(epsilons.shape[0]):
                sure = sure and (epsilons[e] <= 0.0 or abs(radius - epsilons[e]) > error + 8.0 * SINGLE * SINGLE)
        fold, label = block.folds[r], block.labels[r]
        if sure:
            both = 2 if sides == 3 else 1
            for e in range(epsilons.shape[0]):
                if radius >= epsilons[e]:
                    phase[fold, label, e, what] += both
            continue
        exact_g, s, s_back = geometry(frame, pairs, i, j, pair)
        exact = borders(exact_g)
        for side in range(2):
            if not sides & (1 << side):
                continue
            a, b, height = (j, i, s_back) if side else (i, j, s)
            u, v = exact_point(block.rows, r, frame.vectors, frame.columns, frame.signs, a, b, exact_g, height)
            what = nearer(u, v, exact[0], exact[1], exact[2], exact[3])
            if what == NEITHER:
                continue
            for e in range(epsilons.shape[0]):
                t = epsilons[e] * norm
                if epsilons[e] <= 0.0 or u * u + v * v >= t * t:
                    phase[fold, label, e, what] += 1


@jit
def products(rows, vectors, out):
    """Write the pinned dot of each vector (k, d) with each row (n, d) into `out` (k, n), all float64."""
    k, n = vectors.shape[0], rows.shape[0]
    together = np.empty((k + n, rows.shape[1]))  # four at once wait less, and are read from one array
    together[:k], together[k:] = vectors, rows
    for i in range(0, k - 1, 2):
        for r in range(0, n - 1, 2):
            dots = four_dots(together, i, k + r)
            out[i, r], out[i, r + 1], out[i + 1, r], out[i + 1, r + 1] = dots
        if n % 2:
            out[i, n - 1] = pinned_dot(vectors[i], rows[n - 1])
            out[i + 1, n - 1] = pinned_dot(vectors[i + 1], rows[n - 1])
    if k % 2:
        for r in range(n):
            out[k - 1, r] = pinned_dot(vectors[k - 1], rows[r])


@jit
def phase_floor(norms, epsilon, floor):
    """Write the square below which a row comes near no plane, however a screen rounds; the smallest ε decides.

    Parameters
    ----------
    norms : (n,) float64
        Of rows; 0 for those that are left out.
    epsilon : float64
    floor : (n,) float64, filled
        Infinite for rows that are left out.
    """
    for r in range(norms.shape[0]):
        if norms[r] == 0.0:
            floor[r] = math.inf
        elif epsilon <= 2.0**-30:
            floor[r] = -1.0
        else:
            reach = (epsilon - 2.0**-40) * norms[r]
            floor[r] = reach * reach * (1.0 - 2.0**-40)


@jit_screen
def _passing(u, w, g, s, floor):
    passers = 0
    for r in range(u.shape[0]):
        v = (w[r] - g * u[r]) / s
        passers += u[r] * u[r] + v * v >= floor[r]
    return passers


@jit
def _sides(u, w, g, s, square, side):
    """Write the squared length in the plane, and 1 near, 2 far or 0 of each row: no branch, so that it becomes vector code."""
    cos_half, sin_half, cos_quarter, sin_quarter = borders(g)
    plus, minus = cos_quarter + sin_quarter, cos_quarter - sin_quarter
    for r in range(u.shape[0]):
        v = (w[r] - g * u[r]) / s
        along, across = abs(u[r] * cos_half + v * sin_half), abs(v * cos_half - u[r] * sin_half)
        first, second = across * cos_quarter, along * sin_quarter
        third, fourth = along * plus, across * minus
        near, far = (first > second) & (third > fourth), (first < second) | (third < fourth)
        square[r] = u[r] * u[r] + v * v
        side[r] = np.int64(near) + 2 * np.int64(far)


@jit
def _reaching(square, side, least):
    """Count the rows near and far whose squared length is at least `least`."""
    near, far = 0, 0
    for r in range(square.shape[0]):
        here = side[r] * np.int64(square[r] >= least[r])
        near += here & 1
        far += here >> 1
    return near, far


@jit
def phase_of_pairs(coordinates, i, j, g, s, squares, floor, labels, phase):
    """Count near and far of every pair of vectors on few rows.

    Parameters
    ----------
    coordinates : (k, n) float64
        x·b_i by the pinned dot.
    i, j : (p,) int64
    g, s : (p,) float64
        Geometry of the pairs; none is parallel.
    squares : (e, n) float64
        (ε‖x‖)² of each row; −1 where ε ≤ 0, infinite for rows that are left out.
    floor : (n,) float64
        From `phase_floor`.
    labels : (n,) int64
    phase : (p, c, e, 2) int32, added to
    """
    n, e, one_label = coordinates.shape[1], squares.shape[0], phase.shape[1] == 1
    square, side = np.empty(_STRIP), np.empty(_STRIP, np.int64)
    for p in range(i.shape[0]):
        cosine, sine = g[p], s[p]
        for start in range(0, n, _STRIP):
            stop = min(start + _STRIP, n)
            first, second = coordinates[i[p], start:stop], coordinates[j[p], start:stop]
            if sine > _SCREENED and not _passing(first, second, cosine, sine, floor[start:stop]):
                continue
            lengths, sides = square[: stop - start], side[: stop - start]
            _sides(first, second, cosine, sine, lengths, sides)
            for epsilon in range(e):
                least = squares[epsilon, start:stop]
                if one_label:
                    near, far = _reaching(lengths, sides, least)
                    phase[p, 0, epsilon, NEAR] += near
                    phase[p, 0, epsilon, FAR] += far
                    continue
                for r in range(stop - start):
                    if sides[r] and lengths[r] >= least[r]:
                        phase[p, labels[start + r], epsilon, sides[r] - 1] += 1


@jit
def summarise_phase(phase, total, lowest, highest):
    """Sum over planes, and find the extremes over planes of (near − far)/√(near + far).

    Parameters
    ----------
    phase : (p, c, e, 2) int32
    total : (c, e, 2) int64, filled
    lowest, highest : (c, e) float64, filled
        0 where no row comes near a plane.
    """
    total[:], lowest[:], highest[:] = 0, 0.0, 0.0
    for p in range(phase.shape[0]):
        for c in range(phase.shape[1]):
            for e in range(phase.shape[2]):
                near, far = phase[p, c, e, 0], phase[p, c, e, 1]
                if near + far == 0:
                    continue
                total[c, e, 0] += near
                total[c, e, 1] += far
                score = (near - far) / math.sqrt(near + far)
                lowest[c, e] = min(lowest[c, e], score)
                highest[c, e] = max(highest[c, e], score)
