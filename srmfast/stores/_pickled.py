"""What a pickle describes, read without running anything.

A pickle is a program for a stack machine. Here that machine knows numbers, text, tuples, lists and dicts; a global is
looked up in a table of names, and calling one gives what the table says, which is inert. Everything else that a pickle
could ask for (an import, a constructor, a state to set) is refused by its name. Work and memory are bounded by the
length of the pickle, because no instruction copies what it takes from the memo.
"""

import struct

from srmfast.errors import InputError
from srmfast.sound import line

OPAQUE = object()  # stands for a value that nobody needs: bytes, a set, a device
_INTEGER_BYTES = 255
_SIZED = {  # opcode -> (format of the length, what the bytes are)
    b"X": ("<I", "text"), b"\x8c": ("<B", "text"), b"\x8d": ("<Q", "text"),
    b"T": ("<i", "bytes"), b"U": ("<B", "bytes"), b"B": ("<I", "bytes"), b"C": ("<B", "bytes"),
    b"\x8e": ("<Q", "bytes"), b"\x96": ("<Q", "bytes"), b"\x8a": ("<B", "integer"), b"\x8b": ("<i", "integer"),
}  # fmt: skip
_NUMBERS = {b"K": "<B", b"M": "<H", b"J": "<i", b"G": ">d"}
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
_SKIPPED = {b"\x80": 1, b"\x95": 8}  # PROTO and FRAME: opcode -> bytes of the argument
_PUT = {b"q": "<B", b"r": "<I"}
_GET = {b"h": "<B", b"j": "<I"}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
_KEYS = (str, int, float, bool, type(None))


class Name:
    """A global that the table allows; `meaning` is what the table holds for it."""

    def __init__(self, name, meaning):
        self.name, self.meaning = name, meaning


class Call:
    """The meaning of a global that may be called: `result(*arguments)` gives an inert value."""

    def __init__(self, result):
        self.result = result


def read(image, lookup, persistent, location):
    """Interpret one pickle.

    Parameters
    ----------
    image : bytes
    lookup : callable
        ``lookup("module.name")`` gives the meaning of a global, a `Call` when it may be called, or None when it is
        not allowed.
    persistent : callable
        ``persistent(identity)`` gives what stands for a persistent identity.
    location : str
        Shown in errors.

    Returns
    -------
    object
        None, bool, int, float, str, tuple, list, dict, `Name`, `OPAQUE` or what the table made. Lists and dicts may
        contain themselves.

    Raises
    ------
    InputError
        For a global that is not allowed, naming it, and for a damaged pickle.
    """
    machine = _Machine(image, lookup, persistent, location)
    try:
        return machine.run()
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error, OverflowError) as error:
        reason = line(error)
        raise InputError(
            f"{location} is damaged near byte {machine.at} of its description ({reason:.80}); copy or write it again"
        ) from error


