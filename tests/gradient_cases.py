"""Cases of the rules for arithmetic, products, shapes, reductions and selection."""

import numpy as np
from gradient_truth import between, case, normal, spread

STATIC = ("static",)
KNOWN_RANKS = ("static", "batch")  # where an unknown dimension hides the rank


def ints(*values, shape=None):
    array = np.array(values, np.int64)
    return array if shape is None else array.reshape(shape)


def ties(*shape):
    return np.random.default_rng(3).permutation(np.repeat([-1.0, 2.0], np.prod(shape) // 2)).reshape(shape)


ARITHMETIC = [
    *(
        case(op, between(0.5, 2, *a), between(0.5, 2, *b, seed=1))
        for op in ("Add", "Sub", "Mul", "Div", "Pow")
        for a, b in [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((1, 3), (2, 1))]
    ),
    *(
        case("Pow", between(0.5, 2, 2, 3), np.array(p), fixed=(1,), wrt=(0,), tag=f"{p}")
        for p in (-1.5, 0.5, 1.0, 2.0, 3.0)
    ),
    case("Pow", normal(2, 3), np.array([0.0, 1.0, 3.0]), fixed=(1,), wrt=(0,)),
    case("Pow", np.array([0.0, 0.0, 2.0, -2.0]), np.array([0.0, 2.0, 3.0, 2.0]), wrt=(0,), tag="at-zero"),
    case("Pow", normal(2, 3), ints(3), fixed=(), wrt=(0,), tag="integer"),
    case("Pow", normal(2, 3), ints(2), wrt=(0,), tag="integer"),
    case("Mul", normal(3), normal(3), opset=9),
    case("Sum", normal(3, 4), normal(4), normal(3, 1)),
    case("Sum", normal(3, 4)),
    case("Mean", normal(3, 4), normal(4), normal(3, 1)),
    case("Mod", spread(3, 4), np.array([0.7, -0.45, 0.33, 3.0]), fmod=1),
    *(
        case(op, *arrays, opset=opset)
        for op in ("Max", "Min")
        for opset in (9, 17)
        for arrays in [
            (spread(3, 4), spread(3, 4, seed=1)),
            (spread(3, 4), np.array(0.3)),
            (spread(3, 4), spread(4, seed=1), spread(3, 1, seed=2)),
            (spread(3, 4),),
        ]
    ),
    case("Clip", spread(3, 4), np.array(-0.7), np.array(0.9)),
    case("Clip", spread(3, 4), None, np.array(0.9)),
    case("Clip", spread(3, 4), np.array(-0.7), None, fixed=(1,), wrt=(0,)),
    case("Clip", spread(3, 4), opset=9, min=-0.4, max=1.0),
    case("PRelu", spread(2, 3, 4), between(0.1, 0.5, 3, 1)),
]

FUNCTIONS = [
    *(
        case(op, spread(3, 4))
        for op in ("Abs", "Atan", "Asinh", "Cos", "Cosh", "Erf", "Exp", "Neg", "Sin", "Sinh", "Tanh")
    ),
    *(case(op, spread(3, 4)) for op in ("Sigmoid", "Softplus", "Softsign")),
    *(case(op, between(0.3, 2, 3, 4)) for op in ("Log", "Reciprocal", "Sqrt")),
    *(case(op, between(-0.8, 0.8, 3, 4)) for op in ("Acos", "Asin", "Atanh", "Tan")),
    case("Acosh", between(1.2, 3, 3, 4)),
    case("Mish", spread(3, 4), opset=18),
]

ACTIVATIONS = [
    *(case(op, spread(3, 4)) for op in ("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "HardSigmoid")),
    case("Relu", spread(5)),
    case("LeakyRelu", spread(3, 4), alpha=1.5),
    case("Elu", spread(3, 4), alpha=0.7),
    case("Selu", spread(3, 4), alpha=1.5, gamma=0.8),
    case("Celu", spread(3, 4), alpha=0.7),
    case("Shrink", spread(3, 4), lambd=0.52, bias=0.1),
    case("ThresholdedRelu", spread(3, 4), alpha=0.51),
    case("HardSigmoid", spread(3, 4), alpha=0.4, beta=0.3),
    case("HardSwish", 2.5 * spread(3, 4), opset=14),
    case("Gelu", spread(3, 4), opset=20),
    case("Gelu", spread(3, 4), opset=20, approximate="tanh"),
    case("Swish", spread(3, 4), opset=24),
    case("Swish", spread(3, 4), opset=24, alpha=1.4),
    *(case(op, normal(2, 3, 4), opset=v) for op in ("Softmax", "LogSoftmax") for v in (17,)),
    *(
        case(op, normal(2, 3, 4), opset=v, axis=a)
        for op in ("Softmax", "LogSoftmax")
        for v in (11, 17)
        for a in (0, 1, -1)
    ),
]

LOSSES = [
    *(
        case(
            op,
            scores,
            labels,
            *weights,
            reduction=reduction,
            **({"ignore_index": ignored} if ignored is not None else {}),
            tag="weighted" * bool(weights),
            fixed=(),
            variants=KNOWN_RANKS,
        )
        for op in ("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
        for scores, labels in [(normal(3, 4), ints(1, 3, 0)), (normal(2, 3, 2), ints(0, 2, 1, 1, shape=(2, 2)))]
        for weights in ((), (between(0.5, 2, scores.shape[1]),))
        for reduction in ("none", "sum", "mean")
        for ignored in (None, 1)
    ),
    case("SoftmaxCrossEntropyLoss", normal(3, 4), ints(1, -1, 2), ignore_index=-1, outputs=2, of=0, tag="two"),
    case("SoftmaxCrossEntropyLoss", normal(3, 4), ints(1, 0, 2), outputs=2, of=1, tag="log"),
    case("SoftmaxCrossEntropyLoss", normal(2, 3, 2), ints(0, 2, 1, 1, shape=(2, 2)), opset=12, variants=KNOWN_RANKS),
    case("SoftmaxCrossEntropyLoss", normal(3, 4), ints(1, 3, 0), opset=12, variants=KNOWN_RANKS),
]

PRODUCTS = [
    *(
        case("MatMul", normal(*a), normal(*b, seed=1))
        for a, b in [
            ((3, 4), (4, 2)),
            ((4,), (4,)),
            ((4,), (4, 2)),
            ((3, 4), (4,)),
            ((2, 3, 4), (4, 2)),
            ((2, 3, 4), (4,)),
            ((4,), (2, 4, 3)),
            ((3, 4), (2, 4, 2)),
            ((2, 3, 4), (2, 4, 2)),
            ((2, 1, 3, 4), (3, 4, 2)),
            ((1, 3, 4), (2, 4, 2)),
        ]
    ),
    case("MatMul", normal(3, 4), normal(4, 2), opset=9),
    *(
        case(
            "Gemm",
            normal(*((4, 3) if ta else (3, 4))),
            normal(*((2, 4) if tb else (4, 2))),
            normal(*c),
            transA=ta,
            transB=tb,
        )
        for ta in (0, 1)
        for tb in (0, 1)
        for c in ((2,), (3, 2))
    ),
    case("Gemm", normal(3, 4), normal(4, 2)),
    case("Gemm", normal(3, 4), normal(2, 4), normal(3, 1), transB=1, alpha=0.5, beta=1.5),
    case("Gemm", normal(4, 3), normal(2, 4), normal(1), transA=1, transB=1, alpha=0.5, beta=0.0, opset=9),
    case("Gemm", normal(3, 4), normal(4, 2), np.array(0.5), alpha=2.0),
    *(
        case("Einsum", *(normal(*shape, seed=i) for i, shape in enumerate(shapes)), equation=equation)
        for equation, *shapes in [
            ("ij,jk->ik", (3, 4), (4, 2)),
            ("ij,jk", (3, 4), (4, 2)),
            ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
            ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)),
            ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 2)),
            ("i...,i...->...", (3, 2), (3, 2)),
            ("ij->i", (3, 4)),
            ("ij->ji", (3, 4)),
            ("ij,k->j", (3, 4), (2,)),
            ("i,j->", (3,), (4,)),
            ("i,i", (3,), (3,)),
            ("...i,i->...", (2, 3, 4), (4,)),
            ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 2)),
            ("...ij->...i", (2, 3, 4)),
        ]
    ),
]

