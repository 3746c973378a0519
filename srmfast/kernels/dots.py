"""Several pinned sums in one loop: a single one waits for its own additions most of the time."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from srmfast.kernels.rows import DOUBLE, LANES, emit_pinned_sums, load, of_lanes, row_pointers


@intrinsic
def four_dots(typingctx, rows, i, j):
    """Return the pinned dots of rows i and i + 1 with rows j and j + 1: (i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1).

    Parameters
    ----------
    rows : (k, d) float64, C-contiguous
    i, j : int
    """
    if not _is_double(rows, 2):
        return None

    def emit(context, builder, signature, args):
        (x, d), (y, _) = (row_pointers(context, builder, rows, args[0], first, 2) for first in args[1:])

        def products(column, lanes):
            a, b = ([load(builder, row, rows.dtype, column, lanes) for row in two] for two in (x, y))
            return [builder.fmul(one, other) for one in a for other in b]

        return context.make_tuple(builder, signature.return_type, emit_pinned_sums(builder, d, 4, products))

    return types.UniTuple(types.float64, 4)(rows, types.intp, types.intp), emit


@intrinsic
def squared_residuals(typingctx, x, y, g):
    """Return the pinned squares ‖y − g·x‖² and ‖x − g·y‖²: the residuals are rounded as if they were written down.

    Parameters
    ----------
    x, y : (d,) float64, contiguous
    g : float64
    """
    if not (_is_double(x, 1) and _is_double(y, 1)):
        return None

    def emit(context, builder, signature, args):
        arrays = [
            context.make_array(kind)(context, builder, value) for kind, value in zip((x, y), args[:2], strict=True)
        ]
        d = builder.extract_value(arrays[0].shape, 0)
        factor = {1: args[2], LANES: _splat(builder, args[2])}

        def squares(column, lanes):
            a, b = (load(builder, array.data, types.float64, column, lanes) for array in arrays)
            forward = builder.fsub(b, builder.fmul(factor[lanes], a))
            back = builder.fsub(a, builder.fmul(factor[lanes], b))
            return [builder.fmul(forward, forward), builder.fmul(back, back)]

        return context.make_tuple(builder, signature.return_type, emit_pinned_sums(builder, d, 2, squares))

    return types.UniTuple(types.float64, 2)(x, y, types.float64), emit


def _is_double(array, axes):
    return isinstance(array, types.Array) and (array.ndim, array.layout, array.dtype) == (axes, "C", types.float64)


def _splat(builder, value):
    vector = of_lanes(DOUBLE, LANES)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        one, ir.Constant(vector, ir.Undefined), ir.Constant(of_lanes(ir.IntType(32), LANES), [0] * LANES)
    )
