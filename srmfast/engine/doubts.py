"""What could be misunderstood about the rows of a store: features as rows, layers among them, padding that counts as tokens."""

import numpy as np

_WIDE = 10  # features for each row from which they may be the rows
_WIDTHS = 64  # what the width of a layer is a multiple of, as a rule, and a number of rows is not
_SEQUENCES = 16  # looked at, at most
_ROWS = 64  # at either end of a sequence
_BYTES = 32 << 20  # decoded for that, as far as one unit of the store is not larger


def doubts(store, selection):
    """Return a line for everything about the rows that should be told.

    Parameters
    ----------
    store : Store
    selection : RowSelection

    Returns
    -------
    list of str
    """
    if len(store.row_shape) < 2:
        return transposed(store)
    if selection.rules:
        return []
    padding = _padding(store)
    return padding or _layers(store)


def transposed(store):
    """Say so when features look like rows."""
    n, d = store.n, store.d
    if tuple(store.describe()["array_shape"]) != (n, d) or n < 2 or d <= _WIDE * n or d % _WIDTHS == 0:
        return []
    return [f"{n:,} rows of width {d:,} look transposed: if they are {d:,} rows of width {n:,}, use --feature-axis 0"]


def _layers(store):
    """Say which axes may be layers when nothing was chosen and no name tells."""
    aligned = any(tuple(shape) == store.row_shape for shape, _ in store.siblings().values())  # one value a token
    if store.axes_chosen or any(store.dims) or aligned:
        return []
    layers = store.perhaps_layers()
    return [f"every position of {store.location} is a row; {layers}"] if layers else []


def _padding(store):
    """Look at both ends of some sequences and count rows there that are zero or repeat one another."""
    size = store.row_shape[-1]
    if size < 2:
        return []
    sequences, reach = store.n // size, min(size, _ROWS)
    row_bytes = max(1, store.unit_bytes // store.rows_per_block)
    unit = max(store.unit_bytes, 2 * reach * row_bytes)
    looked_at = np.unique(np.linspace(0, sequences - 1, max(1, min(_SEQUENCES, sequences, _BYTES // unit))).astype(int))
    padded, rows = {"end": 0, "begin": 0}, {"end": 0, "begin": 0}
    for sequence in looked_at.tolist():
        first, stop = sequence * size, (sequence + 1) * size
        for side, block in (("end", store.read(stop - reach, stop)[::-1]), ("begin", store.read(first, first + reach))):
            constant = _constant(np.ascontiguousarray(block).view(np.uint8))
            padded[side] += constant > 0
            rows[side] += constant
    side = max(padded, key=padded.get)  # the end, when both are alike: the whole sequence may be constant
    if not padded[side]:
        return []
    least = "at least " if reach < size else ""
    return [
        f"{padded[side]} of {looked_at.size} sequences looked at {side} with rows that are zero or repeat one another "
        f"({least}{rows[side]:,} rows): padding cannot be told from tokens; use --mask, --lengths or --exclude-tokens"
    ]


def _constant(rows):
    """Return how many rows at the beginning equal the first, 0 for that one alone unless it is zero."""
    same = (rows == rows[0]).all(axis=1)
    length = int(same.argmin()) if not same.all() else len(same)
    return length if length > 1 or not rows[0].any() else 0
