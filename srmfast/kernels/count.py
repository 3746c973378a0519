"""From candidates to counts: guess many arcs at once, let the line decide the doubtful ones, add them all."""

import math

import numpy as np

from srmfast.kernels._jit import jit, jit_inline, jit_screen
from srmfast.kernels.arcs import TINY, arc, is_inside, turn_of
from srmfast.kernels.ends import GRID, UNSURE, ends, finishes, polar
from srmfast.kernels.pairs import LISTED, exact_point, geometry, oblique, plane_number, wander

SMALL_NORM = 2.0**-450  # below, a row's squares may have underflowed: the line decides at every angle
_OBLIQUE = 0.96  # |g| below which s is guessed from it
_WORTHWHILE = 64  # candidates of one pair and fold that are worth a chunk of their own
_SHORT = 6000  # entries that are few enough to be added whole after each chunk
_CHUNK = 512  # candidates at a time: their arrays stay in the first cache


@jit_inline
def _place(number, slots, numbers, state, places):
    """Where the plane of this number lies among the difference arrays."""
    place = np.int64(number)
    if slots.shape[0]:
        place = np.int64(slots[number]) - 1
        if place < 0:
            place = state[1]
            if place < places:
                state[1] = place + 1
                slots[number] = place + 1
                numbers[place] = number
            else:
                state[2], place = 1, 0  # the run is given up: where this arc goes does not matter
    return place


@jit_inline
def _pair_place(i, j, counts):
    """Where the hits of an unordered pair are counted: pairs stand by their larger vector."""
    high, low = max(i, j), min(i, j)
    return high * (high - 1) // 2 + low - counts.first_pair


@jit_inline
def _add(differences, at, width, start, length):
    """Add the arc start … start + length − 1, start in [0, a), length in [1, a], to the a + 1 entries from `at` on."""
    end = start + length
    wraps = 1 if end >= width else 0
    differences[at + start] += 1
    differences[at + end - wraps * (width - 1)] -= 1
    differences[at] += wraps  # without a branch, which would be guessed wrong every other time


@jit
def _add_any(counts, number, label, e, fold, start, length):
    c, epsilons, width = counts.totals.shape[1], counts.totals.shape[2], counts.totals.shape[3]
    start %= width - 1
    _add(counts.totals.reshape(counts.totals.size), ((fold * c + label) * epsilons + e) * width, width, start, length)
    places = counts.differences.shape[0]
    if places:
        place = _place(number, counts.slots, counts.numbers, counts.state, places)
        at = ((place * c + label) * epsilons + e) * width
        _add(counts.differences.reshape(counts.differences.size), at, width, start, length)


@jit
def _by_line(u, v, t, table, number, label, e, fold, counts):
    """Decide every angle by the line, for coordinates so small that the angles inside need not be one run."""
    a = (table.shape[0] - 5) // 2
    if u == 0.0 and v == 0.0:
        if 0.0 >= t:
            counts.state[0] += 1
            _add_any(counts, number, label, e, fold, 0, a)
        return
    m, found = 0, 0
    while m < a:
        first = m
        while m < a and is_inside(u, v, t, m, table):
            m += 1
        if m > first:
            _add_any(counts, number, label, e, fold, first, m - first)
            found = 1
        m += 1
    counts.state[0] += found


@jit
def _look_over(block):
    """Whether all rows have one fold, and whether any has coordinates that are not bounded."""
    one_fold, odd = True, False
    first = block.folds[0]
    for r in range(block.norms.shape[0]):
        one_fold &= block.folds[r] == first
        odd |= block.norms[r] < SMALL_NORM
    return one_fold, odd


@jit
def _end_of_pair(firsts, seconds, begin, stop):
    """Where the candidates of the first pair end, in [begin + 1, stop]; those of a pair stand together."""
    i, j = firsts[begin], seconds[begin]
    low, high = begin, stop  # the pair holds at low, and does not at high or beyond
    if firsts[stop - 1] == i and seconds[stop - 1] == j:
        return stop
    while high - low > 1:
        middle = (low + high) // 2
        if firsts[middle] == i and seconds[middle] == j:
            low = middle
        else:
            high = middle
    return high


