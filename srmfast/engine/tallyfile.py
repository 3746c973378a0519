"""Tallies in a file: written whole or not at all, read back without trusting a byte of it.

The file is a zip of plain arrays (.npy) and one JSON header, none of them compressed: each has a checksum, nothing is
ever unpickled, and no array can claim more than the file holds.
"""

import contextlib
import errno
import json
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from srmfast.drawn import DrawnRows
from srmfast.engine.stratified import StrataTally
from srmfast.errors import InputError
from srmfast.norms import NormHistogram
from srmfast.repeats import Repeats
from srmfast.tally import PlaneTally, RowTally, Tally, TreeSums
from srmfast.whole import whole_file

FORMAT, VERSION = "srmfast tally", 1
_HEADER = "header.json"
_HEADER_BYTES = 64 << 20
_COPIED = 1 << 24  # bytes written at once: an interrupt need not wait for more
# What a tally may have collected beside the counts, and the types of its arrays.
_COLLECTED = {
    "sums": (TreeSums, (np.int64, np.float64)),
    "norms": (NormHistogram, (np.int64, np.int64)),
    "repeats": (Repeats, (np.uint64, np.int64)),
    "drawn": (DrawnRows, (np.int64, np.int64, np.float64)),
    "strata": (StrataTally, (np.int64, np.int64, np.int64)),
}
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, TypeError, IndexError, AttributeError,
    NotImplementedError, RuntimeError, OverflowError, RecursionError, tokenize.TokenError,
)  # fmt: skip


def write(path, header, tallies, arrays=None):
    """Write tallies so that a reader meets the whole file or the one before it.

    Parameters
    ----------
    path : str or Path
    header : dict
        JSON-able.
    tallies : list of Tally
    arrays : dict of str to ndarray, optional
        Others that belong to them.
    """
    with whole_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        described = [_write_tally(archive, f"{n}/", tally) for n, tally in enumerate(tallies)]
        for name, array in (arrays or {}).items():
            _write_array(archive, f"arrays/{name}", array)
        whole = {"format": FORMAT, "version": VERSION, "header": header, "tallies": described}
        archive.writestr(zipfile.ZipInfo(_HEADER), json.dumps(whole))