class _Machine:
    def __init__(self, image, lookup, persistent, location):
        self.image, self.at = image, 0
        self._lookup, self._persistent, self._location = lookup, persistent, location
        self._stack, self._below, self._memo = [], [], {}

    def run(self):
        while True:
            code = self._take(1)
            if code == b".":
                return self._stack.pop()
            self._step(code)

    def _take(self, count):
        if not 0 <= count <= len(self.image) - self.at:
            raise ValueError("it ends too early")
        self.at += count
        return self.image[self.at - count : self.at]

    def _number(self, form):
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self):
        end = self.image.index(b"\n", self.at)
        return self._take(end + 1 - self.at)[:-1].decode("utf-8")

    def _step(self, code):
        push = self._stack.append
        if code in _SIZED:
            push(self._sized(*_SIZED[code]))
        elif code in _NUMBERS:
            push(self._number(_NUMBERS[code]))
        elif code in _CONSTANTS:
            push(_CONSTANTS[code])
        elif code in _SKIPPED:
            self._take(_SKIPPED[code])
        elif code in _PUT:
            self._memo[self._number(_PUT[code])] = self._stack[-1]
        elif code == b"\x94":
            self._memo[len(self._memo)] = self._stack[-1]
        elif code in _GET:
            push(self._memo[self._number(_GET[code])])
        elif code in _TUPLES:
            count = _TUPLES[code]
            if len(self._stack) < count:
                raise IndexError("the stack is too short")
            self._stack[-count:] = [tuple(self._stack[-count:])]
        elif code in _OPERATIONS:
            _OPERATIONS[code](self)
        else:
            raise ValueError(f"the instruction {code!r} is not known")

    def _sized(self, form, what):
        count = self._number(form)
        if what == "integer" and count > _INTEGER_BYTES:
            raise ValueError(f"an integer of {count} bytes")
        value = self._take(count)
        if what == "text":
            return value.decode("utf-8", "surrogatepass")
        return int.from_bytes(value, "little", signed=True) if what == "integer" else OPAQUE

    def mark(self):
        self._below.append(self._stack)
        self._stack = []

    def _to_mark(self):
        items, self._stack = self._stack, self._below.pop()
        return items

    def pop(self):
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def duplicate(self):
        self._stack.append(self._stack[-1])

    def tuple_to_mark(self):
        items = self._to_mark()
        self._stack.append(tuple(items))

    def list_to_mark(self):
        items = self._to_mark()
        self._stack.append(items)

    def dict_to_mark(self):
        items = self._to_mark()
        self._stack.append({})
        self._set(items)

    def opaque_to_mark(self):
        self._to_mark()
        self._stack.append(OPAQUE)

    def append(self):
        value = self._stack.pop()
        self._extend([value])

    def appends(self):
        self._extend(self._to_mark())

    def _extend(self, items):
        if self._stack[-1] is not OPAQUE:
            self._expect(list).extend(items)

    def set_item(self):
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def set_items(self):
        self._set(self._to_mark())

    def _set(self, items):
        target = self._expect(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A tuple inside a tuple could be nested deeper than hashing goes.
            plain = all(isinstance(part, _KEYS) for part in key) if isinstance(key, tuple) else isinstance(key, _KEYS)
            if not plain:
                raise ValueError(f"a key of type {type(key).__name__}")
            target[key] = value

    def _expect(self, kind):
        target = self._stack[-1]
        if not isinstance(target, kind):
            raise TypeError(f"a {kind.__name__} is expected, there is a {type(target).__name__}")
        return target

    def name(self):
        self._global(f"{self._line()}.{self._line()}")

    def name_from_stack(self):
        name, module = self._stack.pop(), self._stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise TypeError("the name of a global is no text")
        self._global(f"{module}.{name}")

    def _global(self, name):
        meaning = self._lookup(name)
        if meaning is None:
            raise self._refusal(f"asks for {name!r:.120}")
        self._stack.append(Name(name, meaning))

    def call(self):
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Name) or not isinstance(function.meaning, Call):
            what = function.name if isinstance(function, Name) else type(function).__name__
            raise self._refusal(f"calls {what!r:.120}")
        if not isinstance(arguments, tuple):
            raise TypeError("the arguments of a call are no tuple")
        self._stack.append(function.meaning.result(*arguments))

    def state(self):
        state = self._stack.pop()
        # Attributes of an OrderedDict, as the metadata of a state_dict: of no interest.
        if not (isinstance(self._stack[-1], dict) and isinstance(state, dict)):
            raise self._refusal(f"sets the state of a {type(self._stack[-1]).__name__}")

    def persistent(self):
        self._stack.append(self._persistent(self._stack.pop()))

    def construct(self):
        raise self._refusal("constructs objects")

    def _refusal(self, what):
        return InputError(
            f"{self._location} {what}, which would run code and is never done; save the tensors alone: "
            "torch.save({'acts': tensor}, 'acts.pt')"
        )


_OPERATIONS = {
    b"(": _Machine.mark, b"0": _Machine.pop, b"1": _Machine._to_mark, b"2": _Machine.duplicate,
    b"t": _Machine.tuple_to_mark, b"l": _Machine.list_to_mark, b"d": _Machine.dict_to_mark,
    b"]": lambda machine: machine._stack.append([]), b"}": lambda machine: machine._stack.append({}),
    b"\x8f": lambda machine: machine._stack.append(OPAQUE), b"\x91": _Machine.opaque_to_mark,
    b"a": _Machine.append, b"e": _Machine.appends, b"\x90": _Machine.appends, b"s": _Machine.set_item,
    b"u": _Machine.set_items, b"c": _Machine.name, b"\x93": _Machine.name_from_stack, b"R": _Machine.call,
    b"b": _Machine.state, b"Q": _Machine.persistent, b"\x81": _Machine.construct, b"\x92": _Machine.construct,
    b"i": _Machine.construct, b"o": _Machine.construct,
    **dict.fromkeys((b"\x82", b"\x83", b"\x84"), _Machine.construct),
}  # fmt: skip
