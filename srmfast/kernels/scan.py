"""Count arcs over a block of rows: screen every (row, plane) in float32, decide the few that pass in float64."""

import math

import numpy as np

from srmfast.kernels._jit import jit, jit_inline, jit_screen
from srmfast.kernels.arcs import TINY, add_arc, arc, is_inside, turn_of
from srmfast.kernels.decode import USED
from srmfast.kernels.rows import pinned_dot

LISTED, PERMUTATIONS, COMBINATIONS = 0, 1, 2  # how planes are numbered
SMALL_NORM = 2.0**-450  # below, a row's squares may have underflowed: the line decides at every angle
_SINGLE = 2.0**-24  # unit round-off of float32
_TILE = 32  # rows
_STRIP = 256  # rows screened at once: those of a strip without passers are not looked at again


@jit
def select_coordinates(rows, norms, fate, columns, signs, out):
    """Fill `out` (k, n) float32 with x·b_i/‖x‖ for a basis of ±unit vectors.

    Parameters
    ----------
    rows : (n, d) float32 or float64
    norms, fate : (n,) float64, (n,) uint8
        Rows whose fate is not USED give zeros.
    columns, signs : (k,) int64, (k,) float64
        b_i is signs[i] times the unit vector of columns[i].
    out : (k, n) float32, filled
    """
    inverse = np.empty(rows.shape[0])
    for r in range(rows.shape[0]):
        inverse[r] = 1.0 / norms[r] if fate[r] == USED else 0.0
    # Tiles of rows, so that the strided reads of a column find the lines of the tile in the cache.
    for start in range(0, rows.shape[0], _TILE):
        stop = min(start + _TILE, rows.shape[0])
        for i in range(columns.shape[0]):
            column, sign = columns[i], signs[i]
            for r in range(start, stop):
                out[i, r] = (
                    np.float32(sign * np.float64(rows[r, column]) * inverse[r]) if fate[r] == USED else np.float32(0.0)
                )


@jit
def scale_coordinates(norms, coordinates):
    """Divide products x·b_i, `coordinates` (k, n) float32, by norms (n,) float64 that have a float32 reciprocal."""
    inverse = np.empty(norms.shape[0], np.float32)
    for r in range(norms.shape[0]):
        inverse[r] = 1.0 / norms[r]
    for i in range(coordinates.shape[0]):
        for r in range(norms.shape[0]):
            coordinates[i, r] *= inverse[r]


@jit
def plane_number(i, j, k, numbering):
    """Number of the ordered plane (i, j) when planes are not listed; −1 when it is not among them."""
    if numbering == PERMUTATIONS:
        return i * (k - 1) + j - (1 if j > i else 0)
    return i * (2 * k - i - 1) // 2 + j - i - 1 if i < j else -1


@jit_screen
def _pass_orthogonal(u, w, floor):
    passers = 0
    for r in range(u.shape[0]):
        passers += u[r] * u[r] + w[r] * w[r] >= floor
    return passers


@jit_screen
def _pass_oblique(u, w, g, inverse, floor):
    passers = 0
    for r in range(u.shape[0]):
        v = (w[r] - g * u[r]) * inverse
        passers += u[r] * u[r] + v * v >= floor
    return passers


@jit_screen
def _gather(u, w, g, inverse, floor, start, passers, m):
    """Append the rows that pass the screen, without a branch; `passers` has one entry to spare."""
    for r in range(u.shape[0]):
        v = (w[r] - g * u[r]) * inverse
        passers[m] = start + r
        m += u[r] * u[r] + v * v >= floor
    return m


@jit
def screen_floor(epsilon, g, s, delta):
    """Smallest float32 r² that a row inside some cone can show, −1 when the screen could lose one.

    Parameters
    ----------
    epsilon : float64
        The smallest epsilon asked for.
    g, s : float64
        Geometry of the plane.
    delta : float64
        Bound on the error of a float32 coordinate of a row of norm 1.
    """
    error_v = (delta + abs(g) * delta + 6.0 * _SINGLE) / s
    reach = epsilon - math.sqrt(2.0) * max(delta, error_v) - 8.0 * _SINGLE
    return np.float32(reach * reach * (1.0 - 16.0 * _SINGLE)) if reach > 0.0 else np.float32(-1.0)


