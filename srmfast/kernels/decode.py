"""Raw stored bits to float32 or float64 rows, their deciding norms and what becomes of each row."""

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
from srmfast.kernels.rows import DOUBLE, LANES, emit_pinned_sum, pinned_dot

USED, ZERO, NONFINITE = 0, 1, 2  # what becomes of a row


@jit
def half_to_single(bits, out):
    """Convert float16 bit patterns to float32, exactly for all 65,536 of them.

    Parameters
    ----------
    bits : (n, d) uint16
    out : (n, d) float32, filled

    Notes
    -----
    The exponent is rebased by one exact multiplication, which takes subnormals along; integer code runs on
    any CPU, where the conversion instruction does not.
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
def bfloat16_to_single(bits, out):
    """Convert bfloat16 bit patterns (n, d) uint16 to float32 (n, d): a shift."""
    for r in range(bits.shape[0]):
        pattern = out[r].view(np.uint32)
        for c in range(bits.shape[1]):
            pattern[c] = np.uint32(bits[r, c]) << np.uint32(16)


@jit
def subtract(rows, mean, out):
    """Centre rows (n, d) by `mean` (d,) float64 into `out` (n, d) float64."""
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            out[r, c] = np.float64(rows[r, c]) - mean[c]


@jit
def measure(rows, norms, fate):
    """Compute each row's deciding norm and fate.

    Parameters
    ----------
    rows : (n, d) float32 or float64
    norms : (n,) float64, filled
        Square root of the pinned dot of the row with itself.
    fate : (n,) uint8, filled
        USED, ZERO (the squares sum to 0, by underflow too) or NONFINITE (a NaN, an infinity, an overflow).
    """
    for r in range(rows.shape[0]):
        _judge(r, pinned_dot(rows[r], rows[r]), norms, fate)


@jit
def measure_halves(bits, rows, norms, fate):
    """Convert float16 bits (n, d) uint16 to float32 `rows` and measure them, with the CPU's own conversion.

    Only where `half_instructions()`; the same values as `half_to_single` and `measure`, in one pass.
    """
    for r in range(bits.shape[0]):
        _judge(r, _convert_and_square(bits[r], rows[r]), norms, fate)


@jit
def _judge(r, square, norms, fate):
    norms[r] = math.sqrt(square)
    if square == 0.0:
        fate[r] = ZERO
    elif square < math.inf:  # False for NaN as well
        fate[r] = USED
    else:
        fate[r] = NONFINITE


@functools.cache
def half_instructions():
    """Whether the code that Numba generates may convert float16: elsewhere it would call what is not there."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return "+f16c" in (config.CPU_FEATURES or "")
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return bool(config.ENABLE_AVX) and get_host_cpu_features().get("f16c", False)


@intrinsic
def _convert_and_square(typingctx, bits, row):
    return types.float64(bits, row), _emit_convert_and_square


def _emit_convert_and_square(context, builder, signature, args):
    bits, row = (
        context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, args, strict=True)
    )
    d = builder.extract_value(bits.shape, 0)

    def product(column, lanes):
        def wide(kind):
            return ir.VectorType(kind, lanes) if lanes > 1 else kind

        source = builder.bitcast(builder.gep(bits.data, [column]), wide(ir.IntType(16)).as_pointer())
        single = builder.fpext(
            builder.bitcast(builder.load(source, align=1), wide(ir.HalfType())), wide(ir.FloatType())
        )
        target = builder.bitcast(builder.gep(row.data, [column]), wide(ir.FloatType()).as_pointer())
        builder.store(single, target, align=1)
        double = builder.fpext(single, wide(DOUBLE))
        return builder.fmul(double, double)

    return emit_pinned_sum(builder, d, lambda column: product(column, LANES), lambda column: product(column, 1))


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