PRODUCTS += [  # ONNX infers a first axis of 1 for the batch variant
    case("Einsum", normal(1, 3, 4), normal(2, 4, 2), equation="...ij,...jk->...ik", variants=("static", "dynamic")),
]

SHAPES = [
    *(case(op, normal(3, 4)) for op in ("Identity",)),
    case("Cast", normal(3, 4), to=11),
    case("CastLike", normal(3, 4), normal(1), wrt=(0,), runtime=False),
    case("Reshape", normal(3, 4), ints(2, 6)),
    case("Reshape", normal(3, 4), ints(0, -1, 2)),
    case("Transpose", normal(2, 3, 4)),
    case("Transpose", normal(2, 3, 4), perm=[2, 0, 1]),
    *(case("Flatten", normal(2, 3, 4), axis=a) for a in (0, 1, 2, -1)),
    case("Squeeze", normal(1, 3, 1), ints(0, -1)),
    case("Squeeze", normal(1, 3, 1), ints(2)),
    case("Squeeze", normal(1, 3, 1), axes=[0], opset=11),
    case("Squeeze", normal(1, 3, 1), variants=STATIC),
    case("Unsqueeze", normal(2, 3), ints(0, -1)),
    case("Unsqueeze", normal(2, 3), axes=[1, 3], opset=11),
    case("Concat", normal(2, 3), normal(2, 1, seed=1), normal(2, 2), axis=1),
    case("Concat", normal(2, 3), normal(1, 3, seed=1), axis=0, opset=11, variants=("static", "batch")),
    case("Concat", normal(2, 3), normal(2, 1), normal(2, 4), wrt=(1,), axis=-1),
    case("Concat", normal(2, 3), normal(2, 1), normal(2, 4), wrt=(0, 2), axis=-1, opset=11),
    case("Concat", normal(2, 3), axis=1),
    case("Split", normal(2, 6), outputs=2, of=1, axis=1),
    case("Split", normal(4, 3), ints(1, 3), outputs=2, of=0),
    case("Split", normal(2, 6), outputs=3, of=1, axis=-1, split=[1, 2, 3], opset=11),
    *(
        case("Slice", normal(4, 6), ints(*starts), ints(*stops), ints(*axes), ints(*steps), tag=tag)
        for tag, starts, stops, axes, steps in [
            ("head", [0], [2], [1], [1]),
            ("tail", [1], [2**63 - 1], [1], [1]),
            ("last", [-1], [2**63 - 1], [0], [1]),
            ("but-last", [0], [-1], [1], [1]),
            ("past", [-99], [99], [1], [1]),
            ("two", [1, 2], [3, 5], [0, 1], [1, 1]),
            ("step", [1], [6], [1], [2]),
            ("step3", [0], [6], [1], [3]),
            ("reversed", [-1], [-(2**62)], [1], [-1]),
            ("backwards", [4], [0], [1], [-2]),
            ("mixed", [3, -1], [-9, 1], [0, -1], [-1, -3]),
            ("all", [0], [99], [0], [1]),
        ]
    ),
    case("Slice", normal(4, 6), ints(1), ints(3), tag="default"),
    case("Slice", normal(4, 6), ints(-3), ints(-1), ints(1), fixed=(3,), tag="computed"),
    case("Slice", normal(4, 6), ints(-1), ints(-5), ints(1), ints(-2), fixed=(3, 4), tag="computed"),
    case("Slice", normal(4, 6), ints(-1), ints(-5), ints(1), ints(-2), opset=11),
    case("Slice", normal(4, 6), starts=[1, 2], ends=[3, 9], axes=[0, 1], opset=9, variants=STATIC),
    case("Slice", normal(4, 6), starts=[1], ends=[-1], axes=[1], opset=9, variants=("static", "batch")),
    case("Expand", normal(3, 1), ints(2, 3, 4)),
    case("Expand", normal(3, 4), ints(1, 1)),
    case("Expand", normal(3, 1), ints(3, 4), fixed=(), variants=("static", "batch"), tag="computed"),
    case("Tile", normal(2, 3), ints(2, 1)),
    case("Tile", normal(2, 3), ints(2, 3)),
    case("Tile", normal(2, 3), ints(1, 1)),
    case("Tile", normal(2, 3), ints(2, 3), fixed=(), tag="computed"),
    case("Dropout", normal(2, 3)),
    case("Dropout", normal(2, 3), opset=11),
    case("Dropout", normal(2, 3), np.array(0.3), np.array(False), wrt=(0,), fixed=(1, 2)),
    case("DepthToSpace", normal(2, 8, 2, 3), blocksize=2),
    case("DepthToSpace", normal(2, 8, 2, 3), blocksize=2, mode="CRD"),
    case("SpaceToDepth", normal(2, 2, 4, 6), blocksize=2),
    case("ReverseSequence", normal(4, 3), ints(2, 4, 1), batch_axis=1, time_axis=0),
    case("ReverseSequence", normal(3, 4), ints(2, 4, 1), batch_axis=0, time_axis=1),
]

