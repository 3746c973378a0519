"""Cases of the rules for arithmetic, products, shapes, reductions and selection."""

import numpy as np
from gradient_truth import case, normal, spread

CASES = [
    case("Add", normal(3, 4), normal(3, 4, seed=1)),
    case("Add", normal(3, 4), normal(4)),
    case("Mul", normal(3, 1, 4), normal(2, 1)),
    case("Relu", spread(3, 4)),
    case("ReduceSum", normal(3, 4), np.array([1])),
    case("ReduceSum", normal(3, 4), np.array([0]), keepdims=0),
    case("MatMul", normal(3, 4), normal(4, 2)),
]
