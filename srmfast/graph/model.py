"""Read ONNX models, of which a file may claim anything: one clear line, or a graph that is what it says."""

import contextlib
import dataclasses
import hashlib
import os
from pathlib import Path

from srmfast.errors import InputError, SrmfastError, shown
from srmfast.graph import order, tensors

KEPT_BYTES = 1 << 30  # external data beyond it stay in their files: a protobuf message ends at 2 GiB
_LARGEST = (1 << 31) - 1  # bytes of one protobuf message
_PIECE = 1 << 22  # bytes hashed at once
_SHOWN = 200  # characters of a library's message


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that was looked through.

    Attributes
    ----------
    proto : onnx.ModelProto
        Its nodes in topological order. External data are inside, or when they are many still in their files.
    location : str
        Shown in errors.
    folder : str or None
        Where external data that stayed in their files lie; None when there are none.
    fingerprint : str
        Hash of the whole content, external data included.
    """

    proto: object
    location: str
    folder: str | None
    fingerprint: str


def load_model(source):
    """Load an ONNX model and check that it is one.

    Parameters
    ----------
    source : path or onnx.ModelProto
        A message is checked and returned, its nodes sorted where they are not.

    Returns
    -------
    onnx.ModelProto
        Nodes in topological order. External data are loaded up to `KEPT_BYTES` in all; beyond, every tensor keeps
        its reference, relative to the folder of the file.

    Raises
    ------
    InputError
        For a file that is no whole ONNX model, an unknown version, external data that are missing, too short or outside
        the folder, a tensor whose values are not there, and a graph that is empty, cyclic or names a tensor twice.
    """
    return open_model(source).proto


def open_model(source):
    """Load an ONNX model with what is known of its place and content; see `load_model`.

    Returns
    -------
    Model
    """
    import onnx

    if isinstance(source, Model):
        return source
    if isinstance(source, onnx.ModelProto):
        proto, location, path, state = source, "model in memory", None, hashlib.sha256()
        with sound(location):
            state.update(_serialised(proto))
    elif isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        location = shown(str(path))
        proto, state = _read(path, location)
    else:
        raise InputError(f"a model must be a path or an onnx.ModelProto, got {type(source).__name__}; give one of them")
    with sound(location):
        _check_versions(proto, location)
        found = list(tensors.of_model(proto))
        for place, tensor in found:
            tensors.check(tensor, place, location)
        order.sort_model(proto, location)
        folder = _external(proto, found, path, location, state)
    return Model(proto, location, folder, state.hexdigest())


@contextlib.contextmanager
def sound(location):
    """Turn whatever a library raises over a damaged model into one line; errors that say more pass."""
    try:
        yield
    except (SrmfastError, OSError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"{location} cannot be read ({type(error).__name__}: {line(error)}); it is damaged, or no ONNX model: copy or "
            "export it again"
        ) from error


def line(error):
    """Say what a library complains about in one line."""
    text = " ".join(shown(str(error)).split()) or type(error).__name__
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _read(path, location):
    import onnx

    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise InputError(f"{location} {what}; give the path of a .onnx file")
    size = os.path.getsize(path)
    if not size:
        raise InputError(f"{location} is empty, no ONNX model; copy or export it again")
    if size > _LARGEST:
        raise InputError(
            f"an ONNX file must be smaller than 2 GiB, {location} has {size:,} bytes; export it with external data"
        )
    content = Path(path).read_bytes()
    proto = onnx.ModelProto()
    with sound(location):
        proto.ParseFromString(content)
    return proto, hashlib.sha256(content)


def _check_versions(proto, location):
    import onnx

    if not proto.HasField("graph") or not (proto.ir_version or proto.opset_import):
        raise InputError(f"{location} is no ONNX model: it holds no graph and no version; export it again")
    if not 1 <= proto.ir_version <= onnx.IR_VERSION:
        raise InputError(
            f"the IR version of a model must lie in 1 … {onnx.IR_VERSION} (onnx {onnx.__version__}), {location} has "
            f"{proto.ir_version}; export it for an older one, or update onnx and onnxruntime"
        )
    newest = onnx.defs.onnx_opset_version()
    versions = [opset.version for opset in proto.opset_import if opset.domain in ("", "ai.onnx")]
    if proto.ir_version >= 3 and not proto.opset_import:
        raise InputError(f"{location} names no operator set; it is damaged: export it again")
    for version in versions:
        if not 1 <= version <= newest:
            raise InputError(
                f"the opset of a model must lie in 1 … {newest} (onnx {onnx.__version__}), {location} has {version}; export "
                "it for an older one, or update onnx and onnxruntime"
            )
    if not proto.graph.node:
        raise InputError(f"the graph of {location} is empty: it has no node; export the model again")


def _external(proto, found, path, location, state):
    """Check external data, hash them, and load them when they are few; return their folder when they stay outside."""
    outside = [(place, tensor) for place, tensor in found if tensors.is_external(tensor)]
    if not outside:
        return None
    if path is None:
        raise InputError(
            f"the {location} refers to external data ({outside[0][1].name!r}), which only a path tells the folder of; give the "
            "path, or load the data into the model"
        )
    folder = os.path.dirname(os.path.abspath(path))
    regions = [tensors.region(tensor, place, folder, location) for place, tensor in outside]
    keeps = sum(length for _, _, length in regions) > KEPT_BYTES
    for (_, tensor), (file, offset, length) in zip(outside, regions, strict=True):
        with open(file, "rb") as data:
            data.seek(offset)
            pieces, left = [], length
            while left:
                piece = data.read(min(left, _PIECE))
                if not piece:
                    raise InputError(f"{file} became shorter while it was read; wait until its writer is done")
                state.update(piece)
                left -= len(piece)
                if not keeps:
                    pieces.append(piece)
        if not keeps:
            tensor.raw_data = b"".join(pieces)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    return folder if keeps else None


def _serialised(proto):
    if proto.ByteSize() > _LARGEST:
        raise InputError("a model in memory must be smaller than 2 GiB; save it with external data and give its path")
    return proto.SerializeToString(deterministic=True)
