"""From candidates to the cells of planes: which rows lie close to a plane, and where in it."""

import math

import numpy as np

from srmfast.kernels._jit import jit
from srmfast.kernels.arcs import TINY, turn_of
from srmfast.kernels.count import SMALL_NORM, _place
from srmfast.kernels.pairs import LISTED, exact_point, geometry, plane_number, wander

_ROUNDED = 1e-12  # far above what float64 arithmetic and the norm add to the error of float32 coordinates
_POLYNOMIAL = 2e-8  # turns by which `turn_of` may be off, and more


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


@jit
def _guess(u, v, norm, error, epsilons, grid):
    """Return the distance from the origin and the cell of a point known up to `error`; −1 when it is in doubt.

    Parameters
    ----------
    u, v : float64
        In-plane coordinates divided by the norm.
    norm, error : float64
    epsilons : (e,) float64
    grid : Grid
    """
    radius = math.sqrt(u * u + v * v)
    for e in range(epsilons.shape[0]):
        if abs(radius - epsilons[e]) <= error:
            return radius, -1
    a, rings = grid.cos.shape[0], grid.rings
    place, slack = radius * norm * grid.scale, (error + _ROUNDED * radius) * norm * grid.scale
    if place - slack >= rings:
        return radius, a * rings
    if place + slack >= rings or radius <= 10.0 * error:
        return radius, -1
    ring = math.floor(place)
    position = turn_of(u, v) * a
    nearest = round(position)
    doubt = (0.2 * error / radius + _POLYNOMIAL) * a  # 0.2 > 1/2π
    if place - ring <= slack or ring + 1 - place <= slack or 0.5 - abs(position - nearest) <= doubt:
        return radius, -1
    return radius, (nearest % a) * rings + ring


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
    vectors, columns, signs = frame.vectors, frame.columns, frame.signs
    forward, reverse, listed = pairs.forward, pairs.reverse, pairs.numbering == LISTED
    slots, planes, state = counts.slots, counts.numbers, counts.state
    totals, cells = counts.totals, counts.differences
    cos, sin, rings, scale = grid.cos, grid.sin, grid.rings, grid.scale
    k, e, beyond = vectors.shape[0], epsilons.shape[0], cos.shape[0] * rings
    wanted, filled = points.number.shape[0] > 0, 0
    guessing = not wanted and columns.shape[0] == 0
    smallest = np.inf
    for epsilon in range(e):
        smallest = min(smallest, epsilons[epsilon])
    last_i, last_j, ahead, behind = -1, -1, -1, -1
    g, s, s_back = 0.0, 1.0, 1.0
    error = error_back = wander(frame.delta, 0.0, 1.0) + _ROUNDED
    for at in range(m):
        i, j, r, pair = np.int64(firsts[at]), np.int64(seconds[at]), np.int64(row[at]), np.int64(pair_of[at])
        if i != last_i or j != last_j:
            last_i, last_j = i, j
            if listed:
                ahead, behind = forward[pair], reverse[pair]
            else:
                ahead = plane_number(i, j, k, pairs.numbering)
                behind = plane_number(j, i, k, pairs.numbering) if pairs.both else -1
            if not frame.orthogonal:
                g, s, s_back = geometry(frame, pairs, i, j, pair)
                if s == 0.0 or (pair < 0 and abs(g) > cut):  # a list holds the pairs beyond the cut
                    ahead, behind = -1, -1
                else:
                    error = wander(frame.delta, g, s) + _ROUNDED
                    error_back = wander(frame.delta, g, s_back) + _ROUNDED
        norm = norms[r]
        for side in range(2):
            number = behind if side else ahead
            if number < 0:
                continue
            radius, cell = 0.0, -1
            if guessing and norm >= SMALL_NORM:
                x = np.float64(coordinates[i * stride + r * step])
                y = np.float64(coordinates[j * stride + r * step])
                if side:
                    radius, cell = _guess(y, (x - g * y) / s_back, norm, error_back, epsilons, grid)
                else:
                    radius, cell = _guess(x, (y - g * x) / s, norm, error, epsilons, grid)
                radius *= norm
            if cell < 0:
                if side:
                    u, v = exact_point(rows, r, vectors, columns, signs, j, i, g, s_back)
                else:
                    u, v = exact_point(rows, r, vectors, columns, signs, i, j, g, s)
                radius = math.sqrt(u * u + v * v)
                cell = beyond
                if radius * scale < rings:
                    cell = sector(u, v, cos, sin) * rings + np.int64(radius * scale)
                if wanted and radius >= smallest * norm:
                    points.number[filled], points.row[filled] = number, r
                    points.u[filled], points.v[filled] = u, v
                    filled += 1
            for epsilon in range(e):
                if radius >= epsilons[epsilon] * norm:
                    totals[folds[r], labels[r], epsilon, cell] += 1
                    state[0] += 1
                    if cells.shape[0]:
                        place = _place(number, slots, planes, state, cells.shape[0])
                        cells[place, labels[r], epsilon, cell] += 1
    return filled
