"""The gradient rule of each operator, one table.

A rule is ``rule(node, tape)``. It is called only when a gradient flows to one of the node's outputs, and returns one entry
per input: the name of the gradient with respect to it, a `srmfast.graph.tape.Piece` or `Loose` gradient of it, or None where
there is none (trailing Nones may be left out). It reads gradients by `tape.of`, appends nodes with `tape.op`, and should
append none for an input that is not `tape.wanted`; what turns out to be unused is left out of the result. Operators whose
outputs do not change with small changes of their inputs have the rule `stops`.
"""

from srmfast.graph.rules import (
    activations,
    convolutions,
    elementwise,
    functions,
    losses,
    normalisation,
    pooling,
    products,
    reductions,
    resampling,
    selection,
    shapes,
    stopping,
)
from srmfast.graph.rules.stopping import stops

RULES = {
    **activations.RULES,
    **convolutions.RULES,
    **elementwise.RULES,
    **functions.RULES,
    **losses.RULES,
    **normalisation.RULES,
    **pooling.RULES,
    **products.RULES,
    **reductions.RULES,
    **resampling.RULES,
    **selection.RULES,
    **shapes.RULES,
    **stopping.RULES,
}

__all__ = ["RULES", "stops"]
