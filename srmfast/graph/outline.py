"""The description in an ONNX file without its large constants, which are described as lying in that very file.

A protobuf message is read whole or not at all; a model of half a gigabyte would be held three times before it runs.
"""

_MODEL_GRAPH, _GRAPH_INITIALIZER = 7, 5
_TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_PLACE, _TENSOR_SEGMENT = 9, 13, 14, 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
LEAST = 1 << 12  # bytes of a constant that is left where it is


def outline(content, name):
    """Leave the large constants of a model out of its message.

    Parameters
    ----------
    content : bytes-like
        Of the file.
    name : str
        Of the file, which stands in for them as external data.

    Returns
    -------
    bytes or None
        The message; None when it is not built as expected, and a parser shall say what is wrong with it.
    """
    try:
        return b"".join(_message(content, 0, len(content), {_MODEL_GRAPH: _graph}, name))
    except (IndexError, ValueError):
        return None


def _graph(content, first, stop, name):
    return _message(content, first, stop, {_GRAPH_INITIALIZER: _tensor}, name)


def _message(content, first, stop, inner, name):
    """Give the pieces of a message in which some fields are replaced."""
    pieces, begun = [], first
    for field, wire, start, low, high in _fields(content, first, stop):
        if field in inner and wire == _BYTES:
            pieces.append(content[begun:start])
            found = b"".join(inner[field](content, low, high, name))
            pieces += [_varint(field << 3 | _BYTES), _varint(len(found)), found]
            begun = high
    pieces.append(content[begun:stop])
    return pieces


def _tensor(content, first, stop, name):
    raw = None
    for field, wire, start, low, high in _fields(content, first, stop):
        if field in (_TENSOR_EXTERNAL, _TENSOR_PLACE, _TENSOR_SEGMENT) or (field == _TENSOR_RAW and raw):
            return [content[first:stop]]
        if field == _TENSOR_RAW and wire == _BYTES and high - low >= LEAST:
            raw = start, low, high
    if raw is None:
        return [content[first:stop]]
    start, low, high = raw
    said = {"location": name, "offset": str(low), "length": str(high - low)}
    entries = [
        _entry(_TENSOR_EXTERNAL, _entry(1, key.encode()) + _entry(2, value.encode())) for key, value in said.items()
    ]
    return [content[first:start], content[high:stop], *entries, _varint(_TENSOR_PLACE << 3 | _VARINT), _varint(1)]


def _fields(content, at, stop):
    """Yield (field, wire type, start, low, high) of the fields of a message; low … high is what a field of bytes holds."""
    while at < stop:
        start = at
        tag, at = _read(content, at)
        field, wire = tag >> 3, tag & 7
        low = at
        if wire == _VARINT:
            _, at = _read(content, at)
        elif wire == _BYTES:
            size, low = _read(content, at)
            at = low + size
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(wire)
        if at > stop:
            raise ValueError(at)
        yield field, wire, start, low, at


def _read(content, at):
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(at)


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _entry(field, content):
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content
