"""Run a model for the tensors inside it: one session for a set of them, the same values whatever else is asked for."""

import dataclasses

import numpy as np

from srmfast.errors import InputError, require
from srmfast.graph import listing, order, shapes
from srmfast.graph.model import damaged, open_model
from srmfast.sound import line

PROVIDER, THREADS, OPTIMISATION = "CPUExecutionProvider", 1, "disabled"
_UNKNOWN = "is not a registered function/op", "No Op registered for", "Could not find an implementation for"


@dataclasses.dataclass(frozen=True)
class Input:
    """One input that some tensors depend on.

    Attributes
    ----------
    name, dtype : str
    shape : tuple or None
        A number, a name or None for each axis; None when the rank is unknown.
    """

    name: str
    dtype: str
    shape: tuple | None

    def __str__(self):
        sizes = (
            "any shape" if self.shape is None else " x ".join(str(size or "?") for size in self.shape) or "one number"
        )
        return f"{self.name} ({self.dtype}, {sizes})"


class Capture:
    """A session that computes some tensors of a model and nothing that they do not need.

    The graph is run as it is stored, without optimisation and by one thread, in memory that is given back after every
    call: the values of a tensor depend on the inputs of the call alone, not on which tensors are asked for together, and
    several threads may call `run` at once.

    Parameters
    ----------
    source : path, onnx.ModelProto or Model
    names : sequence of str
        Tensors, as `srmfast.graph.layers` lists them.

    Attributes
    ----------
    names : tuple of str
    inputs : tuple of Input
        Those that the tensors depend on.
    others : tuple of Input
        Those that only other tensors depend on.
    converted : dict of str to str
        Tensors of types that onnxruntime does not hand out (bfloat16), which are read as float32: name -> own type.
    runtime : str
        Name and version of what computes.
    proto : onnx.ModelProto
        The part of the model that is run.

    Raises
    ------
    InputError
        When a tensor is not there or out of reach, or onnxruntime refuses the model.
    """

    def __init__(self, source, names):
        runtime = require("onnxruntime", purpose="running a model")
        self._model = model = open_model(source)
        self.location, self.names, self.runtime = model.location, tuple(names), f"onnxruntime {runtime.__version__}"
        listing.choose_layers(model, self.names)
        with damaged(self.location):
            self.proto = needed(model.proto, self.names)
            given = {tensor.name for tensor in self.proto.graph.initializer}
            inputs = [value for value in self.proto.graph.input if value.name not in given]
            self.inputs = tuple(Input(value.name, *shapes.described(value)) for value in inputs)
            known = {*given, *(tensor.name for tensor in model.proto.graph.initializer), *(one.name for one in inputs)}
            others = [value for value in model.proto.graph.input if value.name not in known]
            self.others = tuple(Input(value.name, *shapes.described(value)) for value in others)
        for one in self.inputs:
            if one.dtype not in shapes.RUN:
                raise InputError(
                    f"input {one.name!r} of {self.location} is {one.dtype or 'of no known type'}, not an array of numbers; choose another tensor"
                )
        self.converted = {}
        self._session = self._open(runtime)
        kinds = {one.name: _kind(one) for one in self._session.get_outputs()}
        if odd := {name: kind for name, kind in kinds.items() if kind not in shapes.RUN}:
            self._convert(odd)
            self._session = self._open(runtime)
        self.proto = _without_values(self.proto)

    def run(self, feeds):
        """Compute the tensors once.

        Parameters
        ----------
        feeds : mapping of str to ndarray
            Every input, in its type.

        Returns
        -------
        dict of str to ndarray

        Raises
        ------
        InputError
            When the runtime fails, or does not hand out a tensor that was asked for.
        """
        values = self._call(self._session, self._asked, feeds)
        found = dict(zip(self.names, values, strict=True))
        for name, value in found.items():
            if not isinstance(value, np.ndarray):
                raise InputError(
                    f"the runtime gives {type(value).__name__}, no array, for {name!r} of {self.location}; choose another"
                )
        return found

    def _call(self, session, asked, feeds):
        try:
            return session.run(asked, dict(feeds))
        except Exception as error:
            given = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in feeds.items())
            raise InputError(f"{self.location} cannot be run on {given} ({line(error)}); check the inputs") from error

    def measure(self, feeds):
        """Carry out one call for the shapes of all tensors that are made in it.

        Parameters
        ----------
        feeds : mapping of str to ndarray
            Every input, in its type.

        Returns
        -------
        nbytes : int
            The most bytes of tensors that such a call of `run` holds at once.
        shapes : dict of str to tuple of int
        """
        import onnx

        proto = needed(self._model.proto, self.names)
        kinds = shapes.infer(proto)
        varies, sizes = set(feeds), []
        for node in proto.graph.node:
            if not varies.isdisjoint(order.needs(node)):
                varies.update(filter(None, node.output))
        graph = proto.graph
        del graph.output[:]
        arrays = {name for name in varies - set(feeds) if kinds.get(name, ("",))[0] not in shapes.NO_ARRAYS}
        for number, name in enumerate(sorted(arrays)):
            graph.node.append(onnx.helper.make_node("Shape", [name], [f"shape {number}"]))
            sizes.append((name, f"shape {number}"))
        graph.output.extend(onnx.ValueInfoProto(name=name) for _, name in sizes)
        runtime = require("onnxruntime", purpose="running a model")
        options = self._options(runtime)
        options.execution_order = (
            runtime.ExecutionOrder.PRIORITY_BASED
        )  # a shape is taken before the next tensor is made
        with damaged(self.location):
            session = runtime.InferenceSession(proto.SerializeToString(), options, providers=[PROVIDER])
        found = self._call(session, [name for _, name in sizes], feeds)
        known = {name: value.shape for name, value in feeds.items()}
        known |= {name: tuple(shape.tolist()) for (name, _), shape in zip(sizes, found, strict=True)}
        return shapes.live_bytes(self.proto, known), known

    def _open(self, runtime):
        options = self._options(runtime)
        self._asked = [self._alias(name) for name in self.names]
        with damaged(self.location):
            try:
                return runtime.InferenceSession(self.proto.SerializeToString(), options, providers=[PROVIDER])
            except Exception as error:
                if any(words in str(error) for words in _UNKNOWN):
                    raise InputError(
                        f"{self.location} holds an operator that onnxruntime {runtime.__version__} does not have "
                        f"({line(error)}); export the model with others, or try another version of onnxruntime"
                    ) from error
                raise

    def _options(self, runtime):
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.use_deterministic_compute = True
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # both keep the most that any call needed
        options.log_severity_level = 4  # what is fatal comes as an exception
        if self._model.folder is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", self._model.folder)
        return options

    def _alias(self, name):
        return f"{name} as float32" if name in self.converted else name

    def _convert(self, odd):
        """Let the runtime cast what it cannot hand out."""
        import onnx

        if bad := {kind for kind in odd.values() if kind != "bfloat16" and not kind.startswith("float8")}:
            raise InputError(
                f"{next(iter(odd))!r} of {self.location} is {bad.pop()}, not an array of numbers; choose another tensor"
            )
        self.converted |= odd
        graph = self.proto.graph
        del graph.output[:]
        for name in odd:
            graph.node.append(onnx.helper.make_node("Cast", [name], [self._alias(name)], to=onnx.TensorProto.FLOAT))
        graph.output.extend(onnx.ValueInfoProto(name=self._alias(name)) for name in self.names)