@jit
def _coordinates(rows, passers, i, vectors, columns, signs, known, out):
    """Fill `out` (m,) with x·b_i in float64 by the pinned dot, remembered in `known` (k, n), NaN = not yet."""
    if columns.shape[0]:
        column, sign = columns[i], signs[i]
        for p in range(passers.shape[0]):
            out[p] = sign * np.float64(rows[passers[p], column])
        return
    for p in range(passers.shape[0]):
        r = passers[p]
        value = known[i, r]
        if math.isnan(value):
            value = pinned_dot(rows[r], vectors[i])
            known[i, r] = value
        out[p] = value


@jit_inline
def _record(start, length, plane, label, e, fold, counts, totals, events, state):
    """Add one arc of one plane, label and epsilon to whatever is being kept."""
    add_arc(totals, fold, label, e, start, length)
    if counts.shape[2]:
        add_arc(counts, label, e, plane, start, length)
    elif events.shape[0]:
        n = state[4]
        events[n, 0] = (plane * totals.shape[1] + label) * totals.shape[2] + e
        events[n, 1] = start % (totals.shape[3] - 1)
        events[n, 2] = length
        state[4] = n + 1


@jit
def _record_by_line(u, v, t, table, plane, label, e, fold, counts, totals, events, state):
    """Decide every angle by the line, for coordinates so small that their products may be subnormal."""
    a = (table.shape[0] - 5) // 2
    if u == 0.0 and v == 0.0:
        if 0.0 >= t:
            _record(0, a, plane, label, e, fold, counts, totals, events, state)
        return
    m, found = 0, 0
    while m < a:
        first = m
        while m < a and is_inside(u, v, t, m, table):
            m += 1
        if m > first:
            _record(first, m - first, plane, label, e, fold, counts, totals, events, state)
            found = 1
        m += 1
    state[3] += found


