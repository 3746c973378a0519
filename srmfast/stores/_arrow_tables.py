"""Tables in files: batches of rows of a Parquet or Arrow IPC file."""

import contextlib
import functools
import os

from srmfast.errors import InputError, require
from srmfast.sound import line

IPC_FILE = b"ARROW1"
PARQUET = b"PAR1"
GROUP_BYTES = 16 << 20  # a row group up to this is read whole, so that what a damaged page claims is not allocated
READ_BYTES = 64 << 10  # of a larger one at once
PIECES = 1 << 20  # at most
PIECE_ROWS = 1 << 16  # of a column of labels
_STREAM_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@contextlib.contextmanager
def one_line(location):
    """Turn whatever pyarrow raises into one line."""
    pa = require("pyarrow", purpose=f"reading {location}", extra="arrow")
    try:
        yield
    except InputError:
        raise
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        MemoryError,
        OverflowError,
    ) as error:
        raise InputError(f"{location} cannot be read ({line(error)}); copy or write it again") from error


def open_table(path):
    """Open a Parquet or Arrow file by its first bytes.

    Returns
    -------
    ParquetTable, IpcFile or IpcStream
        With ``schema``; ``read(i, names)`` gives batch i as a list of arrays, one for each name; ``close()``.
    """
    with open(path, "rb") as file:
        head = file.read(8)
    with one_line(path):
        if head[:4] == PARQUET:
            return ParquetTable(path)
        if head[:4] == b"FEA1":
            raise InputError(f"{path} is Feather V1; write it again with pyarrow.feather.write_feather")
        return IpcFile(path) if head[:6] == IPC_FILE else IpcStream(path)


class ParquetTable:
    """A Parquet file; a batch is a piece of a row group, because decoding a whole one takes many times its size."""

    format = "parquet"
    ended = True

    def __init__(self, path):
        self._pa = require("pyarrow", purpose=f"reading {path}", extra="arrow")
        parquet = require("pyarrow.parquet", purpose=f"reading {path}", extra="arrow")
        self._file = parquet.ParquetFile(path, pre_buffer=False)
        if min(os.path.getsize(path), _largest_group(self._file.metadata)) > GROUP_BYTES:
            self._file.close()
            self._file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES)
        self.schema = self._file.schema_arrow
        self._first = {}  # name of a column -> its first row
        self._cursor = (None, 0, None)  # row group and columns being read, rows of it that were, the batches to come
        self.divide(PIECE_ROWS)

    def divide(self, rows):
        """Cut every row group into pieces of so many rows, or more of those that a damaged file may claim."""
        groups = self._file.metadata
        counts = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
        rows = self._step = max(rows, sum(counts) // PIECES)
        self._pieces = [(i, start) for i, count in enumerate(counts) for start in range(0, count, rows)]
        self.rows = [min(rows, counts[i] - start) for i, start in self._pieces]

    def read(self, i, names):
        """Decode piece i; the next ones come cheapest, others begin at their row group again."""
        group, start = self._pieces[i]
        what, at, batches = self._cursor
        self._cursor = (None, 0, None)
        self._pa.default_memory_pool().release_unused()
        if what != (group, *names) or at > start:
            at = 0
            batches = self._file.iter_batches(self._step, row_groups=[group], columns=list(names), use_threads=False)
        made = []
        while at < start + self.rows[i]:
            batch = next(batches, None)
            if batch is None:
                raise ValueError(f"row group {group} ends after {at} rows")
            made += [batch] if at >= start else []
            at += len(batch)
        self._cursor = ((group, *names), at, batches)
        return [[batch.column(name) for batch in made] for name in names]

    def first(self, names):
        """Give the first row of some columns, decoding little more than that, once."""
        for name in names:
            if name not in self._first:
                batch = next(self._file.iter_batches(1, columns=[name], use_threads=False), None)
                self._first[name] = None if batch is None else batch.column(name)
        return [] if None in map(self._first.get, names) else [self._first[name] for name in names]

    def close(self):
        self._cursor = (None, 0, None)
        self._file.close()


def _largest_group(metadata):
    """Give the bytes of the largest row group; asking for its columns would end the process for a damaged one."""
    return max((metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)), default=0)


