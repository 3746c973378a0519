"""From candidates to the cells of planes: which rows lie close to a plane, and where in it."""

import math

import numpy as np

from srmfast.kernels._jit import jit, jit_screen
from srmfast.kernels.arcs import TINY, turn_of
from srmfast.kernels.count import SMALL_NORM, _place, _second_axis
from srmfast.kernels.ends import polar
from srmfast.kernels.pairs import LISTED, exact_point, geometry, plane_number, wander

_CHUNK = 512  # candidates at a time: their arrays stay in the first cache
_DOUBT = np.int32(-1)  # the cell of a point that is not known well enough
_ONE, _HALF, _TENTH = np.float32(1.0), np.float32(0.5), np.float32(0.1)
_MOVED = np.float32(0.2)  # above 1/2π: radians to turns
_ROUNDED = np.float32(2.0**-20)  # far above what the float32 arithmetic below adds, and the polynomial of `polar`


@jit
def sector(u, v, cos, sin):
    """Return the sector whose middle the point (u, v) is nearest to: the first m with the largest u·cos + v·sin.

    Parameters
    ----------
    u, v : float64
    cos, sin : (a,) float64
        Of the middles, a ≥ 4.
    """
    a = cos.shape[0]
    first, last = 0, a
    if u * u + v * v >= TINY:  # otherwise products may be subnormal, and any may be the largest
        first = round(turn_of(u, v) * a) - 1
        last = first + 3
    best, highest = -1, 0.0
    for m in range(first, last):
        at = m % a
        value = u * cos[at] + v * sin[at]
        if best < 0 or value > highest or (value == highest and at < best):
            best, highest = at, value
    return best


@jit_screen
def _guess(turn, radius, eta, reach, sectors, rings, cell):
    """Write the cells of many points, _DOUBT where a border lies within the error.

    Parameters
    ----------
    turn, radius : (m,) float32
        From `polar`, of rows divided by their norms.
    eta : (m,) float32
        Bound on the error of the point; infinite where nothing is known.
    reach : (m,) float32
        Norm of the row times the scale of the rings.
    sectors, rings : int
    cell : (m,) int32, filled
    """
    steps, last, turned, beyond = np.float32(sectors), np.float32(rings), np.int32(sectors), np.int32(sectors * rings)
    for n in range(turn.shape[0]):
        place = radius[n] * reach[n]
        slack = eta[n] * reach[n] + place * _ROUNDED
        ring = np.floor(place)
        position = turn[n] * steps
        nearest = np.rint(position)
        doubt = steps * (_MOVED * eta[n] / radius[n] + _ROUNDED)
        sure = (min(place - ring, ring + _ONE - place) > slack) & (place + slack < last)
        sure &= (_HALF - abs(position - nearest) > doubt) & (eta[n] < _TENTH * radius[n])
        at = np.int32(nearest if sure else _ONE)
        at = at + turned if at < np.int32(0) else at
        inside = at * np.int32(rings) + np.int32(ring if sure else _ONE)
        cell[n] = inside if sure else beyond if place - slack >= last else _DOUBT


@jit_screen
def _doubt_acceptance(radius, eta, epsilon, cell):
    """Doubt the points whose distance is as near to `epsilon` as their error."""
    for n in range(radius.shape[0]):
        cell[n] = _DOUBT if abs(radius[n] - epsilon) <= eta[n] + _ROUNDED else cell[n]


