"""HDF5 datasets, NetCDF4 included: one reader, no file lock, straight into the block's memory."""

import contextlib
import itertools
import math
import os
import weakref

import numpy as np

from srmfast.errors import InputError, require, shown
from srmfast.sound import line
from srmfast.stores import _cf, _dtypes, _fingerprint, _layout, _members, _places, _ranges, _zarr_chunks
from srmfast.stores.base import Source

_REMOTE_FILES = weakref.WeakValueDictionary()  # URL -> the open file, whose name is the URL
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def open_source(path, key=None):
    """Open a dataset of an HDF5 file.

    Parameters
    ----------
    path : str
    key : str, optional
        Path of the dataset; the only matrix of numbers when omitted.

    Returns
    -------
    Hdf5Source

    Raises
    ------
    InputError
        For a damaged file, a missing dataset or several candidates.
    """
    file = open_file(path)
    try:
        return Hdf5Source(find(file, path, key, least_rank=2), owned=True)
    except BaseException:
        file.close()
        raise


def load_array(path, key=None):
    """Load a whole dataset of any type but objects; text is decoded to fixed-width strings."""
    with contextlib.closing(open_file(path)) as file:
        return load_dataset(find(file, path, key, least_rank=1))


def list_arrays(path):
    """List the datasets of a file: name -> (shape, dtype as text)."""
    with contextlib.closing(open_file(path)) as file:
        return _arrays(file)


def from_dataset(dataset):
    """Make a source of an `h5py.Dataset` the caller has opened, and leaves open."""
    return Hdf5Source(dataset, owned=False)