def needed(proto, names):
    """Return the part of a model that some tensors are computed by, with them as outputs of unknown type."""
    import onnx

    wanted, nodes = set(names), []
    for node in reversed(proto.graph.node):
        if not wanted.isdisjoint(node.output):
            nodes.append(node)
            wanted |= order.needs(node).keys()
    part = onnx.ModelProto(ir_version=proto.ir_version)
    part.opset_import.extend(proto.opset_import)
    part.functions.extend(proto.functions)
    part.graph.name = proto.graph.name or "graph"
    part.graph.node.extend(reversed(nodes))
    part.graph.input.extend(value for value in proto.graph.input if value.name in wanted)
    part.graph.initializer.extend(tensor for tensor in proto.graph.initializer if tensor.name in wanted)
    part.graph.sparse_initializer.extend(one for one in proto.graph.sparse_initializer if one.values.name in wanted)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return part


def _without_values(proto):
    """Return a new model with the shapes of its large constants and without their values: the session has them."""
    import onnx

    light = onnx.ModelProto(ir_version=proto.ir_version)
    light.opset_import.extend(proto.opset_import)
    light.functions.extend(proto.functions)
    light.graph.node.extend(proto.graph.node)
    light.graph.input.extend(proto.graph.input)
    light.graph.output.extend(proto.graph.output)
    for tensor in proto.graph.initializer:
        if tensor.ByteSize() > shapes.SMALL:
            light.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, data_location=1)
        else:
            light.graph.initializer.append(tensor)
    return light


def _kind(one):
    """Return our name of the type of an output of a session."""
    text = one.type.removeprefix("tensor(").removesuffix(")")
    text = {"float": "float32", "double": "float64"}.get(text, text)
    return {"float8e4m3fn": "float8_e4m3fn", "float8e5m2": "float8_e5m2"}.get(text, text)
