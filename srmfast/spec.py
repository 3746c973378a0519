"""What is computed (`Spec`, hashed into the result) and how (`Resources`, which may not change one count)."""

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from srmfast.angles import angle_hash
from srmfast.errors import InputError, meant

KEEPS = "auto, all, hit, top:K or summary"
DEFAULT_EPSILON = 0.9
_SHOWN = 6  # differing fields in a message
DEFAULT_ANGLES = 360
LEAST_ROTATIONS = 39  # 2 · 1/(1 + 39) = 0.05
MINIMUM_MEMORY = 256 << 20  # bytes
_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}


@dataclass(frozen=True)
class Spec:
    """Everything that determines the numbers of a run over one store with one basis.

    Attributes
    ----------
    store, basis : dict
        Fingerprints: shape, dtype and hashes of the store; name, kind, shape and hash of the basis.
    planes, planes_hash : str
        What was asked for and the hash of the set it stands for.
    epsilon : tuple of float
        Cosines of the half-angle of the cone, in the order of the result.
    angles, angles_hash : int, str
    labels : str
        Hashes of the rows' label codes ("" without labels) and of the label names.
    groups, mask, lengths, tokens : str
        Hash of the folds that the groups give, of what the mask keeps, of the lengths of sequences and of what the
        excluded tokens leave; "" without them.
    exclude_tokens : tuple of int
        Token ids whose rows are left out.
    max_norm : dict or None
        The norm above which rows are left out: `limit`, and the `multiple` and `median` that it was made of.
    rows : tuple of int or None
        START, STOP, STEP of the rows read.
    sample, sample_hash : int, str
        Rows drawn, 0 for all, and the hash of their numbers.
    centre_hash : str
        Hash of the mean subtracted from each row, or "".
    zero_rows, nonfinite, missing_chunks, keep : str
    seed : int
    inner_product : str
        Hash of the matrix whose inner product was used, "" for the Euclidean.
    null : dict or None
        Random rotations that the basis is compared with: `rotations`, and the most `rows`, `vectors` and `planes` that are
        drawn for it.
    strata : dict or None
        Families of strata that rows are told apart by: the `names` of each, and what determines it.
    """

    store: dict
    basis: dict
    planes: str
    planes_hash: str
    epsilon: tuple
    angles: int
    angles_hash: str = field(init=False)
    labels: str = ""
    groups: str = ""
    mask: str = ""
    lengths: str = ""
    tokens: str = ""
    exclude_tokens: tuple = ()
    max_norm: dict | None = None
    rows: tuple | None = None
    sample: int = 0
    sample_hash: str = ""
    centre_hash: str = ""
    zero_rows: str = "drop"
    nonfinite: str = "error"
    missing_chunks: str = "error"
    keep: str = "auto"
    seed: int = 0
    null: dict | None = None
    inner_product: str = ""
    strata: dict | None = None

    def __post_init__(self):
        object.__setattr__(self, "angles_hash", angle_hash(self.angles))

    @cached_property
    def _text(self):
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, absent in (("strata", None), ("inner_product", "")):
            if fields[name] == absent:
                del fields[name]  # so that runs without have the digests, states and parts of before there were any
        return json.dumps(fields, sort_keys=True)

    def to_dict(self):
        """Return the fields as JSON-able values."""
        return json.loads(self._text)

    @classmethod
    def from_dict(cls, values):
        """Return the Spec that `to_dict` described."""
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values and name != "angles_hash"}
        rows = None if known["rows"] is None else tuple(known["rows"])
        return cls(**known | {"epsilon": tuple(known["epsilon"]), "rows": rows})

    def digest(self):
        """Return the SHA-256 of all fields: two runs with the same digest have the same counts."""
        return hashlib.sha256(self._text.encode()).hexdigest()


