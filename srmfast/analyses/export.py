"""Layers of a model written to a Zarr store: all of them from one inference of each batch."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

import srmfast
from srmfast.archive import check_output
from srmfast.displayed import Displayed
from srmfast.engine.events import BlockDone, PassFinished, PassStarted, ignore
from srmfast.errors import InputError
from srmfast.graph import choose_layers, open_model
from srmfast.spec import Resources, format_bytes
from srmfast.stores import EXPORTED, Inference, is_export
from srmfast.whole import move_in, sole_folder

_CHUNK = 8 << 20  # bytes of a chunk of the widest layer
_UNIT = 64 << 20  # bytes of all layers that are written together
_COLUMN_AXES = 2  # inputs of so many axes, one number a token, are kept beside the layers


@dataclass(frozen=True, repr=False)
class Export(Displayed):
    """What was written.

    Attributes
    ----------
    path : str
    layers : dict of str to (str, tuple, str)
        Name of the array -> tensor, shape and type.
    notes : tuple of str
        Conversions, and what could not be written.
    """

    path: str
    layers: dict
    notes: tuple

    def _line(self):
        return f"{len(self.layers)} layers, {self.path}"

    def __str__(self):
        width = max(map(len, self.layers))
        lines = [
            f"{name:<{width}}  {' x '.join(map(str, shape))} {dtype}" for name, (_, shape, dtype) in self.layers.items()
        ]
        first = next(iter(self.layers))
        return "\n".join([*lines, f"written to {self.path}; next: srmfast run {self.path}::{first} …"])


def export(model, inputs, layers, out, *, batch=None, force=False, resources=None, on_event=ignore):
    """Write tensors of a model for all items of its inputs.

    Parameters
    ----------
    model : path, onnx.ModelProto or Model
    inputs : path, array, or mapping of str to path or array
        As in `srmfast.open_store`.
    layers : sequence of str
        Names, or patterns such as ``hidden_*``, which stand for tensors of floats with items on their first axis.
    out : path
        The Zarr group to be, ending in .zarr: an array for each tensor in its own type (bfloat16 as float32), the inputs of one
        number a token beside them, and in the attributes what they were made from.
    batch : int, optional
        Items of one inference.
    force : bool
        Replace an export that is there.
    resources : Resources, optional
        Threads that run batches, and the memory that they may take together.
    on_event : callable

    Returns
    -------
    Export

    Raises
    ------
    InputError
        For what cannot be used; nothing is left of the output then, nor after an interrupt.
    """
    resources = resources or Resources.resolve()
    out = check_output(out, force=force, ours=("exports", is_export))
    model = open_model(model)
    layers = [layers] if isinstance(layers, str) else list(layers)
    chosen = choose_layers(model, layers)
    sure = [layer.name for layer in chosen if layer.name in layers]
    with Inference(model, [layer.name for layer in chosen], inputs, batch, sure=sure) as inference:
        keys = _keys(inference.names)
        unit = _unit_items(inference)
        workers = _workers(inference, unit, resources)
        try:
            with sole_folder(out) as wip:
                arrays = _create(wip, inference, keys, unit, {layer.name: layer for layer in chosen}, model)
                _write(inference, arrays, unit, workers, on_event)
                move_in(wip, out)
        except BlockingIOError:
            raise InputError(
                f"one export at a time may write {out}, and another process does; wait for it, or choose another name"
            ) from None
        except OSError as error:
            raise InputError(f"the export cannot be written to {out}: {error.strerror or error}") from None
        found = {
            keys[name]: (name, (inference.n, *inference.rest[name]), str(inference.dtypes[name]))
            for name in inference.names
        }
        return Export(os.fspath(out), found, tuple(inference.notes(inference.names)))


def _keys(names):
    """Name the arrays: tensors may be called like a path, and a store has no place for two nodes at one."""
    keys = {}
    for name in names:
        key = "".join(letter if letter.isprintable() else "_" for letter in name)
        key = key.strip("/").replace("/", ".").lstrip("._") or "tensor"
        while key in keys.values():
            key += "_"
        keys[name] = key
    return keys


def _item_bytes(inference):
    return {
        name: int(np.prod(rest, dtype=np.int64)) * inference.dtypes[name].itemsize
        for name, rest in inference.rest.items()
    }


def _unit_items(inference):
    """Return how many items are written together: whole batches, the same for every layer and any resources."""
    sizes = _item_bytes(inference).values()
    fits = min(_CHUNK // max(1, max(sizes)), _UNIT // max(1, sum(sizes))) // inference.batch
    batches = 1 << max(0, fits.bit_length() - 1)
    return min(batches * inference.batch, -(-inference.n // inference.batch) * inference.batch)


def _workers(inference, unit, resources):
    one = inference.working_bytes + 2 * unit * sum(_item_bytes(inference).values())
    left = resources.memory - inference.held_bytes
    if left < one:
        raise InputError(
            f"the export must fit into memory, but needs {format_bytes(inference.held_bytes + one)} = {format_bytes(inference.held_bytes)} "
            f"(the model) + {format_bytes(one)} (a batch of {inference.batch} items and what is written) of "
            f"{format_bytes(resources.memory)} left beside the process; raise --memory, use a smaller --batch or fewer layers"
        )
    return max(1, min(resources.threads, left // one, -(-inference.n // unit)))


def _create(folder, inference, keys, unit, layers, model):
    """Lay out the group, with the inputs that rows are left out by."""
    import zarr

    root = zarr.open_group(str(folder), mode="a", zarr_format=2)  # "w" would make the folder anew, and lose its lock
    arrays = {}
    for name in inference.names:
        rest = inference.rest[name]
        arrays[name] = root.create_array(
            keys[name], shape=(inference.n, *rest), chunks=(min(unit, inference.n), *(max(1, size) for size in rest)),
            dtype=inference.dtypes[name], config={"write_empty_chunks": True},
        )  # fmt: skip
    beside_them = inference.inputs.sources | inference.inputs.beside
    keys = _keys([*inference.names, *(name for name in beside_them if name not in keys)])
    for name, source in beside_them.items():
        if len(source.shape) <= _COLUMN_AXES and source.shape[:1] == (inference.n,) and source.dtype.kind in "biu":
            values = source.read(tuple(slice(0, size) for size in source.shape))
            beside_it = root.create_array(
                keys[name], shape=values.shape, dtype=values.dtype, config={"write_empty_chunks": True}
            )
            beside_it[...] = values
    root.attrs.put(
        {
            EXPORTED: 1,
            "layers": {
                keys[name]: {"channel_axis": layers[name].channel_axis, "op": layers[name].op}
                | inference.settings(name)
                for name in inference.names
            },
            "model": {"file": os.path.basename(model.location), "fingerprint": model.fingerprint},
            "inputs": {
                name: {"shape": list(source.shape), "dtype": source.dtype_name} | source.fingerprint_parts()
                for name, source in inference.inputs.sources.items()
            },
            "srmfast": srmfast.__version__,
        }
    )
    zarr.consolidate_metadata(root.store, zarr_format=2)
    return arrays


def _write(inference, arrays, unit, workers, on_event):
    """Run batches on several threads; a chunk is one thread's."""
    import time

    sizes = sum(_item_bytes(inference).values())
    on_event(PassStarted("export", os.path.basename(inference.model.location), inference.n, inference.n * sizes))
    began = time.perf_counter()

    def work(first):
        stop = min(first + unit, inference.n)
        parts = [inference.run(number) for number in range(first // inference.batch, -(-stop // inference.batch))]
        for name, array in arrays.items():
            array[first:stop] = parts[0][name] if len(parts) == 1 else np.concatenate([part[name] for part in parts])
        return stop - first

    starts, running = iter(range(0, inference.n, unit)), deque()
    with ThreadPoolExecutor(workers, "srmfast-export") as pool:
        try:
            while True:
                while len(running) < workers and (first := next(starts, None)) is not None:
                    running.append(pool.submit(work, first))
                if not running:
                    break
                items = running.popleft().result()
                on_event(BlockDone(items, items * sizes))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            on_event(PassFinished(time.perf_counter() - began))
