"""The gradient rule of each operator, one table.

A rule is ``rule(node, tape)``. It returns one entry per input of the node: the name of the gradient with respect to that
input, a `srmfast.graph.tape.Piece` of it, or None where there is none (trailing Nones may be left out). It is called only when a gradient flows to one of
the node's outputs (`tape.of`), appends nodes with `tape.op`, and should append none for an input that is not
`tape.wanted`. Operators whose outputs do not change with small changes of their inputs have the rule `stops`.
"""

from srmfast.graph.rules import (
    activations,
    elementwise,
    functions,
    losses,
    products,
    reductions,
    selection,
    shapes,
    stopping,
)
from srmfast.graph.rules.stopping import stops

RULES = {
    **activations.RULES,
    **elementwise.RULES,
    **functions.RULES,
    **losses.RULES,
    **products.RULES,
    **reductions.RULES,
    **selection.RULES,
    **shapes.RULES,
    **stopping.RULES,
}

__all__ = ["RULES", "stops"]