def differences(old, new, name=""):
    """Yield (field, value there, value here) wherever two JSON-able values differ, fields of fields joined by dots."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif old != new and not (old is None and not new or new is None and not old):  # older versions lack some fields
        yield name, old, new


def differing(old, new, there="there", here="here"):
    """Say in which fields two JSON-able values differ, in one line; "" when they do not."""
    found = [f"{name} is {_shown(a)} {there} and {_shown(b)} {here}" for name, a, b in differences(old, new)]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def _shown(value):
    if isinstance(value, dict):
        return "there"
    text = "missing" if value is None else str(value)
    return text if len(text) <= 48 else f"{text[:12]}…"


@dataclass(frozen=True)
class Resources:
    """How a run is carried out; no field may change a count.

    Attributes
    ----------
    threads : int
        Compute threads.
    memory : int
        Bytes that the run may add to the process.
    block_rows : int or None
        Rows in one kernel call; chosen from the width when None.
    """

    threads: int
    memory: int
    block_rows: int | None = None

    @classmethod
    def resolve(cls, threads=None, memory=None, block_rows=None):
        """Fill in the defaults of this machine and check the values given."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = cores if threads is None else threads
        for name, value in (("threads", threads), ("block_rows", block_rows)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1):
                raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
        memory = max(MINIMUM_MEMORY, available_memory() // 4) if memory is None else parse_bytes(memory)
        if memory < MINIMUM_MEMORY:
            raise InputError(
                f"memory must be at least {format_bytes(MINIMUM_MEMORY)}, got {format_bytes(memory)}; "
                "Python with Numba needs most of that by itself"
            )
        return cls(int(threads), memory, block_rows)


def check_epsilons(epsilon):
    """Return epsilon (a number or several) as a tuple of distinct floats in [−1, 1]."""
    values = np.atleast_1d(np.asarray(epsilon))
    if values.dtype.kind not in "fiu" or values.ndim != 1 or not values.size:
        raise InputError(f"epsilon must be a number or several, got {epsilon!r}; for example 0.9 or 0.5,0.7,0.9")
    for value in values.astype(float):
        if not -1.0 <= value <= 1.0:
            degrees = 5.0 <= abs(value) <= 180.0
            hint = (
                f"; for a half-angle in degrees use {np.cos(np.radians(value)).round(12) + 0.0:.6g}" if degrees else ""
            )
            raise InputError(f"epsilon must lie in [-1, 1] (a cosine), got {value:g}{hint}")
    if np.unique(values).size != values.size:
        raise InputError(f"each epsilon may be given once, got {', '.join(f'{value:g}' for value in values)}")
    return tuple(values.astype(float).tolist())


def check_choice(name, value, choices):
    """Return `value` when it is one of `choices` (a tuple of str)."""
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}{meant(value, choices)}")
    return value


def check_keep(keep):
    """Return `keep` when it is a known rule for the planes that stay in the result."""
    if keep in ("auto", "all", "hit", "summary") or (isinstance(keep, str) and re.fullmatch(r"top:[1-9]\d*", keep)):
        return keep
    raise InputError(f"keep must be {KEEPS}, got {keep!r}{meant(keep, ('auto', 'all', 'hit', 'top', 'summary'))}")


def check_rotations(null):
    """Return how many random rotations a basis is compared with: 0, or enough for a p of 0.05 in either direction."""
    if isinstance(null, bool) or not isinstance(null, (int, np.integer)) or not (null == 0 or null >= LEAST_ROTATIONS):
        raise InputError(
            f"null must be 0 or a whole number of at least {LEAST_ROTATIONS} rotations, which a two-sided p of 0.05 needs, got "
            f"{null!r}; for example 99"
        )
    return int(null)


def parse_bytes(text):
    """Return a number of bytes from 1073741824, "512MiB", "2GiB" or "1.5 GB"."""
    if isinstance(text, (int, np.integer)):
        return int(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", str(text).lower())
    if not match:
        raise InputError(f"a size must be a number with an optional unit, got {text!r}; for example 512MiB or 2GiB")
    return int(float(match[1]) * _UNITS[match[2] or ""])


def format_bytes(count):
    """Return bytes in the unit that a person reads: '512 MiB'."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if abs(value) < 1024 or unit == "EiB":
            return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.3g} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def machine_memory():
    """Return the bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_memory():
    """Return the bytes this process may use: the container's limit or the machine's memory, the smaller one."""
    limits = [machine_memory()]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                limits.append(int(file.read()))
        except (OSError, ValueError):
            continue
    return min(limits)


def resident_bytes():
    """Return the memory this process holds now; its peak so far where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def peak_bytes():
    """Return the most memory this process has held.

    On Linux the kernel's own figure: `ru_maxrss` begins at what the parent held when it started this process.
    """
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak << 10


def hash_array(array):
    """Return the SHA-256 of an array's dtype, shape and bytes; "" for None."""
    if array is None:
        return ""
    array = np.ascontiguousarray(array)
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()
