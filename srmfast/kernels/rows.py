"""The pinned dot product, the only sum of products that may decide a count.

Lane = column mod 8; each lane adds its products in column order; the lanes are joined as
((0+1)+(2+3))+((4+5)+(6+7)), all float64, every product and sum rounded on its own. The loop is written as
vector code because no compiler may reorder it: LLVM lowers the eight lanes to whatever the CPU has.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from srmfast.kernels._jit import jit

DOUBLE = ir.DoubleType()
LANES = 8


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
    return emit_pinned_sum(
        builder,
        d,
        lambda column: builder.fmul(_octet(builder, x, column), _octet(builder, y, column)),
        lambda column: builder.fmul(_element(builder, x, column), _element(builder, y, column)),
    )


def emit_pinned_sum(builder, d, octet, element):
    """Emit the pinned sum over d columns.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
    d : ir.Value
        Number of columns.
    octet, element : callable
        Emit the products of eight columns, <8 x double>, and of one, double, from a column on.

    Returns
    -------
    ir.Value, double
    """
    whole = builder.and_(d, ir.Constant(d.type, -LANES))
    vector = ir.VectorType(DOUBLE, LANES)
    sums = cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * LANES))  # stays in registers
    tail = cgutils.alloca_once(builder, vector)  # addressed lane by lane, so it lives in memory

    with cgutils.for_range_slice(builder, whole.type(0), whole, whole.type(LANES)) as (column, _):
        builder.store(builder.fadd(builder.load(sums), octet(column)), sums)

    with builder.if_then(builder.icmp_unsigned("!=", whole, d)):
        builder.store(builder.load(sums), tail)
        lane = builder.bitcast(tail, DOUBLE.as_pointer())
        with cgutils.for_range_slice(builder, whole, d, whole.type(1)) as (column, _):
            slot = builder.gep(lane, [builder.sub(column, whole)])
            builder.store(builder.fadd(builder.load(slot), element(column)), slot)
        builder.store(builder.load(tail), sums)

    total = builder.load(sums)
    parts = [builder.extract_element(total, ir.Constant(ir.IntType(32), i)) for i in range(LANES)]
    while len(parts) > 1:
        parts = [builder.fadd(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _octet(builder, data, column):
    """Load eight consecutive elements as float64; no alignment is assumed."""
    element = data.type.pointee
    pointer = builder.bitcast(builder.gep(data, [column]), ir.VectorType(element, LANES).as_pointer())
    octet = builder.load(pointer, align=1)
    return octet if element == DOUBLE else builder.fpext(octet, ir.VectorType(DOUBLE, LANES))


def _element(builder, data, column):
    value = builder.load(builder.gep(data, [column]))
    return value if value.type == DOUBLE else builder.fpext(value, DOUBLE)