_REDUCED = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"
REDUCTIONS = [
    *(
        case(f"Reduce{kind}", array, axes=axes, keepdims=keep, opset=11)
        for kind in _REDUCED.split()
        for array in [between(0.5, 2, 2, 3, 4) if kind == "LogSum" else spread(2, 3, 4)]
        for axes, keep in (([1], 1), ([0, -1], 0))
    ),
    *(
        case(f"Reduce{kind}", array, *([] if axes is None else [ints(*axes)]), keepdims=keep, opset=18, tag=f"{axes}")
        for kind in _REDUCED.split()
        for array in [between(0.5, 2, 2, 3, 4) if kind == "LogSum" else spread(2, 3, 4)]
        for axes, keep in ((None, 0), ([-1], 0), ([0, 2], 1))
    ),
    case("ReduceSum", normal(2, 3), keepdims=1, noop_with_empty_axes=1, opset=18),
    case("ReduceProd", np.array([[1.0, 2.0, 3.0], [0.0, 2.0, 3.0], [0.0, 1.0, 0.0]]), axes=[1], opset=11, tag="zeros"),
    *(
        case("CumSum", normal(3, 4), ints(axis, shape=()), exclusive=e, reverse=r)
        for axis in (0, -1)
        for e in (0, 1)
        for r in (0, 1)
    ),
    case("TopK", spread(3, 5), ints(2), outputs=2),
    case("TopK", spread(5, 3), ints(2), outputs=2, axis=0, largest=0, opset=11),
]

