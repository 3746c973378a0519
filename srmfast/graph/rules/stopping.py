"""Operators through which no gradient flows: integer or boolean results, and steps."""


def stops(node, tape):
    """Return no gradient; the search for a way through the graph ends at such a node."""
    return ()


_STOPPING = (
    "And ArgMax ArgMin Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Constant ConstantOfShape Equal "
    "EyeLike Floor Greater GreaterOrEqual Hardmax IsInf IsNaN Less LessOrEqual Multinomial NonZero Not Or RandomNormalLike "
    "RandomUniformLike Range Round Shape Sign Size Xor"
)
RULES = dict.fromkeys(_STOPPING.split(), stops)