class _Ipc:
    """What the two Arrow IPC formats share: a scan over mapped pages, which touches no values."""

    ended = True
    _begin = 0  # byte of the file where a stream of messages begins

    def __init__(self, path):
        self._pa = require("pyarrow", purpose=f"reading {path}", extra="arrow")
        self._path = path
        self._reader = self._names = None
        with self._pa.OSFile(path) as file, self._open(file) as reader:
            self.schema = reader.schema

    def scan(self, names):
        """Yield (arrays, byte of the file at which the memory of the process begins) for every batch.

        Values that are stored as they are stay where they are: their place in the file is their address less that
        byte's.
        """
        at = 0
        try:
            with self._pa.memory_map(self._path) as mapped:
                image = mapped.read_buffer()
                # The reader of files would touch every page; what it reads is a stream behind its first bytes.
                inside = self._pa.BufferReader(image.slice(self._begin))
                for batch in self._pa.ipc.open_stream(inside, options=self._options(names)):
                    batch.validate()
                    yield [batch.column(name) for name in names], (image.address, image.size)
                    at += batch.num_rows
        except (self._pa.ArrowException, OSError) as error:
            raise InputError(_truncated(self._path, error, at)) from error

    @functools.cached_property
    def rows(self):
        """Rows of every batch, counted by a column that is cheap to scan."""
        plain = [field.name for field in self.schema if not self._pa.types.is_nested(field.type)]
        return [len(arrays[0]) for arrays, _ in self.scan((plain or self.schema.names)[:1])]

    def first(self, names):
        """Give the first row of some columns."""
        for arrays, _ in self.scan(names):
            if len(arrays[0]):
                return [array[:1] for array in arrays]
        return []

    def close(self):
        if self._reader is not None:
            self._reader = self._file = self._file.close()

    def _options(self, names):
        if names is None:
            return None
        fields = [self.schema.get_field_index(name) for name in names]
        return self._pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)

    def _reader_of(self, names):
        """Give an open reader of some columns; it reads with the file's calls, so no page stays mapped."""
        if self._names != list(names):
            self.close()
            self._names = list(names)
        if self._reader is None:
            self._file = self._pa.OSFile(self._path)
            self._reader, self._next = self._open(self._file, names), 0
        return self._reader


class IpcFile(_Ipc):
    """An Arrow IPC file (.arrow, .feather): batches are found by its footer."""

    format = "arrow"
    _begin = 8

    def __init__(self, path):
        try:
            super().__init__(path)
        except self._pa.ArrowInvalid as error:
            raise InputError(_truncated(path, error, self._rows_in_front())) from error

    def _rows_in_front(self):
        """Count the rows of a file that ends before its footer: what lies in front of it is a stream."""
        rows = 0
        with contextlib.suppress(self._pa.ArrowException, OSError), self._pa.memory_map(self._path) as mapped:
            mapped.seek(self._begin)
            for batch in self._pa.ipc.open_stream(mapped):
                rows += batch.num_rows
        return rows

    def _open(self, file, names=None):
        return self._pa.ipc.open_file(file, options=self._options(names))

    def read(self, i, names):
        batch = self._reader_of(names).get_batch(i)
        return [[batch.column(name)] for name in names]


class IpcStream(_Ipc):
    """An Arrow IPC stream, as the datasets library writes: batches are found one after the other."""

    format = "arrow stream"

    def __init__(self, path):
        super().__init__(path)
        with open(path, "rb") as file:
            file.seek(-8, 2)
            self.ended = file.read(8) == _STREAM_END

    def _open(self, file, names=None):
        return self._pa.ipc.open_stream(file, options=self._options(names))

    def read(self, i, names):
        if self._reader is not None and i < self._next:
            self.close()
        reader = self._reader_of(names)
        for _ in range(self._next, i):
            reader.read_next_batch()
        batch = reader.read_next_batch()
        self._next = i + 1
        return [[batch.column(name)] for name in names]


def _truncated(path, error, rows):
    return (
        f"{path} is truncated or damaged ({line(error)}), only rows 0:{rows} are readable; wait for its writer, or copy "
        "it again"
    )