SELECTION = [
    case("Where", np.arange(12).reshape(3, 4) % 3 == 0, normal(3, 4), normal(3, 4, seed=1)),
    case("Where", np.array([True, False, True]), normal(4, 1), normal(3)),
    case("Where", np.arange(12).reshape(3, 4) % 3 == 0, normal(4), normal(3, 1), wrt=(2,), fixed=()),
    *(
        case("Gather", normal(4, 5, 3), indices, axis=axis, opset=opset, tag=f"{indices.ravel()}")
        for opset in (11, 17)
        for axis in (0, 1, -1)
        for indices in (
            ints(1, shape=()),
            ints(-1, shape=()),
            ints(0, 2, 2),
            ints(1, 2),
            ints(0, -1, 1, 1, shape=(2, 2)),
        )
    ),
    case("Gather", normal(4, 5), ints(0, 2, 2), fixed=(), axis=1, tag="computed"),
    case("Gather", normal(4, 5), ints(0, 2, -1), fixed=(), axis=1, opset=9, tag="computed"),
    case("GatherElements", normal(3, 4), ints(0, 1, 1, -1, 2, 0, shape=(3, 2)), axis=1),
    case("GatherElements", normal(3, 4), ints(0, 1, 1, 2, shape=(1, 4)), axis=0, opset=18),
    case("GatherND", normal(3, 4), ints(0, 1, 2, 3, 0, 1, shape=(3, 2))),
    case("GatherND", normal(3, 4), ints(0, 2, 0, shape=(3, 1))),
    case("GatherND", normal(2, 3, 4), ints(1, 0, shape=(2, 1)), batch_dims=1),
    case("GatherND", normal(2, 3, 4), ints(1, 0, 0, 2, 1, 1, shape=(2, 3, 1)), batch_dims=2),
    case("ScatterElements", normal(3, 4), ints(0, 2, 1, 0, 3, 2, shape=(3, 2)), normal(3, 2), axis=1),
    case(
        "ScatterElements",
        normal(3, 4),
        ints(0, 2, 1, 1, 0, 1, 1, 2, shape=(2, 4)),
        normal(2, 4),
        axis=0,
        reduction="add",
    ),
    case("ScatterND", normal(3, 4), ints(0, 2, shape=(2, 1)), normal(2, 4)),
    case("ScatterND", normal(3, 4), ints(0, 2, 0, 2, shape=(2, 2)), normal(2), reduction="add", opset=18),
    case("OneHot", ints(0, 2, 1), ints(3, shape=()), np.array([0.5, 2.0]), axis=-1, wrt=(2,), fixed=(0, 1)),
    case(
        "OneHot",
        ints(0, 2, 1, 1, shape=(2, 2)),
        ints(3, shape=()),
        np.array([0.5, 2.0]),
        axis=0,
        wrt=(2,),
        fixed=(0, 1),
    ),
    case("Trilu", normal(2, 3, 4), upper=0),
    case("Trilu", normal(2, 3, 4), ints(1, shape=())),
]

CASES = [*ARITHMETIC, *FUNCTIONS, *ACTIVATIONS, *LOSSES, *PRODUCTS, *SHAPES, *REDUCTIONS, *SELECTION]
