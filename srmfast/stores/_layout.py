"""How chunks lie across rows: the unit a reader should use, and warnings when it is a bad one."""

import math

BLOCK_BYTES = 64 << 20  # a unit above it is worth a word
LARGE_UNIT_BYTES = 256 << 20
SMALL_CHUNK_BYTES = 16 << 10
NEAR_BYTES = 8 << 10  # a run shorter than this is a seek, not a stream


def rows_per_block(row_shape, row_chunks):
    """Find the smallest row unit whose multiples read every chunk once.

    Parameters
    ----------
    row_shape : tuple of int
        Sizes of the row axes.
    row_chunks : tuple of int or None
        Chunk sizes on the same axes.

    Returns
    -------
    int
        Rows, at least 1 and at most prod(row_shape).
    """
    if row_chunks is None:
        return 1
    for axis, (size, chunk) in enumerate(zip(row_shape, row_chunks, strict=True)):
        if chunk <= 1:
            continue
        inner = math.prod(row_shape[axis + 1 :])
        # A chunk that does not divide an inner axis ends anew at every outer position: the axis is the unit.
        outermost = math.prod(row_shape[:axis]) == 1
        fits = chunk < size and (outermost or size % chunk == 0)
        return (chunk if fits else size) * inner
    return 1


def reads(segments, row_shape, most):
    """Divide all rows into reads so that no chunk lies in two of them.

    Parameters
    ----------
    segments : list of (int, tuple of int or None)
        Length on the first row axis, and chunk sizes on the row axes, of stretches in which chunks begin anew.
    row_shape : tuple of int
        Sizes of the row axes.
    most : int
        Rows of one read; at least the largest unit.

    Yields
    ------
    start, stop : int
        In order. Small segments share a read.
    """
    inner = math.prod(row_shape[1:])
    if all(rows_per_block((length, *row_shape[1:]), chunks) == 1 for length, chunks in set(segments)):
        segments = [(row_shape[0], None)]  # nothing to respect: all reads alike
    begin = end = 0  # of what is still to be read
    for length, chunks in segments:
        rows = length * inner
        if begin < end and end - begin + rows > most:
            yield begin, end
            begin = end
        end += rows
        unit = rows_per_block((length, *row_shape[1:]), chunks)
        step = max(1, most // unit) * unit
        while end - begin > most:
            yield begin, begin + step
            begin += step
    if begin < end:
        yield begin, end


def unit_bytes(source, axes, rows):
    """Give the bytes decoded when `rows` rows, whole chunks, are read."""
    chunks = source.chunks or (1,) * len(source.shape)
    features = math.prod(-(-source.shape[axis] // chunks[axis]) * chunks[axis] for axis in axes.features)
    fixed = math.prod(min(chunks[axis], source.shape[axis]) for axis in axes.fixed)
    return rows * features * fixed * source.dtype.itemsize


def warnings(source, axes, rows, unit):
    """Give one line for everything that makes reading blocks of rows slow or large.

    Parameters
    ----------
    source : Source
    axes : Axes
    rows : int
        The row unit.
    unit : int
        Bytes decoded for it.

    Returns
    -------
    list of str
    """
    if source.chunks is None:
        return _strided(source, axes)
    if source.computes:
        return []  # a chunk is a batch, and nothing is stored
    shape, chunks = source.shape, source.chunks
    lines = []
    advice = source.advice()
    remedy = f"; rechunk: {advice}" if advice else ""
    chunk_bytes = math.prod(chunks) * source.dtype.itemsize
    split = any(chunks[axis] < shape[axis] for axis in axes.features)
    if split and unit > BLOCK_BYTES:
        lines.append(
            f"column-wise chunks {chunks}: {rows} rows must be decoded together ({_size(unit)}), so that one row alone "
            f"costs {rows} times its bytes{remedy}"
        )
    elif unit > LARGE_UNIT_BYTES:
        lines.append(f"large chunks {chunks}: the smallest unit of {rows} rows decodes {_size(unit)} at once{remedy}")
    for axis in axes.fixed:
        across = min(chunks[axis], shape[axis])
        if across > 1:
            lines.append(
                f"chunks {chunks} hold {across} positions of axis {axis} and one is used: {across} times "
                f"the bytes are read{remedy}"
            )
    if chunk_bytes < SMALL_CHUNK_BYTES and source.nbytes > 64 * SMALL_CHUNK_BYTES:
        lines.append(f"small chunks {chunks} of {_size(chunk_bytes)}: reading is dominated by the calls{remedy}")
    return lines


def good_chunks(shape, itemsize, target=8 << 20):
    """Propose chunks that hold whole features (the last axis) and about `target` bytes."""
    chunk = [1] * len(shape)
    chunk[-1] = shape[-1]
    room = max(1, target // max(1, shape[-1] * itemsize))
    for axis in range(len(shape) - 2, -1, -1):
        chunk[axis] = min(shape[axis], room)
        room = max(1, room // chunk[axis])
    return tuple(chunk)


def _strided(source, axes):
    """Warn when the values of one row are far apart in an unchunked file."""
    order = source.describe().get("order")
    if order is None:
        return []
    first = max(axes.features) if order == "F" else min(axes.features)
    behind = range(first) if order == "F" else range(first + 1, len(source.shape))
    stride = source.dtype.itemsize * math.prod(source.shape[axis] for axis in behind if axis in axes.rows)
    if stride <= NEAR_BYTES:
        return []
    return [
        f"features lie {_size(stride)} apart (features first): every block takes one read per feature; "
        "store it as (n, d)"
    ]


def _size(nbytes):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1024 or unit == "GiB":
            return f"{nbytes:.4g} {unit}"
        nbytes /= 1024
    raise AssertionError