@jit
def project(candidates, m, coordinates, stride, step, block, frame, pairs, cut, epsilons, grid, counts, points):
    """Decide `m` candidates and add each row to the cell of the plane in which it lies.

    Parameters
    ----------
    candidates, m, coordinates, stride, step, block, frame, pairs, cut
        As in `count`.
    epsilons : (e,) float64
        Smallest cosines of the angle between a row and its projection: √(u² + v²) ≥ ε‖x‖.
    grid : Grid
    counts : Counts, updated
        Its `differences` and `totals` hold a count for each cell, and behind them one for whatever lies beyond.
    points : Points, filled
        The rows accepted at the smallest epsilon; (0,) arrays when they are not wanted.

    Returns
    -------
    int
        How many points there are.
    """
    firsts, seconds, row, pair_of = candidates.first, candidates.second, candidates.row, candidates.pair
    rows, norms, labels, folds = block.rows, block.norms, block.labels, block.folds
    vectors, columns, signs, orthogonal = frame.vectors, frame.columns, frame.signs, frame.orthogonal
    forward, reverse, listed, both = pairs.forward, pairs.reverse, pairs.numbering == LISTED, pairs.both
    slots, planes, state = counts.slots, counts.numbers, counts.state
    totals, kept = counts.totals.reshape(counts.totals.size), counts.differences.reshape(counts.differences.size)
    places, c, e, width = (
        counts.differences.shape[0],
        counts.totals.shape[1],
        counts.totals.shape[2],
        counts.totals.shape[3],
    )
    cos, sin, rings, scale = grid.cos, grid.sin, grid.rings, grid.scale
    k, sectors, beyond = vectors.shape[0], cos.shape[0], cos.shape[0] * rings
    wanted, filled = points.number.shape[0] > 0, 0
    smallest = np.inf
    for epsilon in range(e):
        smallest = min(smallest, epsilons[epsilon])
    x, y, v = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32)
    slant, shrink = np.empty(_CHUNK, np.float32), np.empty((2, _CHUNK), np.float32)
    eta, reach = np.empty((2, _CHUNK), np.float32), np.empty(_CHUNK, np.float32)
    turn, radius, cell = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.int32)
    number = np.empty((2, _CHUNK), np.int64)
    last_i, last_j, ahead, behind = -1, -1, -1, -1
    g, s, s_back = 0.0, 1.0, 1.0
    error = error_back = wander(frame.delta, 0.0, 1.0)
    unknown = np.float32(np.inf)
    stop = 0
    while stop < m:
        begin, stop = stop, min(stop + _CHUNK, m)
        size, any_behind = stop - begin, False
        for at in range(begin, stop):
            i, j, r, n = np.int64(firsts[at]), np.int64(seconds[at]), np.int64(row[at]), at - begin
            if i != last_i or j != last_j:
                last_i, last_j, pair = i, j, np.int64(pair_of[at])
                if listed:
                    ahead, behind = forward[pair], reverse[pair]
                else:
                    ahead = plane_number(i, j, k, pairs.numbering)
                    behind = plane_number(j, i, k, pairs.numbering) if both else -1
                if not orthogonal:
                    g, s, s_back = geometry(frame, pairs, i, j, pair)
                    if s == 0.0 or (pair < 0 and abs(g) > cut):  # a list holds the pairs beyond the cut
                        ahead, behind = -1, -1
                    else:
                        error, error_back = wander(frame.delta, g, s), wander(frame.delta, g, s_back)
            number[0, n], number[1, n] = ahead, behind
            any_behind |= behind >= 0
            x[n], y[n], slant[n] = coordinates[i * stride + r * step], coordinates[j * stride + r * step], g
            certain = norms[r] >= SMALL_NORM and not wanted
            if ahead >= 0 or behind >= 0:
                shrink[0, n], shrink[1, n] = 1.0 / s, 1.0 / s_back
            eta[0, n], eta[1, n] = error if certain else unknown, error_back if certain else unknown
            reach[n] = norms[r] * scale
        for side in range(2 if any_behind else 1):
            u, w = (y, x) if side else (x, y)
            _second_axis(u, w, slant, shrink[side], v[:size])
            polar(u[:size], v[:size], turn[:size], radius[:size])
            _guess(turn[:size], radius[:size], eta[side, :size], reach[:size], sectors, rings, cell[:size])
            for epsilon in range(e):
                _doubt_acceptance(radius[:size], eta[side, :size], np.float32(epsilons[epsilon]), cell[:size])
            for n in range(size):
                if number[side, n] < 0:
                    continue
                at = begin + n
                r, found, distance, norm = np.int64(row[at]), np.int64(cell[n]), np.float64(radius[n]), 1.0
                if found < 0:
                    i, j = np.int64(firsts[at]), np.int64(seconds[at])
                    g_here, s_here, s_back_here = geometry(frame, pairs, i, j, np.int64(pair_of[at]))
                    if side:
                        i, j, s_here = j, i, s_back_here
                    exact_u, exact_v = exact_point(rows, r, vectors, columns, signs, i, j, g_here, s_here)
                    distance, norm, found = math.sqrt(exact_u * exact_u + exact_v * exact_v), norms[r], beyond
                    if distance * scale < rings:
                        found = sector(exact_u, exact_v, cos, sin) * rings + np.int64(distance * scale)
                    if wanted and distance >= smallest * norm:
                        points.number[filled], points.row[filled] = number[side, n], r
                        points.u[filled], points.v[filled] = exact_u, exact_v
                        filled += 1
                label, fold = np.int64(labels[r]), np.int64(folds[r])
                for epsilon in range(e):
                    if distance >= epsilons[epsilon] * norm:
                        totals[((fold * c + label) * e + epsilon) * width + found] += 1
                        state[0] += 1
                        if places:
                            place = _place(number[side, n], slots, planes, state, places)
                            kept[((place * c + label) * e + epsilon) * width + found] += 1
    return filled