@jit
def decide(
    at, passers, u, w, norms, labels, folds, g, s, s_back, one, two, epsilons, table, counts, totals, events, state
):
    """Record the arcs of rows that passed the screen, in the planes (i, j) and (j, i), for every epsilon.

    Parameters
    ----------
    at : int
        Which passer to begin with.
    passers : (m,) int64
        Rows of the block.
    u, w : (m,) float64
        Their x·b_i and x·b_j.
    norms, labels, folds : (n,)
    g, s, s_back : float64
        Geometry of (i, j), and s of (j, i).
    one, two : int
        Numbers of (i, j) and (j, i); −1 when not asked for.
    epsilons, table, counts, totals, events, state
        As in `scan`.

    Returns
    -------
    int
        The passer to go on with when `events` is nearly full; m when done.
    """
    a = (table.shape[0] - 5) // 2
    room = 2 * epsilons.shape[0] * (a // 2 + 1)  # the most arcs that one row can add
    mirrored = g == 0.0 and a % 4 == 0 and one >= 0
    for p in range(at, passers.shape[0]):
        if events.shape[0] and events.shape[0] - state[4] < room:
            return p
        r = passers[p]
        norm, label, fold = norms[r], labels[r], folds[r]
        for backwards in range(2):
            plane = two if backwards else one
            if plane < 0 or (backwards and mirrored):
                continue
            if backwards:
                first = w[p]
                second = (u[p] - g * first) / s_back
            else:
                first = u[p]
                second = (w[p] - g * first) / s
            square = first * first + second * second
            ordinary = square >= TINY and norm >= SMALL_NORM
            length_in_plane = math.sqrt(square)
            turn = turn_of(first, second) if ordinary else 0.0
            for e in range(epsilons.shape[0]):
                t = epsilons[e] * norm
                if not ordinary:
                    _record_by_line(first, second, t, table, plane, label, e, fold, counts, totals, events, state)
                    if mirrored and two >= 0:
                        _record_by_line(second, first, t, table, two, label, e, fold, counts, totals, events, state)
                    continue
                start, length = arc(first, second, length_in_plane, t, turn, table)
                if length:
                    state[3] += 1 + (mirrored and two >= 0)
                    _record(start, length, plane, label, e, fold, counts, totals, events, state)
                    if mirrored and two >= 0:
                        # cos(π/2 − θ) = sin θ on this grid: (j, i) sees the same arc from the other side.
                        back = a // 4 - (start + length - 1)
                        _record(back, length, two, label, e, fold, counts, totals, events, state)
    return passers.shape[0]


@jit
def scan(
    rows,
    norms,
    fate,
    labels,
    folds,
    coordinates,
    known,
    delta,
    vectors,
    columns,
    signs,
    g_matrix,
    s_matrix,
    numbering,
    first,
    partner,
    forward,
    reverse,
    epsilons,
    table,
    counts,
    totals,
    events,
    state,
):
    """Count the arcs of a block of rows in every plane.

    Parameters
    ----------
    rows : (n, d) float32 or float64
    norms, fate : (n,) float64, (n,) uint8
        From `measure`.
    labels, folds : (n,) int32, (n,) uint8
        Class and fold of each row.
    coordinates : (k, n) float32
        x·b_i/‖x‖, off by at most `delta` for used rows.
    known : (k, n) float64, NaN-filled, updated; (0, 0) with `columns`
        Exact coordinates as far as they were needed.
    delta : float64
    vectors : (k, d) float64
    columns, signs : (k,) int64, (k,) float64; (0,) when the basis is not made of ±unit vectors
    g_matrix, s_matrix : (k, k) float64; (0, 0) when all pairs are orthogonal
        Geometry of planes; s = 0 marks a parallel pair, which is passed over. With `columns`, vectors that
        share a column are the parallel ones.
    numbering : int
        LISTED, PERMUTATIONS or COMBINATIONS.
    first, partner, forward, reverse : (k + 1,) int64, (pairs,) int32, (pairs,) int64, (pairs,) int64
        LISTED: the partners j > i of vector i are partner[first[i] : first[i + 1]], their planes (i, j) and
        (j, i) have the numbers forward and reverse, −1 when not asked for. Empty otherwise.
    epsilons : (e,) float64
    table : (2a + 5, 2) float64
        From `wrap_table`.
    counts : (c, e, p, a + 1) int32, updated; (c, e, 0, 0) to keep no planes or events only
        Difference arrays.
    totals : (64, c, e, a + 1) int64, updated
        Difference arrays summed over planes.
    events : (room, 3) int64, filled; (0, 3) when not wanted
        (key, start, length) with key = (plane·c + label)·e + epsilon.
    state : (5,) int64, updated
        Next vector i, next partner, next passer, arcs found, events filled. A call ends early when `events`,
        which needs room for e·(a + 2) of them, could overflow; it goes on where it stopped when called again.

    Returns
    -------
    bool
        Whether the block is finished.
    """
    n, k = rows.shape[0], vectors.shape[0]
    smallest = epsilons.min()
    for r in range(n):
        if fate[r] == USED and norms[r] < SMALL_NORM:
            smallest = -1.0  # its float32 coordinates are not bounded: let the whole block pass
    listed = numbering == LISTED
    selection = columns.shape[0] > 0
    passers, u, w = np.empty(n + 1, np.int64), np.empty(n), np.empty(n)
    i, at, resume = state[0], state[1], state[2]
    while i < k:
        partners = first[i + 1] - first[i] if listed else k - 1 - i
        while at < partners:
            j = partner[first[i] + at] if listed else i + 1 + at
            one = forward[first[i] + at] if listed else plane_number(i, j, k, numbering)
            two = reverse[first[i] + at] if listed else plane_number(j, i, k, numbering)
            begin, resume = resume, 0
            at += 1
            g, s, s_back = 0.0, 1.0, 1.0
            if selection:
                if columns[i] == columns[j]:
                    continue
            elif g_matrix.shape[0]:
                g, s, s_back = g_matrix[i, j], s_matrix[i, j], s_matrix[j, i]
                if s == 0.0:
                    continue
            floor = screen_floor(smallest, g, s, delta)
            g_single, inverse = np.float32(g), np.float32(1.0 / s)
            u_single, w_single = coordinates[i], coordinates[j]
            m = 0
            if floor > 0.0:
                for start in range(0, n, _STRIP):
                    # Rows that are not used have zero coordinates and do not pass.
                    u_strip, w_strip = u_single[start : start + _STRIP], w_single[start : start + _STRIP]
                    if g == 0.0:
                        passing = _pass_orthogonal(u_strip, w_strip, floor)
                    else:
                        passing = _pass_oblique(u_strip, w_strip, g_single, inverse, floor)
                    if passing:
                        m = _gather(u_strip, w_strip, g_single, inverse, floor, start, passers, m)
            else:
                for r in range(n):
                    passers[m] = r
                    m += fate[r] == USED
            if m == 0:
                continue
            _coordinates(rows, passers[:m], i, vectors, columns, signs, known, u[:m])
            _coordinates(rows, passers[:m], j, vectors, columns, signs, known, w[:m])
            done = decide(
                begin, passers[:m], u[:m], w[:m], norms, labels, folds, g, s, s_back, one, two,
                epsilons, table, counts, totals, events, state,
            )  # fmt: skip
            if done < m:
                state[0], state[1], state[2] = i, at - 1, done
                return False
        i, at = i + 1, 0
    state[0], state[1], state[2] = k, 0, 0
    return True
