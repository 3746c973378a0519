"""Split a range of C-ordered positions into hyper-rectangles of the axes behind them."""

import math

import numpy as np


def boxes(start, stop, shape):
    """Yield the hyper-rectangles that a flat range covers, in order.

    Parameters
    ----------
    start, stop : int
        Range of flat positions, 0 <= start <= stop <= prod(shape).
    shape : tuple of int
        Sizes of the axes; C order.

    Yields
    ------
    tuple of slice
        One slice per axis. There are at most 2·rank - 1 of them.

    Examples
    --------
    >>> [tuple((s.start, s.stop) for s in box) for box in boxes(2, 9, (4, 3))]
    [((0, 1), (2, 3)), ((1, 3), (0, 3))]
    """
    if start >= stop:
        return
    if len(shape) <= 1:
        yield (slice(start, stop),) * len(shape)
        return
    rest = shape[1:]
    inner = math.prod(rest)
    first, head = divmod(start, inner)
    last, tail = divmod(stop, inner)
    if first == last:
        yield from _within(first, boxes(head, tail, rest))
        return
    if head:
        yield from _within(first, boxes(head, inner, rest))
        first += 1
    if first < last:
        yield (slice(first, last), *(slice(0, size) for size in rest))
    if tail:
        yield from _within(last, boxes(0, tail, rest))


def _within(position, inner_boxes):
    for box in inner_boxes:
        yield (slice(position, position + 1), *box)


def box_rows(box, shape):
    """Give the flat intervals that one hyper-rectangle covers: the inverse of `boxes`.

    Parameters
    ----------
    box : (rank, 2) int array
        [start, stop) on every axis.
    shape : tuple of int
        Sizes of the axes; C order.

    Returns
    -------
    (m, 2) int64 array
        Disjoint [start, stop) intervals in increasing order.
    """
    rank = len(shape)
    if rank == 0:
        return np.array([[0, 1]], np.int64)
    # Trailing axes that are covered whole join the run of the axis before them.
    split = rank - 1
    while split > 0 and box[split][0] == 0 and box[split][1] == shape[split]:
        split -= 1
    starts = np.zeros(1, np.int64)
    for axis in range(split):
        starts = (starts[:, None] * shape[axis] + np.arange(*box[axis])[None, :]).ravel()
    inner = math.prod(shape[split + 1 :])
    base = starts * shape[split]
    return np.stack([(base + box[split][0]) * inner, (base + box[split][1]) * inner], axis=1)


def rows_of(gaps, shape):
    """Give the merged row intervals that many boxes cover.

    Parameters
    ----------
    gaps : (m, rank, 2) int array
    shape : tuple of int

    Returns
    -------
    list of [start, stop]
    """
    if not len(gaps):
        return []
    if shape and (gaps[:, 1:] == np.array([[0, size] for size in shape[1:]]).reshape(-1, 2)).all():
        return merge(gaps[:, 0] * math.prod(shape[1:]))  # millions of absent chunks, without a loop
    return merge(np.concatenate([box_rows(box, shape) for box in gaps]))


def merge(intervals):
    """Sort intervals and join those that touch or overlap.

    Parameters
    ----------
    intervals : (m, 2) int array

    Returns
    -------
    list of [start, stop]
    """
    if not len(intervals):
        return []
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(intervals[:, 1])
    begins = np.flatnonzero(np.r_[True, intervals[1:, 0] > reach[:-1]])
    ends = np.r_[begins[1:] - 1, len(intervals) - 1]
    return [[int(intervals[a, 0]), int(reach[b])] for a, b in zip(begins, ends, strict=True)]
