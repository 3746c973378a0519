"""Read ONNX models, of which a file may claim anything: one clear line, or a graph that is what it says."""

import dataclasses
import hashlib
import mmap
import os

from srmfast.errors import InputError, shown
from srmfast.graph import order, tensors
from srmfast.graph.outline import outline
from srmfast.sound import sound

KEPT_BYTES = 1 << 30  # external data beyond it stay in their files: a protobuf message ends at 2 GiB
_LARGEST = (1 << 31) - 1  # bytes of one protobuf message
_PIECE = 1 << 22  # bytes hashed at once


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that was looked through.

    Attributes
    ----------
    proto : onnx.ModelProto
        Its nodes in topological order. Large constants stay where they are, in files of external data and in the model's
        own file, and are described as external data.
    location : str
        Shown in errors.
    path : str or None
        Of the file; None for a message.
    folder : str or None
        Where the files with values lie; None when all are inside.
    fingerprint : str
        Hash of the whole content, external data included.
    """

    proto: object = dataclasses.field(repr=False)
    location: str
    path: str | None
    folder: str | None
    fingerprint: str

    def fingerprint_again(self):
        """Hash the content anew, as it is now."""
        return self.fingerprint if self.path is None else open_model(self.path).fingerprint


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
    model = open_model(source)
    if model.folder is not None:
        with damaged(model.location):
            _fill(model)
    return model.proto


def open_model(source):
    """Load an ONNX model with what is known of its place and content; see `load_model`.

    Returns
    -------
    Model
    """
    import onnx

    if isinstance(source, Model):
        return source
    own = None  # how the large constants in the file itself are called
    if isinstance(source, onnx.ModelProto):
        proto, location, path, state = source, "model in memory", None, hashlib.sha256()
        with damaged(location):
            state.update(_serialised(proto))
    elif isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        location = shown(str(path))
        own = os.path.basename(os.path.realpath(path))
        proto, state = _read(path, location, own)
    else:
        raise InputError(f"a model must be a path or an onnx.ModelProto, got {type(source).__name__}; give one of them")
    with damaged(location):
        _check_versions(proto, location)
        order.sort_model(proto, location)
        found = list(tensors.of_model(proto))
        for place, tensor in found:
            tensors.check(tensor, place, location)
        folder = _external(proto, found, path, own, location, state)
    return Model(proto, location, path, folder, state.hexdigest())


def damaged(location):
    """Turn whatever a library raises over a damaged model into one line; see `srmfast.sound`."""
    return sound(location, otherwise="no ONNX model: copy or export it again")


def _read(path, location, own):
    """Parse a file without its large constants and hash it whole."""
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
    proto = onnx.ModelProto()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, damaged(location):
        state = hashlib.sha256(content)
        message = outline(content, own)
        proto.ParseFromString(content[:] if message is None else message)
        if message is not None and _refers_elsewhere(proto, own) and _home(path) != _home(os.path.realpath(path)):
            proto.ParseFromString(content[:])  # behind a link: values of two folders cannot be found in one
    return proto, state


def _refers_elsewhere(proto, own):
    return any(
        entry.key == "location" and entry.value != own
        for _, tensor in tensors.of_model(proto)
        for entry in tensor.external_data
    )


def _home(path):
    return os.path.realpath(os.path.dirname(os.path.abspath(path)))


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


def _external(proto, found, path, own, location, state):
    """Check external data and hash those of other files; return their folder."""
    outside = [(place, tensor) for place, tensor in found if tensors.is_external(tensor)]
    if not outside:
        return None
    if path is None:
        raise InputError(
            f"the {location} refers to external data ({outside[0][1].name!r}), which only a path tells the folder of; give the "
            "path, or load the data into the model"
        )
    folder = _home(path) if _refers_elsewhere(proto, own) else _home(os.path.realpath(path))
    top = {id(tensor) for tensor in proto.graph.initializer}
    for place, tensor in outside:
        file, offset, length = tensors.region(tensor, place, folder, location)
        if os.path.basename(file) != own:
            for piece in _pieces(file, offset, length):
                state.update(piece)
        if id(tensor) not in top and length <= KEPT_BYTES:
            _load(tensor, file, offset, length)
    return folder


def _fill(model):
    """Load external data: those that are in the file of the model, and the others if they are few."""
    own = os.path.basename(os.path.realpath(model.path))
    outside = [(place, tensor) for place, tensor in tensors.of_model(model.proto) if tensors.is_external(tensor)]
    regions = [tensors.region(tensor, place, model.folder, model.location) for place, tensor in outside]
    elsewhere = sum(length for file, _, length in regions if os.path.basename(file) != own)
    for (_, tensor), (file, offset, length) in zip(outside, regions, strict=True):
        if os.path.basename(file) == own or elsewhere <= KEPT_BYTES:
            _load(tensor, file, offset, length)


def _load(tensor, file, offset, length):
    tensor.raw_data = b"".join(_pieces(file, offset, length))
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def _pieces(file, offset, length):
    with open(file, "rb") as data:
        data.seek(offset)
        while length:
            piece = data.read(min(length, _PIECE))
            if not piece:
                raise InputError(f"{file} became shorter while it was read; wait until its writer is done")
            length -= len(piece)
            yield piece


def _serialised(proto):
    if proto.ByteSize() > _LARGEST:
        raise InputError("a model in memory must be smaller than 2 GiB; save it with external data and give its path")
    return proto.SerializeToString(deterministic=True)