class Hdf5Source(Source):
    """One HDF5 dataset."""

    format = "hdf5"
    readers = 1  # the library has one global lock

    def __init__(self, dataset, *, owned):
        self._dataset, self._owned, self._path = dataset, owned, dataset.file.filename
        self.remote = _places.is_url(self._path)
        self._growing, self._writing = dataset.file.swmr_mode, dataset.file.mode != "r"
        self.location = f"{self._path}::{dataset.name.strip('/')}"
        if dataset.shape is None:
            raise InputError(f"{self.location} is an empty dataset without a shape; name another one")
        self.shape = tuple(dataset.shape)
        self.dtype_name, self.dtype = _dtypes.resolve(_dtype(dataset), self.location, _marks(dataset))
        self.chunks = None if dataset.is_virtual else dataset.chunks
        self._bits = _bfloat16_in_memory(dataset)
        declared = _cf.declared(dataset.attrs, self.location)
        _cf.refuse_packed(declared, self.location)
        self._missing = _cf.Missing(declared, self.dtype_name, self.location)
        _refuse_lost_sources(dataset, self.location, self.remote)
        self._filters = _filters(dataset, self.location)
        self.dims = _dims(dataset)

    def read(self, selection):
        slices = tuple(slice(s, s + 1) if isinstance(s, int) else s for s in selection)
        block = np.empty([s.stop - s.start for s in slices], self.dtype)
        if self.remote and self._path in _REMOTE_FILES:
            _REMOTE_FILES[self._path].raw.hold(self._chunk_ranges(slices))
        try:
            if self._bits is None:
                self._dataset.read_direct(block.view(np.int16) if self._signed_bits() else block, slices)
            elif block.size:
                self._read_bits(block, slices)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{self.location} cannot be read at {_shown(slices)} ({line(error)}); the file is "
                "damaged, copy or write it again"
            ) from error
        self._missing.mark(block)
        return block[tuple(0 if isinstance(s, int) else slice(None) for s in selection)]

    def _read_bits(self, block, slices):
        """Read values of a type that NumPy lacks without converting them."""
        import h5py

        place = self._dataset.id.get_space()
        place.select_hyperslab(tuple(s.start for s in slices), block.shape)
        self._dataset.id.read(h5py.h5s.create_simple(block.shape), place, block, self._bits)

    def fingerprint_parts(self):
        described = [
            self._dataset.name,
            self.shape,
            self._dataset.dtype.str,
            self.dtype_name,
            self.chunks,
            self._filters,
        ]
        header = _fingerprint.digest_json(described)
        # The values may lie in other files; a file that grows differs from moment to moment, but not in the rows it had.
        if self._dataset.is_virtual or self._dataset.external or self._growing or self._writing:
            return {"size": self.nbytes, "header": header, "slices": self._sampled_rows()}
        with _places.open_bytes(self._path) as file:
            size, etag = file.stat()
            return {"size": size, "header": header, "slices": etag or _fingerprint.file_slices(file.read_at, 0, size)}

    def missing(self):
        """Give the chunks that were never written: HDF5 writes every chunk that a program writes, also of zeros."""
        if self._dataset.is_virtual:
            return _unmapped(self._dataset)
        if self._dataset.external:
            return None
        if self.chunks is None:
            written = self._dataset.id.get_storage_size() or not self.nbytes
            return np.array([[[0, size] for size in self.shape]] * (not written), np.int64).reshape(
                -1, len(self.shape), 2
            )
        return _zarr_chunks.rectangles(self._absent(), self.chunks, self.shape)

    def missing_keys(self, limit=5):
        gaps = self.missing()
        return [] if gaps is None else [_shown(itertools.starmap(slice, gap)) for gap in gaps[:limit].tolist()]

    def _absent(self):
        """Give the grid coordinates of chunks without storage."""
        counts, held = _zarr_chunks.grid(self.shape, self.chunks), []
        if self._dataset.id.get_num_chunks() != math.prod(counts):
            self._dataset.id.chunk_iter(lambda chunk: held.append(chunk.chunk_offset))
            places = np.array(held, np.int64).reshape(-1, len(counts)) // self.chunks
            return _zarr_chunks.absent(places[(places < counts).all(axis=1)], counts)
        return np.empty((0, len(counts)), np.int64)

    def _chunk_ranges(self, slices):
        """Give (offset, length) in the file of the stored chunks that a rectangle touches."""
        if self.chunks is None:
            return []
        spans = [range(s.start // c, -(-s.stop // c)) for s, c in zip(slices, self.chunks, strict=True)]
        found = []
        for place in itertools.product(*spans):
            info = self._dataset.id.get_chunk_info_by_coord(
                tuple(i * c for i, c in zip(place, self.chunks, strict=True))
            )
            if info.size:
                found.append((info.byte_offset, info.size))
        return found

    def _sampled_rows(self):
        """Hash the beginning of evenly spread positions on the first axis."""
        rest = tuple(slice(0, min(size, _fingerprint.SLICE_BYTES)) for size in self.shape[1:])
        return _fingerprint.digest(self.read((i, *rest)).tobytes() for i in _fingerprint.spread(self.shape[0]))

    def describe(self):
        dataset = self._dataset
        order = None if self.chunks else "C"
        filters = [name for _, name in self._filters]
        return {"filters": filters, "virtual": dataset.is_virtual, "order": order, "growing": self._growing}

    def notes(self):
        growing = f"the file is being written (SWMR): the {self.shape[0]:,} rows it held when it was opened are used"
        return [growing] * self._growing + self._missing.notes()

    def advice(self):
        chunks = "x".join(str(size) for size in _layout.good_chunks(self.shape, self.dtype.itemsize))
        return f"h5repack -l {self._dataset.name}:CHUNK={chunks} {shown(self._path)} OUT.h5"

    def siblings(self):
        mine = self._dataset.name.strip("/")
        return {name: what for name, what in _arrays(self._dataset.file).items() if name != mine}

    def sibling(self, key):
        group = self._dataset.parent
        if key in group and hasattr(group[key], "shape"):
            return load_dataset(group[key])
        return load_dataset(find(self._dataset.file, self._path, key, least_rank=1))

    def close(self):
        if self._owned:
            self._dataset.file.close()

    def _signed_bits(self):
        return self.dtype_name == "bfloat16" and self._dataset.dtype.kind == "i"


def open_file(path):
    """Open for reading without a lock: on a network file system, or beside a writer, locking fails."""
    h5py = require("h5py", purpose=f"reading {path}")
    try:
        if _places.is_url(path):
            file = _REMOTE_FILES[path] = _places.open_bytes(path).file()
            return h5py.File(file, "r")
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "flag values don't match" in str(error):  # this process has it open already: the library wants equal flags
            return h5py.File(path, "r")
        if "already open for write" in str(error):
            with contextlib.suppress(OSError):
                return h5py.File(path, "r", libver="latest", swmr=True, locking=False)
            raise InputError(
                f"{path} is marked as being written, but not for readers beside its writer (SWMR); close its writer, or if "
                f"that crashed: h5clear -s {path}"
            ) from error
        head = _places.head(path, len(SIGNATURE))
        if head[:3] == b"CDF":
            raise InputError(f"{path} is NetCDF 3; convert it with: nccopy -k nc4 {path} OUT.nc") from error
        reason = "truncated or not closed by its writer" if head == SIGNATURE else "no HDF5 signature"
        raise InputError(
            f"{path} is not a whole HDF5 file ({reason}: {line(error)}); copy or write it again"
        ) from error


def find(file, path, key, least_rank):
    """Choose a dataset; a full name is found without visiting the others."""
    if key is not None and key.strip("/"):
        with contextlib.suppress(KeyError):
            found = file[key]
            if hasattr(found, "shape"):
                return found
    arrays = _arrays(file)
    describing = _cf.beside({name: file[name].attrs for name in arrays})
    arrays = {name: what for name, what in arrays.items() if len(what[0]) == 1 or name not in describing}
    return file[_members.choose(arrays, key, str(path), least_rank=least_rank)]


def _arrays(file):
    arrays = {}

    def visit(name, found):
        if getattr(found, "shape", None) is not None:
            dtype = _dtype(found)
            arrays[name] = (found.shape, "bfloat16" if dtype.str == "|V2" else dtype.name)

    file.visititems(visit)
    return arrays


def _dtype(dataset):
    """Give the dtype; a type that NumPy lacks (a bfloat16 made by hand) counts as an object."""
    try:
        return dataset.dtype if _bfloat16_in_memory(dataset) is None else np.dtype("V2")
    except TypeError:
        return np.dtype(object)


def _bfloat16_in_memory(dataset):
    """Give the type to read bfloat16 with where a file declares it by its bits, or as two opaque bytes; else None."""
    import h5py

    kind = dataset.id.get_type()
    if isinstance(kind, h5py.h5t.TypeOpaqueID) and kind.get_size() == 2:
        return kind
    if not isinstance(kind, h5py.h5t.TypeFloatID) or kind.get_size() != 2:
        return None
    if kind.get_fields() != (15, 7, 8, 0, 7) or kind.get_ebias() != 127:
        return None
    native = kind.copy()
    native.set_order(h5py.h5t.ORDER_LE)
    return native


def _dims(dataset):
    """Return the names of the axes: labels, or the dimension scales of NetCDF."""
    try:
        names = tuple(dim.label or (dim[0].name.rpartition("/")[2] if len(dim) else None) for dim in dataset.dims)
    except (KeyError, RuntimeError, ValueError):  # a scale that is gone
        return ()
    return names if any(names) else ()


def _marks(dataset):
    """Give the attributes that tell the element type."""
    return {name: dataset.attrs[name] for name in dataset.attrs if "dtype" in name.lower()}


def _filters(dataset, location):
    """List the filters as (number, name), importing hdf5plugin when one is not built in."""
    import h5py

    plist = dataset.id.get_create_plist()
    if plist.get_layout() != h5py.h5d.CHUNKED:
        return []
    listed = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    filters = [(code, name.decode("utf-8", "replace") or str(code)) for code, _, _, name in listed]
    for code, name in filters:
        if not h5py.h5z.filter_avail(code):
            require("hdf5plugin", purpose=f"reading {location}, compressed with filter {name}", extra="hdf5plugin")
            if not h5py.h5z.filter_avail(code):
                raise InputError(
                    f"{location} uses HDF5 filter {name} ({code}), which hdf5plugin lacks; h5repack it elsewhere"
                )
    return filters


def _refuse_lost_sources(dataset, location, remote):
    """Refuse a dataset whose other files are gone or too short: HDF5 reads those rows as the fill value."""
    if remote and (dataset.is_virtual or dataset.external):
        raise InputError(
            f"{location} has its values in other files, which are not found behind a URL; give those files"
        )
    left = dataset.nbytes
    for name, offset, size in dataset.external or ():
        file = os.fsdecode(name)  # as HDF5 does, looked for from the current folder
        held = os.path.getsize(file) if os.path.exists(file) else 0
        needed = min(size, left)  # the last file may be without a limit
        left -= needed
        if held < offset + needed:
            raise InputError(
                f"{location} has its values in {file}, which holds {held} bytes of {offset + needed}: the others would "
                "read as zeros; copy it again"
            )
    if not dataset.is_virtual:
        return
    folder = os.path.dirname(os.path.abspath(dataset.file.filename))
    names = sorted({source.file_name for source in dataset.virtual_sources()})
    # A name with a block number ("%b") stands for any number of files, "." for the file itself.
    lost = [
        name for name in names if name != "." and "%" not in name and not os.path.exists(os.path.join(folder, name))
    ]
    if lost:
        raise InputError(
            f"{location} is a virtual dataset and {len(lost)} of its {len(names)} source files are gone "
            f"({lost[0]}): their rows "
            "would read as zeros; put them back beside it"
        )


def _unmapped(dataset):
    """Give the rows of a virtual dataset that no file is mapped to, None where the mapping is not by whole rows."""
    mapped = []
    for source in dataset.virtual_sources():
        space = source.vspace
        try:
            box = np.stack(space.get_select_bounds(), axis=1) + [0, 1]
        except (ValueError, RuntimeError, OverflowError):  # a selection without an end
            return None
        whole = (box[1:] == [[0, size] for size in dataset.shape[1:]]).all()
        if not whole or space.get_select_npoints() != np.prod(box[:, 1] - box[:, 0]):
            return None
        mapped.append(box[0])
    ends = [[0, 0], *_ranges.merge(np.array(mapped, np.int64).reshape(-1, 2)), [dataset.shape[0]] * 2]
    gaps = [(stop, start) for (_, stop), (start, _) in itertools.pairwise(ends) if stop < start]
    rest = [(0, size) for size in dataset.shape[1:]]
    return np.array([[gap, *rest] for gap in gaps], np.int64).reshape(-1, len(dataset.shape), 2)


def load_dataset(dataset):
    """Load a whole dataset of an open file; text is decoded to fixed-width strings."""
    import h5py

    location = f"{dataset.file.filename}::{dataset.name.strip('/')}"
    if dataset.dtype == "S1" and len(dataset.shape) > 1 and dataset.size:  # NetCDF without strings: a letter an element
        return np.ascontiguousarray(dataset[()]).view(f"S{dataset.shape[-1]}")[..., 0]
    if h5py.check_string_dtype(dataset.dtype):
        return np.asarray(dataset.asstr()[()], dtype=str)
    if dataset.dtype.hasobject:
        raise InputError(f"{location} holds references or ragged rows, not one value a row; save it as text or numbers")
    _filters(dataset, location)
    return dataset[()]


def _shown(slices):
    return "[" + ", ".join(f"{s.start}:{s.stop}" for s in slices) + "]"
