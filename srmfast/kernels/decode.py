"""Stored values to deciding norms and float32 rows, and what becomes of each row."""

import functools
import math
import platform

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import config
from numba.extending import intrinsic

from srmfast.kernels._jit import jit
from srmfast.kernels.rows import STORED, emit_pinned_sums, load, row_pointers, store, widen

USED, ZERO, NONFINITE = 0, 1, 2  # what becomes of a row
QUAD = 4  # rows squared at once: their eight accumulators fill half of the vector registers


@functools.cache
def half_instructions():
    """Whether the code that Numba generates may convert float16: elsewhere it would call what is not there."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return "+f16c" in (config.CPU_FEATURES or "")
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return bool(config.ENABLE_AVX) and get_host_cpu_features().get("f16c", False)


@jit
def half_to_single(bits, out):
    """Convert float16 bit patterns to float32, exactly for all 65,536 of them, on any CPU.

    Parameters
    ----------
    bits : (n, d) uint16
    out : (n, d) float32, filled

    Notes
    -----
    The exponent is rebased by one exact multiplication, which takes subnormals along.
    """
    for r in range(bits.shape[0]):
        pattern = out[r].view(np.uint32)
        for c in range(bits.shape[1]):
            h = np.uint32(bits[r, c])
            special = np.uint32(0x70000000) if (h & np.uint32(0x7C00)) == np.uint32(0x7C00) else np.uint32(0)
            pattern[c] = (
                ((h & np.uint32(0x7FFF)) << np.uint32(13)) | ((h & np.uint32(0x8000)) << np.uint32(16)) | special
            )
        for c in range(bits.shape[1]):
            out[r, c] *= np.float32(2.0**112)


@jit
def bytes_to_single(codes, values, out):
    """Look up codes (n, d) uint8 of an eight-bit type in its `values` (256,) float32; fills `out` (n, d) float32."""
    for r in range(codes.shape[0]):
        for c in range(codes.shape[1]):
            out[r, c] = values[codes[r, c]]


@jit
def subtract(rows, mean, out):
    """Centre rows (n, d) by `mean` (d,) float64 into `out` (n, d) float64."""
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            out[r, c] = np.float64(rows[r, c]) - mean[c]


@jit
def measure(raw, rows, norms, fate):
    """Compute each row's deciding norm and fate.

    Parameters
    ----------
    raw : (n, d) stored values, as `rows.py` names them
    rows : (n, d) float32, filled with the same values; or None
    norms : (n,) float64, filled
        Square root of the pinned dot of the row with itself.
    fate : (n,) uint8, filled
        USED, ZERO (the squares sum to 0, by underflow too) or NONFINITE (a NaN, an infinity, an overflow).
    """
    squares = np.empty(QUAD)
    whole = raw.shape[0] - raw.shape[0] % QUAD
    for r in range(0, whole, QUAD):
        squares_of_four(raw, r, rows, None, None, squares)
        for step in range(QUAD):
            judge(r + step, squares[step], norms, fate)
    for r in range(whole, raw.shape[0]):
        judge(r, square_of_one(raw, r, rows, None), norms, fate)


@jit
def judge(r, square, norms, fate):
    """Write the norm and the fate of row r, whose squares sum to `square`."""
    norms[r] = math.sqrt(square)
    if square == 0.0:
        fate[r] = ZERO
    elif square < math.inf:  # False for NaN as well
        fate[r] = USED
    else:
        fate[r] = NONFINITE


@intrinsic
def square_of_one(typingctx, raw, r, rows, node):
    """Return the pinned dot of row r with itself; fill its row of `rows` and `node` (d,) float64 unless None."""
    if raw.dtype not in STORED:
        return None
    return types.float64(raw, r, rows, node), _emit_square_of_one


def _emit_square_of_one(context, builder, signature, args):
    kinds = signature.args
    (data,), d = row_pointers(context, builder, kinds[0], args[0], args[1], 1)
    into = None if kinds[2] == types.none else row_pointers(context, builder, kinds[2], args[2], args[1], 1)[0][0]
    node = None if kinds[3] == types.none else context.make_array(kinds[3])(context, builder, args[3]).data

    def products(column, lanes):
        value = load(builder, data, kinds[0].dtype, column, lanes)
        if into is not None:
            store(builder, value, into, column, lanes)
        value = widen(builder, value, lanes)
        if node is not None:
            store(builder, value, node, column, lanes)
        return [builder.fmul(value, value)]

    return emit_pinned_sums(builder, d, 1, products)[0]


@intrinsic
def squares_of_four(typingctx, raw, r, rows, onto, node, squares):
    """Square rows r … r + 3 at once.

    Parameters
    ----------
    raw : (n, d) stored values
    r : int
    rows : (n, d) float32, four rows filled; or None
    onto : (·,) float64 or None
    node : (·,) float64, d entries filled; or None
        The sum of the four rows as (0+1)+(2+3), added to `onto` when there is one.
    squares : (4,) float64, filled
        Pinned dot of each row with itself.
    """
    if raw.dtype not in STORED:
        return None
    return types.void(raw, r, rows, onto, node, squares), _emit_squares_of_four


def _emit_squares_of_four(context, builder, signature, args):
    kinds = signature.args
    data, d = row_pointers(context, builder, kinds[0], args[0], args[1], QUAD)
    into = None
    if kinds[2] != types.none:
        into, _ = row_pointers(context, builder, kinds[2], args[2], args[1], QUAD)
    onto, node = (
        None if kind == types.none else context.make_array(kind)(context, builder, value).data
        for kind, value in zip(kinds[3:5], args[3:5], strict=True)
    )

    def products(column, lanes):
        values = []
        for row in range(QUAD):
            value = load(builder, data[row], kinds[0].dtype, column, lanes)
            if into is not None:
                store(builder, value, into[row], column, lanes)
            values.append(widen(builder, value, lanes))
        if node is not None:
            total = builder.fadd(builder.fadd(values[0], values[1]), builder.fadd(values[2], values[3]))
            if onto is not None:
                total = builder.fadd(load(builder, onto, types.float64, column, lanes), total)
            store(builder, total, node, column, lanes)
        return [builder.fmul(value, value) for value in values]

    squares = context.make_array(kinds[5])(context, builder, args[5]).data
    for row, square in enumerate(emit_pinned_sums(builder, d, QUAD, products)):
        builder.store(square, builder.gep(squares, [ir.Constant(ir.IntType(64), row)]))
    return context.get_dummy_value()


@jit
def narrow(rows, norms, fate, out):
    """Divide rows (n, d) by their norms into float32 `out` (n, d), for screens; unused rows become zeros."""
    for r in range(rows.shape[0]):
        if fate[r] != USED:
            out[r] = np.float32(0.0)
            continue
        inverse = 1.0 / norms[r]  # finite: the root of a positive float64 is above 1e-162
        for c in range(rows.shape[1]):
            out[r, c] = np.float32(np.float64(rows[r, c]) * inverse)


@jit
def tally_fates(folds, labels, fate, out):
    """Count what became of the rows.

    Parameters
    ----------
    folds, labels, fate : (n,) uint8, int32, uint8
    out : (64, c, 3) int64, updated

    Returns
    -------
    int
        How many rows are not finite.
    """
    nonfinite = 0
    for r in range(fate.shape[0]):
        out[folds[r], labels[r], fate[r]] += 1
        nonfinite += fate[r] == NONFINITE
    return nonfinite