@jit
def _end_of_fold(folds, row, begin, stop):
    at = begin + 1
    while at < stop and folds[row[at]] == folds[row[begin]]:
        at += 1
    return at


@jit
def _gather(vector, row, coordinates, stride, step, out):
    """Fill `out` (m,) with the coordinates of rows along vectors, one of each a candidate."""
    wide, narrow = np.uint64(stride), np.uint64(step)  # unsigned, which spares the test for an index below 0
    for n in range(out.shape[0]):
        out[n] = coordinates[np.uint64(np.uint32(vector[n])) * wide + np.uint64(np.uint32(row[n])) * narrow]


@jit
def _gather_along(row, coordinates, first, step, out):
    """The same for one vector, whose coordinates begin at `first`."""
    narrow, offset = np.uint64(step), np.uint64(first)
    for n in range(out.shape[0]):
        out[n] = coordinates[offset + np.uint64(np.uint32(row[n])) * narrow]


@jit_screen
def _second_axis(u, w, g, inverse, v):
    for n in range(v.shape[0]):
        v[n] = (w[n] - g[n] * u[n]) * inverse[n]


@jit
def _unsure(length):
    unsure = 0
    for n in range(length.shape[0]):
        unsure += length[n] == UNSURE
    return unsure


@jit
def _add_short(start, finish, short):
    """Add arcs to two short arrays that stay in the first cache: where counts grow, and where they shrink."""
    grows, shrinks = short[0, 0], short[0, 1]
    for n in range(start.shape[0]):
        grows[np.uint64(np.uint32(start[n]))] += 1
        shrinks[np.uint64(np.uint32(finish[n]))] += 1


@jit
def _add_short_by_label(start, finish, length, label, short):
    """The same, to two arrays for each label."""
    for n in range(start.shape[0]):
        grows, shrinks = short[label[n], 0], short[label[n], 1]
        grows[np.uint64(np.uint32(start[n]))] += 1
        shrinks[np.uint64(np.uint32(finish[n]))] += 1
        grows[0] += start[n] + length[n] >= short.shape[2]  # passes the end of the turn


@jit
def _pour(short, into):
    for x in range(into.shape[0]):
        into[x] += short[0, x] - short[1, x]