class TallyFile:
    """A file of tallies, open for reading; use it in a `with` statement.

    Parameters
    ----------
    path : str or Path

    Attributes
    ----------
    header : dict

    Raises
    ------
    InputError
        The file is none, or damaged; at any read, too.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._archive = None
        try:
            with self.sound():
                self._size = os.path.getsize(path)
                self._archive = zipfile.ZipFile(path)
                if sum(info.file_size for info in self._archive.infolist()) > self._size:
                    raise ValueError("its arrays claim more than it holds")
                info = self._archive.getinfo(_HEADER)
                if not 0 < info.file_size <= min(_HEADER_BYTES, self._size):
                    raise ValueError("its header has no sensible size")
                whole = json.loads(self._archive.read(info))
                if whole.get("format") != FORMAT:
                    raise ValueError("its header is of something else")
                version, self.header, self._tallies = whole["version"], dict(whole["header"]), list(whole["tallies"])
            if version != VERSION:
                raise InputError(f"{self.path} is of tally version {version}, and {VERSION} is read; make it again")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Release the file."""
        if self._archive is not None:
            self._archive.close()

    def verify(self):
        """Compare every array with its checksum."""
        with self.sound():
            if (damaged := self._archive.testzip()) is not None:
                raise ValueError(f"{damaged} is damaged")

    def tally(self, number=0):
        """Return one Tally, whose pieces are read as they are iterated."""
        with self.sound():
            described, at = self._tallies[number], f"{number}/"
            rows = RowTally(
                int(described["seen"]), self._array(at + "fate", np.int64, 3),
                {str(rule): int(count) for rule, count in described["masked"].items()},
            )  # fmt: skip
            collected = {}
            for name in described["collected"]:
                arrays = [self._array(f"{at}{name}/{n}", dtype) for n, dtype in enumerate(_COLLECTED[name][1])]
                collected[name] = _COLLECTED[name][0].from_arrays(*arrays)
            intervals = [(int(start), int(stop)) for start, stop in described["intervals"]]
            planes = [
                PlaneTally(
                    self._array(f"{at}{b}/totals", np.int64, 4), int(one["arcs"]),
                    self._pieces(f"{at}{b}/", int(one["pieces"])),
                    self._array(f"{at}{b}/phase", np.int64, 4) if one.get("phase") else None,
                )
                for b, one in enumerate(described["planes"])
            ]  # fmt: skip
        return Tally(intervals, rows, collected, planes)

    def tallies(self):
        """Yield every Tally."""
        for number in range(len(self._tallies)):
            yield self.tally(number)

    def array(self, name):
        """Return one of the other arrays."""
        with self.sound():
            return self._array(f"arrays/{name}")

    def _pieces(self, at, count):
        for n in range(count):
            with self.sound():
                piece = self._array(f"{at}{n}/numbers", np.int64, 1), self._array(f"{at}{n}/values")
                numbers, values = piece
                if len(numbers) != len(values) or values.dtype.kind != "i" or np.unique(numbers).size != numbers.size:
                    raise ValueError("numbers and counts do not fit together")
            yield piece

    def _array(self, name, dtype=None, rank=None):
        """Read one array; the checksum is verified when its last byte has been read."""
        info = self._archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > self._size:
            raise ValueError(f"{name} is larger than the file")
        with self._archive.open(info) as member:
            if np.lib.format.read_magic(member) != (1, 0):
                raise ValueError(f"{name} is no array")
            shape, fortran, found = np.lib.format.read_array_header_1_0(member)
            wanted = found if dtype is None else np.dtype(dtype)
            if fortran or found.hasobject or found != wanted or found.kind not in "iufb" or min(shape, default=0) < 0:
                raise ValueError(f"{name} is of a wrong type")
            if rank not in (None, len(shape)):
                raise ValueError(f"{name} is of a wrong shape")
            count = int(np.prod(shape, dtype=object))
            if count * found.itemsize != info.file_size - member.tell():
                raise ValueError(f"{name} has a wrong size")
            array = np.empty(count, found)
            view, at = memoryview(array).cast("B") if count else memoryview(b""), 0
            while at < len(view):
                got = member.readinto(view[at : at + _COPIED])
                if not got:
                    raise EOFError(f"{name} ends early")
                at += got
            if member.read(1):
                raise ValueError(f"{name} has a wrong size")
        return array.reshape(shape)

    @contextlib.contextmanager
    def sound(self):
        """Turn whatever damage in the file makes the body raise into one line."""
        try:
            yield
        except InputError:  # says more
            raise
        except (OSError, *_DAMAGE) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a place before the file
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{self.path} is not a whole tally file ({reason}); make it again") from None


def _write_tally(archive, at, tally):
    """Write the arrays of a tally and return the rest of it, JSON-able."""
    _write_array(archive, f"{at}fate", tally.rows.fate)
    for name, value in tally.collected.items():
        for n, array in enumerate(value.to_arrays()):
            _write_array(archive, f"{at}{name}/{n}", array)
    planes = []
    for b, one in enumerate(tally.planes):
        _write_array(archive, f"{at}{b}/totals", one.totals)
        pieces = 0
        for numbers, values in one.pieces:
            _write_array(archive, f"{at}{b}/{pieces}/numbers", numbers)
            _write_array(archive, f"{at}{b}/{pieces}/values", values)
            pieces += 1
        if one.phase is not None:
            _write_array(archive, f"{at}{b}/phase", one.phase)
        planes.append({"arcs": int(one.arcs), "pieces": pieces, "phase": one.phase is not None})
    return {
        "intervals": [[int(start), int(stop)] for start, stop in tally.intervals],
        "seen": int(tally.rows.seen), "masked": tally.rows.masked, "collected": list(tally.collected), "planes": planes,
    }  # fmt: skip


def _write_array(archive, name, array):
    array = np.ascontiguousarray(array)
    with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(array))
        view = memoryview(array.reshape(-1)).cast("B") if array.size else memoryview(b"")
        for start in range(0, len(view), _COPIED):
            member.write(view[start : start + _COPIED])
