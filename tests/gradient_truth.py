"""Truth for gradients: the gradient graph in float64 against central differences, and in float32 under onnxruntime.

A `Case` is one node; tables of cases live in `gradient_cases*.py`, and `test_gradient_rules.py` runs them all.
"""

import functools
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from reference_image_operators import image_operators
from reference_operators import operators

from srmfast.graph import gradient, gradient_name

VARIANTS = ("static", "batch", "dynamic")
STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Case:
    """One operator with given inputs.

    Attributes
    ----------
    op : str
        The key of its rule: op type, behind its domain where that is not ONNX's own.
    inputs : tuple of array or None
        float64 where floating (run in float32 as well; float32 stays it); None for an omitted optional input.
    attributes : dict
    opset : int
    wrt : tuple of int, optional
        Inputs whose gradients are checked: the floating ones when omitted.
    fixed : tuple of int, optional
        Inputs that are initialisers: the others than floating ones when omitted.
    outputs, of : int
        Number of outputs, and the one that is differentiated.
    variants : tuple of str
        static: every dimension known. batch: the first of each floating input symbolic. dynamic: no dimension known.
    runtime : bool
        Whether onnxruntime has kernels for all of it.
    tag : str
        Tells cases of one operator apart.
    """

    op: str
    inputs: tuple
    attributes: dict = field(default_factory=dict)
    opset: int = 17
    wrt: tuple | None = None
    fixed: tuple | None = None
    outputs: int = 1
    of: int = 0
    variants: tuple = VARIANTS
    runtime: bool = True
    tag: str = ""

    def __str__(self):
        shapes = ",".join("-" if array is None else "x".join(map(str, np.shape(array))) for array in self.inputs)
        settings = ",".join(f"{key}={value}" for key, value in self.attributes.items() if np.size(value) < 9)
        return "-".join(
            filter(None, [self.op, self.tag, shapes, settings, "" if self.opset == 17 else f"v{self.opset}"])
        )


def case(
    op, *inputs, tag="", opset=17, wrt=None, fixed=None, outputs=1, of=0, variants=VARIANTS, runtime=True, **given
):
    """Return a `Case`; what remains of the keywords are attributes."""
    return Case(op, inputs, given, opset, wrt, fixed, outputs, of, variants, runtime, tag)


def normal(*shape, seed=0):
    """Return normal deviates."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def between(low, high, *shape, seed=0):
    """Return deviates between two bounds."""
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape)


def spread(*shape, seed=0):
    """Return distinct values in [-2, 2], in random order, none near another or an integer: no ties, no kinks."""
    count = int(np.prod(shape))
    values = np.linspace(-2, 2, 2 * count + 1)[1::2]
    values = np.where(np.abs(values - np.round(values)) < 0.02, values + 0.03 / count, values)
    return np.random.default_rng([seed, *shape]).permutation(values).reshape(shape)


def _is_floating(array):
    return array is not None and np.issubdtype(np.asarray(array).dtype, np.floating)


def _is_double(array):
    return array is not None and np.asarray(array).dtype == np.float64


def _wrt(case):
    return case.wrt if case.wrt is not None else tuple(i for i, x in enumerate(case.inputs) if _is_floating(x))


def _fixed(case):
    if case.fixed is not None:
        return case.fixed
    return tuple(i for i, x in enumerate(case.inputs) if x is not None and not _is_floating(x))


def _shape(array, variant):
    if variant == "static" or not array.shape or (variant == "batch" and not _is_floating(array)):
        return array.shape
    if variant == "dynamic":
        return [None] * array.ndim
    return [f"N{array.shape[0]}" if array.shape[0] > 1 else 1, *array.shape[1:]]


def _arrays(case, dtype):
    """Return name -> array of all inputs that are there, the floating ones in a dtype."""
    return {
        f"x{i}": np.asarray(array).astype(dtype) if _is_double(array) else np.asarray(array)
        for i, array in enumerate(case.inputs)
        if array is not None
    }


def model_of(case, variant, dtype):
    """Return the model of one node."""
    arrays = _arrays(case, dtype)
    domain, _, op = case.op.rpartition(".")
    names = ["" if array is None else f"x{i}" for i, array in enumerate(case.inputs)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(case.outputs)], domain=domain, **case.attributes)
    fixed = {f"x{i}" for i in _fixed(case)}
    graph = helper.make_graph(
        [node],
        "case",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), _shape(array, variant))
            for name, array in arrays.items()
            if name not in fixed
        ],
        [onnx.ValueInfoProto(name=f"y{case.of}")],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items() if name in fixed],
    )
    imports = [helper.make_opsetid("", case.opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def _fed(case, dtype):
    fixed = {f"x{i}" for i in _fixed(case)}
    return {name: array for name, array in _arrays(case, dtype).items() if name not in fixed}


def evaluator(model):
    """Return the function (feeds) -> outputs of a model under ONNX's reference implementation."""
    version = max(entry.version for entry in model.opset_import if not entry.domain)
    session = ReferenceEvaluator(model, new_ops=[*operators(version), *image_operators(version)])
    return lambda feeds: session.run(None, feeds)


