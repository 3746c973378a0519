"""Files as torch.save writes them, made without torch."""

import dataclasses
import struct
import zipfile

import ml_dtypes
import numpy as np

STORAGES = {
    "float64": "Double", "float32": "Float", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long", "int32": "Int",
    "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
}  # fmt: skip


@dataclasses.dataclass
class Tensor:
    """One tensor; `storage`, `offset`, `shape` and `strides` (elements) may claim anything."""

    array: np.ndarray
    strides: tuple = None
    offset: int = 0
    shape: tuple = None
    elements: int = None
    key: str = None
    parameter: bool = False


@dataclasses.dataclass
class Raw:
    """Instructions put into the pickle as they are."""

    code: bytes


class Writer:
    def __init__(self):
        self.storages = []

    def value(self, value):
        """Give the instructions that leave `value` on the stack."""
        if isinstance(value, Raw):
            return value.code
        if isinstance(value, np.ndarray):
            value = Tensor(value)
        if isinstance(value, Tensor):
            made = self.tensor(value)
            if value.parameter:
                return b"ctorch._utils\n_rebuild_parameter\n(" + made + b"\x88" + self.value({}) + b"tR"
            return made
        if isinstance(value, bool) or value is None:
            return {True: b"\x88", False: b"\x89", None: b"N"}[value]
        if isinstance(value, int):
            count = value.bit_length() // 8 + 1
            return b"\x8a" + bytes([count]) + value.to_bytes(count, "little", signed=True)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        if isinstance(value, list):
            return b"](" + b"".join(map(self.value, value)) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.value, value)) + b"t"
        pairs = b"".join(self.value(part) for pair in value.items() for part in pair)
        return b"ccollections\nOrderedDict\n)R(" + pairs + b"u"

    def tensor(self, tensor):
        array = tensor.array
        key = str(len(self.storages))
        self.storages.append((key, array.tobytes(order="A")))
        name = array.dtype.name
        shape = array.shape if tensor.shape is None else tensor.shape
        strides = tensor.strides
        if strides is None:
            strides = tuple(stride // array.itemsize for stride in array.strides)
        kind = f"torch\n{STORAGES[name]}Storage" if name in STORAGES else "torch.storage\nUntypedStorage"
        elements = array.size * (1 if name in STORAGES else array.itemsize)
        identity = b"(" + self.value("storage") + f"c{kind}\n".encode()
        identity += self.value(tensor.key or key) + self.value("cpu")
        identity += self.value(elements if tensor.elements is None else tensor.elements) + b"tQ"
        version, last = ("v2", b"") if name in STORAGES else ("v3", f"ctorch\n{name}\n".encode())
        arguments = [tensor.offset, tuple(shape), tuple(strides), False, {}]
        arguments = identity + b"".join(map(self.value, arguments)) + last
        return f"ctorch._utils\n_rebuild_tensor_{version}\n(".encode() + arguments + b"tR"


def write(path, value, *, byte_order="little", image=None, compressed=False, without=()):
    """Write `value` (nested dicts, lists, arrays, `Tensor`, `Raw`), or the given description `image`."""
    writer = Writer()
    described = b"\x80\x02" + writer.value(value) + b"."
    members = {"data.pkl": described if image is None else image, "byteorder": byte_order.encode()}
    members |= {f"data/{key}": content for key, content in writer.storages} | {"version": b"3\n"}
    how = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members.items():
            if name not in without:
                archive.writestr(f"archive/{name}", content)
    return path


def swapped(array):
    """Give the values in big-endian bytes under the same dtype, as a big-endian machine stores them."""
    return array.byteswap() if array.dtype != ml_dtypes.bfloat16 else array.view(np.uint16).byteswap().view(array.dtype)
