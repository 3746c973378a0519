"""Tensors of an ONNX model as stores: rows are computed from its inputs when they are read."""

import math

import numpy as np

from srmfast.errors import InputError, meant
from srmfast.graph import capture, listing, shapes
from srmfast.graph.model import load_model, open_model
from srmfast.stores import _axes, _dtypes, _fingerprint, _places
from srmfast.stores._found import Found, Recognised
from srmfast.stores._inputs import Inputs
from srmfast.stores.base import Source

MASK = "attention_mask"
MOST_ITEMS = 64  # of a batch
_BATCH_BYTES = 128 << 20  # of the tensors of a batch that are held at once
_SLACK = 1.25  # of what is projected to what is held
_OPENED = 1.6  # bytes held of a model, for each byte of its constants: some are packed anew for the processor


class Inference:
    """Some tensors of a model, computed for all items of its inputs, a batch at a time.

    Which items are computed together depends on the model and the shape of its inputs alone, or on `batch`: a runtime's last
    digits may depend on it.

    Parameters
    ----------
    source : path, onnx.ModelProto or Model
    names : sequence of str
        Tensors.
    inputs
        As `Inputs` takes them.
    batch : int, optional
        Items of a batch, when the model leaves that open.
    sure : sequence of str, optional
        Tensors that must have rows; others that have none are left out. All when omitted.

    Attributes
    ----------
    names : tuple of str
        Tensors, without those left out.
    n, batch, batches : int
        Items, items of one batch, batches.
    rest : dict of str to tuple of int
        Shape of each tensor for one item.
    dtypes : dict of str to dtype
    working_bytes : int
        What one call of `run` holds, projected.
    held_bytes : int
        What is held all the time, projected.
    """

    def __init__(self, source, names, inputs, batch=None, sure=None):
        self.model = open_model(source)
        self.names = tuple(names)
        self.capture = capture.Capture(self.model, self.names)
        others = [one.name for one in self.capture.others]
        self.inputs = Inputs(inputs, self.capture.inputs, self.model.location, others)
        self._left_out = {}  # name -> why
        try:
            self._begin(batch, self.names if sure is None else sure)
        except BaseException:
            self.inputs.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.inputs.close()

    def _begin(self, batch, sure):
        self.n, fixed = self.inputs.n, self.inputs.fixed
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1):
            raise InputError(f"batch must be a whole number of items of at least 1, got {batch!r}")
        if fixed is not None and batch not in (None, fixed):
            raise InputError(f"{self.model.location} takes {fixed} items at once, got --batch {batch}; drop it")
        once = self.inputs.feeds(0, 1, (fixed or 1) - 1)
        item, known = self.capture.measure(once)
        item //= fixed or 1
        fits = 1 << max(0, (_BATCH_BYTES // max(1, item)).bit_length() - 1)
        self.batch = int(fixed or batch or min(MOST_ITEMS, fits))
        self._pads = fixed is not None
        self.batches = -(-self.n // self.batch)
        self.rest, self.dtypes = {}, {}
        for name in self.names:
            self._look(name, known[name], fixed or 1, sure)
        found, _, ran = self._compute(0, min(self.n, fixed or 2, self.batch))
        for name, values in found.items():
            self._look(name, values.shape, ran, sure)
            self.dtypes[name] = values.dtype
        if self._left_out:
            self.names = tuple(name for name in self.names if name not in self._left_out)
            if not self.names:
                raise InputError(next(iter(self._left_out.values())))
            self.rest = {name: self.rest[name] for name in self.names}
            self.capture = capture.Capture(self.model, self.names)
        made = sum(math.prod(rest) * self.dtypes[name].itemsize for name, rest in self.rest.items())
        self.working_bytes = int(item * self.batch * _SLACK) + 2 * made * self.batch
        self.held_bytes = int(shapes.constant_bytes(self.capture.proto) * _OPENED)

    def run(self, number):
        """Compute a batch.

        Parameters
        ----------
        number : int
            Of the batch.

        Returns
        -------
        dict of str to ndarray
            (items, …), the last batch shorter.
        """
        first = number * self.batch
        found, items, ran = self._compute(first, min(first + self.batch, self.n))
        for name, values in found.items():
            if why := self._odd(name, values.shape, ran):
                raise InputError(why)
        return {name: values[:items] for name, values in found.items()}

    def _compute(self, first, stop):
        """Return the tensors of some items, how many these are, and how many were computed with them."""
        pad = self.batch - (stop - first) if self._pads else 0
        return self.capture.run(self.inputs.feeds(first, stop, pad)), stop - first, stop - first + pad

    def _look(self, name, shape, items, sure):
        """Learn the shape of a tensor for one item from that for some."""
        why = self._odd(name, shape, items)
        if why and name in sure:
            raise InputError(why)
        if why:
            self._left_out.setdefault(name, why)
        self.rest.setdefault(name, tuple(shape[1:]))

    def _odd(self, name, shape, items):
        """Say why values of some shape are not rows of items like those before; "" when they are."""
        which = f"{name!r} of {self.model.location}"
        if not shape or shape[0] != items:
            return (
                f"the first axis of {which} is not that of the items: it has shape {shape} for {items} of them, so that it "
                "has no rows; choose another tensor"
            )
        if shape[1:] != self.rest.get(name, shape[1:]):
            return (
                f"{which} must have one shape for all items, but has {self.rest[name]} for some and {shape[1:]} for others; "
                "choose another tensor"
            )
        return ""

    def settings(self, name):
        """Return what the values of a tensor depend on beside the model and its inputs, JSON-able."""
        return {
            "tensor": name,
            "runtime": self.capture.runtime,
            "provider": capture.PROVIDER,
            "threads": capture.THREADS,
            "optimisation": capture.OPTIMISATION,
            "batch": self.batch,
        }

    def fingerprint_parts(self, name, again=False):
        """Identify the values of a tensor: the model, what it is given, and how it is run."""
        sources = self.inputs.sources
        given = {key: one.fingerprint_again() if again else one.fingerprint_parts() for key, one in sources.items()}
        described = {key: [one.shape, one.dtype_name] for key, one in sources.items()}
        model = self.model.fingerprint_again() if again else self.model.fingerprint
        return {
            "size": sum(part["size"] for part in given.values()),
            "header": _fingerprint.digest_json([model, described]),
            "slices": _fingerprint.digest_json(given),
            "inference": self.settings(name),
        }

    def notes(self, names):
        """Give one line for every conversion."""
        own = self.capture.converted
        left_out = [f"left out: {why}" for why in self._left_out.values()]
        return (
            self.inputs.notes
            + left_out
            + [
                f"{name} is {own[name]}, which onnxruntime does not hand out, and read as float32, which holds it exactly"
                for name in names
                if name in own
            ]
        )


class OnnxSource(Source):
    """One tensor of a model; a batch is run when a row of it is read."""

    format = "onnx"
    readers = 64  # each runs a batch by itself
    computes = True

    def __init__(self, inference, name):
        self._inference, self._name = inference, name
        self.location = f"{inference.model.location}::{name}"
        self.dtype_name, self.dtype = _dtypes.resolve(inference.dtypes[name], self.location)
        self.shape = (inference.n, *inference.rest[name])
        self.chunks = (min(inference.batch, inference.n), *inference.rest[name])
        self.working_bytes, self.held_bytes = inference.working_bytes, inference.held_bytes
        self._kept = (-1, None)  # the batch that was run last: reads that begin within an item ask for it again

    def read(self, selection):
        want, *others = selection
        if isinstance(want, int):
            return self._batch(want // self._inference.batch)[(want % self._inference.batch, *others)]
        size, pieces = self._inference.batch, []
        for number in range(want.start // size, -(-want.stop // size)):
            low, high = max(want.start - number * size, 0), min(want.stop - number * size, size)
            pieces.append(self._batch(number)[(slice(low, high), *others)])
        if not pieces:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(0, 0), *others)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _batch(self, number):
        kept, values = self._kept
        if kept != number:
            values = self._inference.run(number)[self._name]
            self._kept = (number, values)
        return values

    def fingerprint_parts(self):
        return self._inference.fingerprint_parts(self._name)

    def fingerprint_again(self):
        return self._inference.fingerprint_parts(self._name, again=True)

    def describe(self):
        model, sources = self._inference.model, self._inference.inputs.sources
        return self._inference.settings(self._name) | {
            "model": model.fingerprint,
            "inputs": {
                name: [source.location, list(source.shape), source.dtype_name] for name, source in sources.items()
            },
        }

    def notes(self):
        return self._inference.notes([self._name])

    def siblings(self):
        return {name: (source.shape, source.dtype_name) for name, source in self._beside().items()}

    def sibling(self, key):
        sources = self._beside()
        if key not in sources:
            raise InputError(
                f"{self.location} has no input {key!r} beside it; it has {', '.join(sources)}{meant(key, sources)}"
            )
        return sources[key].read(tuple(slice(0, size) for size in sources[key].shape))

    def _beside(self):
        return self._inference.inputs.sources | self._inference.inputs.beside

    def close(self):
        self._inference.inputs.close()
        self._kept = (-1, None)


def open_found(path, key, inputs, batch, options):
    """Open a tensor of a model.

    Parameters
    ----------
    path : str
    key : str or None
        Name of the tensor, or a pattern that matches one.
    inputs, batch
        As `Inference` takes them.
    options : dict
        ``feature_axis``, ``index`` and ``flatten``.

    Returns
    -------
    Found
        With the attention mask among the inputs, where rows are its positions, and the axis of the channels.
    """
    if _places.is_url(path):
        raise InputError(f"{path} is a model, which is read from a disk only; download it first")
    model = open_model(path)
    if key is None:
        outputs = ", ".join(value.name for value in model.proto.graph.output)
        raise InputError(
            f"name the tensor of {path} whose rows are meant, as {path}::NAME; its outputs are {outputs}, srmfast layers {path} lists all"
        )
    chosen = listing.choose_layers(model, [key])
    if len(chosen) > 1:
        some = ", ".join(layer.name for layer in chosen[:8]) + (", …" if len(chosen) > 8 else "")
        raise InputError(
            f"one tensor of {path} is read as a store, {key!r} matches {len(chosen)}: {some}; name one, or srmfast export them"
        )
    (layer,) = chosen
    source = OnnxSource(Inference(model, [layer.name], inputs, batch), layer.name)
    try:
        axis = layer.channel_axis if options["feature_axis"] is None and not options["flatten"] else None
        if axis is not None and axis in dict(options["index"] or {}):
            axis = None
        told = channels_told(axis) if axis is not None else ""
        mask = mask_of(source, options | {"feature_axis": axis if axis is not None else options["feature_axis"]})
        words = " x ".join(map(str, source.shape)) + f" {source.dtype_name}, in batches of {source.chunks[0]}"
        recognised = Recognised(
            f"what {layer.op} makes in a model", words, (told,) if told else (), mask=mask, verb="is"
        )
        return Found(source, recognised, dict(options["index"] or {}), axis)
    except BaseException:
        source.close()
        raise


def channels_told(axis):
    """Say which axis is that of the channels."""
    return f"the features are its channels, axis {axis}, as the operators that made it tell (another: --feature-axis)"


def mask_of(source, options):
    """Return the name of the attention mask beside a source if rows are its positions, else None."""
    shape, _ = source.siblings().get(MASK, ((), ""))
    if len(shape) != 2 or len(source.shape) < 3 or source.shape[:2] != tuple(shape):
        return None
    return MASK if _axes.resolve(source.shape, source.location, **options).rows[:2] == (0, 1) else None


def load_array(path, key=None):
    """Load a constant of a model: weights, as a basis or a mean."""
    import onnx

    held = {tensor.name: tensor for tensor in load_model(path).graph.initializer}
    if key not in held:
        named = ", ".join(list(held)[:8]) + (", …" if len(held) > 8 else "")
        raise InputError(
            f"{path} has no constant {key!r}; it has {named}; name one as {path}::NAME{meant(key or '', held)}"
        )
    return onnx.numpy_helper.to_array(held[key])