def cotangent_of(case, dtype=np.float64):
    """Return random weights of the shape of the output."""
    shape = np.shape(evaluator(model_of(case, "static", np.float64))(_fed(case, np.float64))[0])
    return np.random.default_rng(7).normal(size=shape).astype(dtype)


@functools.cache
def differences(case):
    """Return the central differences of sum(output * cotangent) with respect to each input of `wrt`, in float64."""
    fed, weights = _fed(case, np.float64), cotangent_of(case)
    fixed_values = _arrays(case, np.float64)
    run = evaluator(model_of(case, "static", np.float64))
    results = []
    for i in _wrt(case):
        name = f"x{i}"
        if name not in fed:  # an initialiser: differences by models with other values

            def value(array, name=name, i=i):
                inputs = [*case.inputs]
                inputs[i] = array
                moved = Case(**{**vars(case), "inputs": tuple(inputs)})
                return evaluator(model_of(moved, "static", np.float64))(fed)[0]
        else:

            def value(array, name=name):
                return run(fed | {name: array})[0]

        base = fixed_values[name]
        result = np.zeros_like(base)
        for at in np.ndindex(*base.shape):
            up, down = base.copy(), base.copy()
            up[at] += STEP
            down[at] -= STEP
            result[at] = np.sum((value(up) - value(down)) * weights) / (up[at] - down[at])
        results.append(result)
    return results


def gradients(case, variant, dtype, run):
    """Return the gradients that the gradient graph gives, run by `run(model, feeds)`."""
    names = [f"x{i}" for i in _wrt(case)]
    model = gradient(model_of(case, variant, dtype), f"y{case.of}", names, cotangent="weights")
    assert [output.name for output in model.graph.output] == [f"y{case.of}", *map(gradient_name, names)]
    kind = helper.tensor_dtype_to_np_dtype(model.graph.input[-1].type.tensor_type.elem_type)
    return run(model, _fed(case, dtype) | {"weights": cotangent_of(case, dtype).astype(kind)})[1:]


def reference(model, feeds):
    """Run under ONNX's reference implementation."""
    return evaluator(model)(feeds)


def runtime(model, feeds):
    """Run under onnxruntime; a complaint about shapes is an error."""
    import onnxruntime

    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {info.name: feeds[info.name] for info in session.get_inputs()})


def relative(got, truth):
    """Return the L2 error of several arrays together, relative to the truth."""
    for one, other in zip(got, truth, strict=True):
        assert one.shape == other.shape
    got = np.concatenate([np.ravel(array).astype(np.float64) for array in got])
    truth = np.concatenate([np.ravel(array) for array in truth])
    return np.linalg.norm(got - truth) / max(np.linalg.norm(truth), 1e-30 if np.any(got) else 1)


def check_against_differences(case, variant):
    """Assert 1e-6 against central differences, in float64 under the reference implementation."""
    got = gradients(case, variant, np.float64, reference)
    assert relative(got, differences(case)) <= 1e-6


def check_against_reference(case, variant):
    """Assert 1e-5 against the float64 reference at the same numbers, in float32 under onnxruntime."""
    rounded = Case(
        **{
            **vars(case),
            "inputs": tuple(
                array.astype(np.float32).astype(np.float64) if _is_double(array) else array for array in case.inputs
            ),
        }
    )
    names = [f"x{i}" for i in _wrt(case)]
    weights = cotangent_of(case, np.float32)
    exact = gradient(model_of(rounded, "static", np.float64), f"y{case.of}", names, cotangent="weights")
    truth = reference(exact, _fed(rounded, np.float64) | {"weights": weights.astype(np.float64)})[1:]
    assert relative(gradients(case, variant, np.float32, runtime), truth) <= 1e-5
