"""Tables in files: batches of rows of a Parquet or Arrow IPC file."""

import contextlib
import functools

from srmfast.errors import InputError, require

IPC_FILE = b"ARROW1"
PARQUET = b"PAR1"
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
        raise InputError(f"{location} cannot be read ({_line(error)}); copy or write it again") from error


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
    """A Parquet file; a batch is a row group."""

    format = "parquet"

    def __init__(self, path):
        parquet = require("pyarrow.parquet", purpose=f"reading {path}", extra="arrow")
        self._file = parquet.ParquetFile(path)
        self.schema = self._file.schema_arrow
        groups = self._file.metadata
        self.rows = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
        self.ended = True

    def read(self, i, names):
        table = self._file.read_row_group(i, columns=list(names), use_threads=False)
        return [table.column(name).chunks for name in names]

    def first(self, names):
        """Give the first row of some columns, decoding little more than that."""
        batch = next(self._file.iter_batches(1, columns=list(names), use_threads=False), None)
        return [] if batch is None else [batch.column(name) for name in names]

    def close(self):
        self._file.close()


class _Ipc:
    """What the two Arrow IPC formats share: a scan over mapped pages, which touches no values."""

    ended = True

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
                with self._open(self._pa.BufferReader(image), names) as reader:
                    for batch in self._batches(reader):
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

    def __init__(self, path):
        try:
            super().__init__(path)
        except self._pa.ArrowInvalid as error:
            raise InputError(_truncated(path, error, self._rows_in_front())) from error

    def _rows_in_front(self):
        """Count the rows of a file that ends before its footer: what lies in front of it is a stream."""
        rows = 0
        with contextlib.suppress(self._pa.ArrowException, OSError), self._pa.memory_map(self._path) as mapped:
            mapped.seek(8)
            for batch in self._pa.ipc.open_stream(mapped):
                rows += batch.num_rows
        return rows

    def _open(self, file, names=None):
        return self._pa.ipc.open_file(file, options=self._options(names))

    @staticmethod
    def _batches(reader):
        return (reader.get_batch(i) for i in range(reader.num_record_batches))

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

    @staticmethod
    def _batches(reader):
        return iter(reader)

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
        f"{path} is truncated or damaged ({_line(error)}), only rows 0:{rows} are readable; wait for its writer, or copy "
        "it again"
    )


def _line(error):
    return f"{(str(error) or type(error).__name__).splitlines()[0]:.200}"