@jit
def count(candidates, m, by_pair, coordinates, stride, step, block, frame, pairs, cut, cones, counts):
    """Decide and add `m` candidates.

    Parameters
    ----------
    candidates : Candidates
    m : int
    by_pair : bool
        Whether all candidates of a pair stand together, which makes them cheaper.
    coordinates : (·,) float32
        x·b_i/‖x‖ of row r at i·stride + r·step, off by at most frame.delta.
    stride, step : int
    block, frame, pairs, cones : Block, Frame, Pairs, Cones
    cut : float64
        Candidates without a pair number are left out when |g| exceeds it: a list holds their pairs.
    counts : Counts, updated
    """
    k, a = frame.vectors.shape[0], (cones.table.shape[0] - 5) // 2
    certain = GRID[0] <= a <= GRID[1]
    # Every array by a name of its own: one taken from a tuple inside the loops would be counted as a reference there.
    firsts, seconds, row, pair_of = candidates.first, candidates.second, candidates.row, candidates.pair
    cosine, by_product = candidates.cosine, not frame.orthogonal and not frame.g.shape[0]
    rows, norms, labels, folds = block.rows, block.norms, block.labels, block.folds
    vectors, columns, signs, orthogonal = frame.vectors, frame.columns, frame.signs, frame.orthogonal
    forward, reverse, listed, both = pairs.forward, pairs.reverse, pairs.numbering == LISTED, pairs.both
    epsilons, table = cones.epsilons, cones.table
    slots, planes, state, hits = counts.slots, counts.numbers, counts.state, counts.hits
    totals, differences = counts.totals.reshape(counts.totals.size), counts.differences.reshape(counts.differences.size)
    places, c, e, width = counts.differences.shape[0], counts.totals.shape[1], counts.totals.shape[2], a + 1
    x, y, v = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32)
    slant, shrink = np.empty(_CHUNK, np.float32), np.empty((2, _CHUNK), np.float32)
    eta = np.empty((2, _CHUNK), np.float32)
    turn, radius = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32)
    start, finish, length = np.empty(_CHUNK, np.int32), np.empty(_CHUNK, np.int32), np.empty(_CHUNK, np.int32)
    one_fold, any_odd = _look_over(block)
    number, label = np.empty((2, _CHUNK), np.int64), np.zeros(_CHUNK, np.int64)
    short = np.zeros((c, 2, width), np.int32) if c * width <= _SHORT else np.zeros((0, 2, width), np.int32)
    last_i, last_j, ahead, behind = -1, -1, -1, -1
    g, inverse, inverse_back = 0.0, 1.0, 1.0
    unknown = np.float32(math.inf)
    error = error_back = wander(frame.delta, 0.0, 1.0)
    doubt = frame.delta if by_product else 0.0
    widest = 0
    for epsilon in range(1, e):  # np.argmin would bring scipy with it
        widest = epsilon if epsilons[epsilon] < epsilons[widest] else widest
    far = min(cut - 2.0 * doubt, _OBLIQUE)  # |g| below which a guess needs no more than g
    stop = 0
    while stop < m:
        # A chunk is of one pair and one fold, unless such chunks would be too small.
        begin, stop = stop, min(stop + _CHUNK, m)
        end = _end_of_pair(firsts, seconds, begin, stop) if by_pair else begin + 1
        one_pair = end == stop or end - begin >= _WORTHWHILE
        stop = end if one_pair else stop
        end = stop if one_fold else _end_of_fold(folds, row, begin, stop)
        to_short = short.shape[0] > 0 and (end == stop or end - begin >= _WORTHWHILE)
        stop = end if to_short else stop
        filled, fold = stop - begin, np.int64(folds[row[begin]])
        for at in range(begin, begin + 1 if one_pair else stop):
            i, j = np.int64(firsts[at]), np.int64(seconds[at])
            if i != last_i or j != last_j:
                last_i, last_j, pair = i, j, np.int64(pair_of[at])
                if listed:
                    ahead, behind = forward[pair], reverse[pair]
                else:
                    ahead = plane_number(i, j, k, pairs.numbering)
                    behind = plane_number(j, i, k, pairs.numbering) if both else -1
                near = math.inf
                if not orthogonal and pair < 0:
                    near = np.float64(cosine[at]) if by_product else frame.g[i, j]
                if abs(near) < far:
                    g = near
                    inverse, error = oblique(frame.delta, doubt, g)
                    inverse_back, error_back = inverse, error
                elif not orthogonal:
                    g, s, s_back = geometry(frame, pairs, i, j, pair)
                    if s == 0.0 or (pair < 0 and abs(g) > cut):
                        ahead, behind = -1, -1
                    else:
                        inverse, inverse_back = 1.0 / s, 1.0 / s_back
                        error, error_back = wander(frame.delta, g, s), wander(frame.delta, g, s_back)
            n = at - begin
            number[0, n], number[1, n] = ahead, behind
            if not one_pair and not orthogonal:
                eta[0, n], eta[1, n] = error, error_back
                slant[n], shrink[0, n], shrink[1, n] = g, inverse, inverse_back
        if one_pair or orthogonal:
            eta[0], eta[1] = error, error_back
            slant[:], shrink[0], shrink[1] = g, inverse, inverse_back
        if not certain:
            eta[:] = unknown
        if one_pair:
            _gather_along(row[begin:stop], coordinates, last_i * stride, step, x[:filled])
            _gather_along(row[begin:stop], coordinates, last_j * stride, step, y[:filled])
        else:
            _gather(firsts[begin:stop], row[begin:stop], coordinates, stride, step, x[:filled])
            _gather(seconds[begin:stop], row[begin:stop], coordinates, stride, step, y[:filled])
        if any_odd:
            for at in range(begin, stop):
                if norms[row[at]] < SMALL_NORM:
                    eta[0, at - begin], eta[1, at - begin] = unknown, unknown
        if c > 1:
            for at in range(begin, stop):
                label[at - begin] = labels[row[at]]
        for side in range(2 if both else 1):
            if one_pair and number[side, 0] < 0:
                continue
            u, w = (y, x) if side else (x, y)
            _second_axis(u, w, slant, shrink[side], v[:filled])
            polar(u[:filled], v[:filled], turn[:filled], radius[:filled])
            for epsilon in range(e):
                ends(
                    turn[:filled], radius[:filled], eta[side, :filled], np.float32(epsilons[epsilon]), a,
                    start[:filled], length[:filled],
                )  # fmt: skip
                if not one_pair:
                    for n in range(filled):
                        if number[side, n] < 0:  # not asked for
                            length[n] = 0
                unsure = _unsure(length[:filled])
                n = -1
                while unsure:
                    n += 1
                    if length[n] != UNSURE:
                        continue
                    unsure, length[n], at = unsure - 1, 0, begin + n
                    i, j, r = np.int64(firsts[at]), np.int64(seconds[at]), np.int64(row[at])
                    g_here, s_here, s_back_here = geometry(frame, pairs, i, j, pair_of[at])
                    if side:
                        i, j, s_here = j, i, s_back_here
                    exact_u, exact_v = exact_point(rows, r, vectors, columns, signs, i, j, g_here, s_here)
                    t = epsilons[epsilon] * norms[r]
                    square = exact_u * exact_u + exact_v * exact_v
                    if square >= TINY and norms[r] >= SMALL_NORM:
                        first, found = arc(exact_u, exact_v, math.sqrt(square), t, turn_of(exact_u, exact_v), table)
                        start[n], length[n] = first % a, found
                    else:
                        plane, before = number[side, 0 if one_pair else n], state[0]
                        _by_line(exact_u, exact_v, t, table, plane, labels[r], epsilon, folds[r], counts)
                        if hits.shape[0] and epsilon == widest:
                            hits[_pair_place(i, j, counts)] += state[0] - before
                found, wraps = finishes(start[:filled], length[:filled], a, finish[:filled])
                if not found:
                    continue
                state[0] += found
                if hits.shape[0] and epsilon == widest:
                    for n in range(filled):
                        if length[n]:
                            hits[_pair_place(np.int64(firsts[begin + n]), np.int64(seconds[begin + n]), counts)] += 1
                if to_short:
                    if c == 1:
                        short[0, 0, 0] = wraps
                        _add_short(start[:filled], finish[:filled], short)
                    else:
                        _add_short_by_label(start[:filled], finish[:filled], length[:filled], label[:filled], short)
                    place = 0
                    if places and one_pair:
                        place = _place(number[side, 0], slots, planes, state, places)
                    for group in range(c):
                        at = ((fold * c + group) * e + epsilon) * width
                        _pour(short[group], totals[at : at + width])
                        if places and one_pair:
                            at = ((place * c + group) * e + epsilon) * width
                            _pour(short[group], differences[at : at + width])
                    short[:] = 0
                    if one_pair:
                        continue
                for n in range(filled):
                    if length[n]:
                        if not to_short:
                            at = np.int64(folds[row[begin + n]]) * c + label[n]
                            _add(totals, (at * e + epsilon) * width, width, start[n], length[n])
                        if places:
                            at = _place(number[side, 0 if one_pair else n], slots, planes, state, places) * c + label[n]
                            _add(differences, (at * e + epsilon) * width, width, start[n], length[n])
