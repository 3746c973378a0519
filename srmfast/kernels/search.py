"""Find candidates in wide layers without trying every pair.

A plane can only hold a row if one of its two coordinates is large. `find_large` lists the large coordinates of
each row, vector by vector; `find_partners` looks for the others that make a pair with them. Both work on
coordinates that lie side by side for each row. README.md has the bounds.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from srmfast.kernels._jit import jit, jit_screen
from srmfast.kernels.count import SMALL_NORM
from srmfast.kernels.decode import USED, square_of_one
from srmfast.kernels.pairs import SINGLE, wander
from srmfast.kernels.rows import STORED, as_float, of_lanes, row_pointers, widen
from srmfast.kernels.scan import SHRINK, STRIP, is_parallel, screen_floor

_SLACK = 1.0 - 2.0**-20  # on thresholds computed in float64 and compared in float32
_VECTOR = 256  # bits looked at by one instruction


@jit
def search_floor(epsilon, delta, cut):
    """Smallest value of u² + w² + 2·cut·|u·w| that a row inside some cone can show in a pair with |g| ≤ cut.

    Parameters
    ----------
    epsilon : float64
        The smallest epsilon asked for.
    delta : float64
        Bound on the error of a float32 coordinate of a row of norm 1.
    cut : float64

    Returns
    -------
    float64
        Not positive when the search could lose a row.
    """
    reach = epsilon * math.sqrt(1.0 - cut * cut) - 2.0 * delta - 8.0 * SINGLE
    return reach * reach * SHRINK if reach > 0.0 else -1.0


@jit_screen
def _count_large(values, floor):
    passers = 0
    for c in range(values.shape[0]):
        passers += abs(values[c]) >= floor
    return passers


@jit_screen
def _gather_large(values, floor, start, out, m):
    """Append the positions of large values, without a branch; `out` has one entry to spare."""
    for c in range(values.shape[0]):
        out[m] = start + c
        m += abs(values[c]) >= floor
    return m


@jit
def find_large(coordinates, block, floor, cut, large, begin):
    """List the large coordinates of rows from `begin` on, while there is room.

    Parameters
    ----------
    coordinates : (n, k) float32
        x·b_i/‖x‖, off by at most frame.delta for used rows, 0 for others.
    block : Block
    floor, cut : float64
        From `search_floor`.
    large : (2, room) int32, filled
        Vector and row of each, by row; room for more than k of them.
    begin : int

    Returns
    -------
    int, int
        The row to go on with, n when done, and how many were found.
    """
    n, k = coordinates.shape
    threshold = large_threshold(floor, cut)
    m = 0
    for r in range(begin, n):
        if m + k >= large.shape[1]:
            return r, m
        if block.fate[r] != USED:
            continue
        m = _list_large(coordinates[r], r, block.norms[r] >= SMALL_NORM, threshold, large, m)
    return n, m


@jit
def find_loud(coordinates, block, floor, found):
    """Find the rows that have a coordinate so large that any partner makes a candidate of it.

    Parameters
    ----------
    coordinates, block, floor
        As for `find_large`.
    found : (n,) int64, filled

    Returns
    -------
    int
        How many there are.
    """
    level, m = np.float32(math.sqrt(floor)), 0
    for r in range(coordinates.shape[0]):
        if block.fate[r] == USED and block.norms[r] >= SMALL_NORM and _count_large(coordinates[r], level):
            found[m] = r
            m += 1
    return m


@jit
def _list_large(coordinates, r, bounded, threshold, large, m):
    """Append the large coordinates (k,) of row r; all of them when they are not bounded. Return the new length."""
    before = m
    for start in range(0, coordinates.shape[0], STRIP):
        strip = coordinates[start : start + STRIP]
        if not bounded:
            for i in range(strip.shape[0]):
                large[0, m + i] = start + i
            m += strip.shape[0]
        elif _count_large(strip, threshold):
            m = _gather_large(strip, threshold, start, large[0], m)
    large[1, before:m] = r
    return m


@jit
def large_threshold(floor, cut):
    """Magnitude from which a coordinate is large: that of the larger of two that reach `floor`."""
    return np.float32(math.sqrt(floor / (2.0 + 2.0 * cut)) * _SLACK)


@jit
def sort_by_vector(large, m, k, order):
    """Fill `order` (m,) int32 with the positions in `large` by vector, then by row."""
    first = np.zeros(k + 1, np.int64)
    for at in range(m):
        first[large[0, at] + 1] += 1
    for i in range(k):
        first[i + 1] += first[i]
    for at in range(m):
        i = large[0, at]
        order[first[i]] = at
        first[i] += 1


@jit
def find_partners(
    coordinates, block, frame, floor, cut, large, order, cosines, place, low, high, by_partner, candidates, state
):
    """Append the candidates that a large coordinate is part of.

    Parameters
    ----------
    coordinates : (n, k) float32
        Needed for rows with a large coordinate.
    block, frame : Block, Frame
    floor, cut, large : float64, float64, (2, room) int32
        From `search_floor` and `find_large`.
    order : (m,) int32
        From `sort_by_vector`, or a part of it.
    cosines : (·, k) float32
        b_i·b_j up to frame.delta at [place[i], j], for every i in `order`; (0, 0) when candidates need none.
    place : (k,) int32
    low, high : int
        Only pairs whose owner lies in this range: the partner, when `by_partner`, otherwise the larger index.
    by_partner : bool
        Candidates are (large, partner) as found; otherwise (smaller index, larger index).
    candidates : Candidates, filled
    state : (4,) int64, updated
        Next of `order`, next range, next partner, candidates filled. Zeros to begin with.

    Returns
    -------
    bool
        False when `candidates` is too full to go on: call again once it is emptied.
    """
    threshold = large_threshold(floor, cut)
    room, filled, m, told = candidates.row.shape[0], state[3], order.shape[0], cosines.shape[0] > 0
    for entry in range(state[0], m):
        i, r = np.int64(large[0, order[entry]]), np.int64(large[1, order[entry]])
        bounded = block.norms[r] >= SMALL_NORM
        u = abs(np.float64(coordinates[r, i]))
        rest = floor - u * u * (1.0 - cut * cut)
        least = np.float32(0.0)
        if bounded and u * u < floor:
            least = np.float32(max(0.0, math.sqrt(rest) - cut * u) * _SLACK)
        for part in range(state[1], 1 if by_partner else 2):
            if by_partner:
                first, stop = low, high
            elif part:
                first, stop = 0, i if low <= i < high else 0
            else:
                first, stop = max(low, i + 1), high
            first = max(first, state[2])
            state[2] = 0
            for start in range(first, stop, STRIP):
                if filled + STRIP >= room:
                    state[0], state[1], state[2], state[3] = entry, part, start, filled
                    return False
                strip = coordinates[r, start : min(start + STRIP, stop)]
                if least > 0.0 and not _count_large(strip, least):
                    continue
                passing = _gather_large(strip, least, start, candidates.second, filled)
                for at in range(filled, passing):
                    j = np.int64(candidates.second[at])
                    # A pair of two large coordinates is found from the smaller index.
                    if j == i or (j < i and (not bounded or abs(coordinates[r, j]) >= threshold)):
                        continue
                    if (frame.orthogonal or told) and is_parallel(frame, i, j):
                        continue
                    if told:
                        candidates.cosine[filled] = cosines[place[i], j]
                    swap = not by_partner and j < i
                    candidates.first[filled], candidates.second[filled] = (j, i) if swap else (i, j)
                    candidates.row[filled], candidates.pair[filled] = r, -1
                    filled += 1
        state[1] = 0
    state[0], state[1], state[2], state[3] = m, 0, 0, filled
    return True


@jit
def find_near(coordinates, block, frame, pairs, smallest, low, high, candidates, state):
    """Append the candidates of listed pairs, too near to parallel for the search: every pair on every row.

    Parameters
    ----------
    coordinates : (n, k) float32
    block, frame, pairs : Block, Frame, Pairs
        The list of pairs.
    smallest : float64
        Smallest epsilon.
    low, high : int
        Only pairs whose larger index lies in this range.
    candidates : Candidates, filled
    state : (4,) int64, updated
        Next row and next pair in [0] and [1], candidates filled in [3].

    Returns
    -------
    bool
        False when `candidates` is too full to go on.
    """
    q = pairs.first.shape[0]
    floor, g, inverse = np.empty(q, np.float32), np.empty(q, np.float32), np.empty(q, np.float32)
    for pair in range(q):
        floor[pair] = screen_floor(smallest, wander(frame.delta, pairs.g[pair], pairs.s[pair]))
        g[pair], inverse[pair] = pairs.g[pair], 1.0 / pairs.s[pair]
    room, filled = candidates.row.shape[0], state[3]
    for r in range(state[0], coordinates.shape[0]):
        if block.fate[r] != USED:
            continue
        bounded = block.norms[r] >= SMALL_NORM
        for pair in range(state[1], q):
            i, j = np.int64(pairs.first[pair]), np.int64(pairs.second[pair])
            u = coordinates[r, i]
            v = (coordinates[r, j] - g[pair] * u) * inverse[pair]
            if (u * u + v * v >= floor[pair] or not bounded) and low <= j < high:
                if filled == room:
                    state[0], state[1], state[3] = r, pair, filled
                    return False
                candidates.first[filled], candidates.second[filled] = i, j
                candidates.row[filled], candidates.pair[filled] = r, pair
                filled += 1
        state[1] = 0
    state[0], state[3] = coordinates.shape[0], filled
    return True


@jit
def find_large_stored(raw, block, frame, floor, large, rows, coordinates, begin):
    """List the large coordinates of rows as stored, for a basis of ±unit vectors.

    Parameters
    ----------
    raw : (n, d) stored values, as `rows.py` names them
    block : Block
    frame : Frame
    floor, large, begin
        As in `find_large`.
    rows : (n, d) float32 or None
        Rows with a large coordinate are filled; None when `raw` is float32 or float64.
    coordinates : (n, k) float32
        Likewise.

    Returns
    -------
    int, int
        As of `find_large`.
    """
    n, k = coordinates.shape
    threshold = large_threshold(floor, 0.0)
    m = 0
    for r in range(begin, n):
        if m + k >= large.shape[1]:
            return r, m
        norm = block.norms[r]
        bounded = norm >= SMALL_NORM
        if block.fate[r] != USED or (bounded and peak(raw, r) < threshold * norm * _SLACK):
            continue
        values = _converted(raw, r, rows)
        inverse = 1.0 / norm
        for i in range(k):
            coordinates[r, i] = np.float32(frame.signs[i] * np.float64(values[frame.columns[i]]) * inverse)
        m = _list_large(coordinates[r], r, bounded, threshold, large, m)
    return n, m


def _converted(raw, r, rows):
    """Return row r as floats, converted into `rows` where that is not None."""


@overload(_converted)
def _overload_converted(raw, r, rows):
    if rows == types.none:
        return lambda raw, r, rows: raw[r]

    def convert(raw, r, rows):
        square_of_one(raw, r, rows, None)
        return rows[r]

    return convert


@jit
def peak(raw, r):
    """Return the largest magnitude in row r of stored values, as float64; no value is NaN.

    The magnitudes of every IEEE type are in the order of their bits without the sign, so no value is converted.
    """
    return _peak(raw, r)


@intrinsic
def _peak(typingctx, raw, r):
    if raw.dtype not in STORED:
        return None
    return types.float64(raw, r), _emit_peak


def _emit_peak(context, builder, signature, args):
    stored = signature.args[0].dtype
    (row,), d = row_pointers(context, builder, signature.args[0], args[0], args[1], 1)
    word = ir.IntType(stored.bitwidth)
    lanes = _VECTOR // stored.bitwidth
    mask = (1 << (stored.bitwidth - 1)) - 1
    row = builder.bitcast(row, word.as_pointer())
    whole = builder.and_(d, ir.Constant(d.type, -lanes))
    vector = of_lanes(word, lanes)
    best = cgutils.alloca_once_value(builder, ir.Constant(vector, [0] * lanes))
    rest = cgutils.alloca_once_value(builder, ir.Constant(word, 0))

    def larger(at, values, mask):
        values = builder.and_(values, mask)
        held = builder.load(at)
        builder.store(builder.select(builder.icmp_signed(">", values, held), values, held), at)

    with cgutils.for_range_slice(builder, whole.type(0), whole, whole.type(lanes)) as (column, _):
        pointer = builder.bitcast(builder.gep(row, [column]), vector.as_pointer())
        larger(best, builder.load(pointer, align=1), ir.Constant(vector, [mask] * lanes))
    with cgutils.for_range_slice(builder, whole, d, whole.type(1)) as (column, _):
        larger(rest, builder.load(builder.gep(row, [column])), ir.Constant(word, mask))
    held = builder.load(best)
    for lane in range(lanes):
        larger(rest, builder.extract_element(held, ir.Constant(ir.IntType(32), lane)), ir.Constant(word, mask))
    return widen(builder, as_float(builder, builder.load(rest), stored, 1), 1)
