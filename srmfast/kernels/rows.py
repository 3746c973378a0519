"""The pinned dot product, the only sum of products that may decide a count.

Lane = column mod 8; each lane adds its products in column order; the lanes are joined as
((0+1)+(2+3))+((4+5)+(6+7)), all float64, every product and sum rounded on its own. The loop is written as
vector code because no compiler may reorder it: LLVM lowers the eight lanes to whatever the CPU has.

Arrays may hold values as they were stored. Two kinds of bits go by the integer type they are viewed as:

    int16    float16, converted by the CPU's own instruction (`decode.half_instructions`)
    uint16   bfloat16
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from srmfast.kernels._jit import jit

SINGLE, DOUBLE = ir.FloatType(), ir.DoubleType()
LANES = 8
STORED = (types.int16, types.uint16, types.float32, types.float64)


@jit
def pinned_dot(x, y):
    """Dot product of two vectors in the order of operations that decides.

    Parameters
    ----------
    x, y : (d,) float32 or float64, contiguous
        Converted to float64 exactly, element by element.

    Returns
    -------
    float64
    """
    return _pinned_dot(x, y)


@intrinsic
def _pinned_dot(typingctx, x, y):
    for array in (x, y):
        if not (isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"):
            return None
    return types.float64(x, y), _emit


def _emit(context, builder, signature, args):
    x, y = (
        context.make_array(kind)(context, builder, value).data for kind, value in zip(signature.args, args, strict=True)
    )
    d = builder.extract_value(context.make_array(signature.args[0])(context, builder, args[0]).shape, 0)
    kinds = [kind.dtype for kind in signature.args]

    def product(column, lanes):
        a, b = (
            widen(builder, load(builder, data, kind, column, lanes), lanes)
            for data, kind in zip((x, y), kinds, strict=True)
        )
        return [builder.fmul(a, b)]

    return emit_pinned_sums(builder, d, 1, product)[0]


def emit_pinned_sums(builder, d, number, products):
    """Emit some pinned sums over d columns at once.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
    d : ir.Value
        Number of columns.
    number : int
        How many sums.
    products : callable
        `products(column, lanes)` emits the terms of `lanes` columns from `column` on, one value a sum: LANES as
        <8 x double>, 1 as double.

    Returns
    -------
    list of ir.Value, double
    """
    whole = builder.and_(d, ir.Constant(d.type, -LANES))
    vector = ir.VectorType(DOUBLE, LANES)
    sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * LANES)) for _ in range(number)]
    tails = [cgutils.alloca_once(builder, vector) for _ in range(number)]  # addressed lane by lane, so in memory

    with cgutils.for_range_slice(builder, whole.type(0), whole, whole.type(LANES)) as (column, _):
        for at, term in zip(sums, products(column, LANES), strict=True):
            builder.store(builder.fadd(builder.load(at), term), at)

    with builder.if_then(builder.icmp_unsigned("!=", whole, d)):
        lanes = []
        for at, tail in zip(sums, tails, strict=True):
            builder.store(builder.load(at), tail)
            lanes.append(builder.bitcast(tail, DOUBLE.as_pointer()))
        with cgutils.for_range_slice(builder, whole, d, whole.type(1)) as (column, _):
            for lane, term in zip(lanes, products(column, 1), strict=True):
                slot = builder.gep(lane, [builder.sub(column, whole)])
                builder.store(builder.fadd(builder.load(slot), term), slot)
        for at, tail in zip(sums, tails, strict=True):
            builder.store(builder.load(tail), at)

    return [_join(builder, builder.load(at)) for at in sums]


def _join(builder, total):
    parts = [builder.extract_element(total, ir.Constant(ir.IntType(32), i)) for i in range(LANES)]
    while len(parts) > 1:
        parts = [builder.fadd(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def of_lanes(kind, lanes):
    """Return the IR type of `lanes` values."""
    return ir.VectorType(kind, lanes) if lanes > 1 else kind


def load(builder, data, stored, column, lanes):
    """Load `lanes` consecutive stored values as float or double, exactly; no alignment is assumed."""
    raw = {types.float32: SINGLE, types.float64: DOUBLE}.get(stored, ir.IntType(16))
    pointer = builder.bitcast(builder.gep(data, [column]), of_lanes(raw, lanes).as_pointer())
    return as_float(builder, builder.load(pointer, align=1), stored, lanes)


def as_float(builder, values, stored, lanes):
    """Turn the bits of stored values, or the values themselves, into float or double."""
    if stored == types.int16:
        return builder.fpext(builder.bitcast(values, of_lanes(ir.HalfType(), lanes)), of_lanes(SINGLE, lanes))
    if stored == types.uint16:
        word = of_lanes(ir.IntType(32), lanes)
        sixteen = ir.Constant(word, [16] * lanes if lanes > 1 else 16)
        return builder.bitcast(builder.shl(builder.zext(values, word), sixteen), of_lanes(SINGLE, lanes))
    return builder.bitcast(values, of_lanes({types.float32: SINGLE, types.float64: DOUBLE}[stored], lanes))


def widen(builder, values, lanes):
    """Convert loaded values to double, exactly."""
    double = of_lanes(DOUBLE, lanes)
    return values if values.type == double else builder.fpext(values, double)


def store(builder, values, data, column, lanes):
    """Store `lanes` consecutive values of the element type of `data`."""
    builder.store(values, builder.bitcast(builder.gep(data, [column]), values.type.as_pointer()), align=1)


def row_pointers(context, builder, kind, value, r, number):
    """Return pointers to `number` rows of a C-contiguous array from row r on, and its number of columns."""
    array = context.make_array(kind)(context, builder, value)
    d = builder.extract_value(array.shape, 1)
    first = builder.mul(builder.sext(r, d.type) if r.type != d.type else r, d)
    rows = [
        builder.gep(array.data, [builder.add(first, builder.mul(d, ir.Constant(d.type, row)))]) for row in range(number)
    ]
    return rows, d
