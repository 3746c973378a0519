"""HDF5 datasets, NetCDF4 included: one reader, no file lock, straight into the block's memory."""

import contextlib
import os

import numpy as np

from srmfast.errors import InputError, require
from srmfast.stores import _cf, _dtypes, _fingerprint, _layout, _members
from srmfast.stores.base import Source

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


def from_dataset(dataset):
    """Make a source of an `h5py.Dataset` the caller has opened, and leaves open."""
    return Hdf5Source(dataset, owned=False)


class Hdf5Source(Source):
    """One HDF5 dataset."""

    format = "hdf5"
    readers = 1  # the library has one global lock

    def __init__(self, dataset, *, owned):
        self._dataset, self._owned, self._path = dataset, owned, dataset.file.filename
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
        _refuse_lost_sources(dataset, self.location)
        self._filters = _filters(dataset, self.location)
        self.dims = _dims(dataset)

    def read(self, selection):
        slices = tuple(slice(s, s + 1) if isinstance(s, int) else s for s in selection)
        block = np.empty([s.stop - s.start for s in slices], self.dtype)
        try:
            if self._bits is None:
                self._dataset.read_direct(block.view(np.int16) if self._signed_bits() else block, slices)
            elif block.size:
                self._read_bits(block, slices)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"{self.location} cannot be read at {_shown(slices)} ({_line(error)}); the file is "
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
        if self._dataset.is_virtual or self._dataset.external:  # the values lie in other files
            return {"size": self.nbytes, "header": header, "slices": self._sampled_rows()}
        size = os.path.getsize(self._path)
        with open(self._path, "rb") as file:
            fd = file.fileno()
            slices = _fingerprint.file_slices(lambda at, nbytes: os.pread(fd, nbytes, at), 0, size)
        return {"size": size, "header": header, "slices": slices}

    def _sampled_rows(self):
        """Hash the beginning of evenly spread positions on the first axis."""
        rest = tuple(slice(0, min(size, _fingerprint.SLICE_BYTES)) for size in self.shape[1:])
        return _fingerprint.digest(self.read((i, *rest)).tobytes() for i in _fingerprint.spread(self.shape[0]))

    def describe(self):
        dataset = self._dataset
        order = None if self.chunks else "C"
        return {"filters": [name for _, name in self._filters], "virtual": dataset.is_virtual, "order": order}

    def notes(self):
        return self._missing.notes()

    def advice(self):
        chunks = "x".join(str(size) for size in _layout.good_chunks(self.shape, self.dtype.itemsize))
        return f"h5repack -l {self._dataset.name}:CHUNK={chunks} {self._path} OUT.h5"

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
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "flag values don't match" in str(error):  # this process has it open already: the library wants equal flags
            return h5py.File(path, "r")
        if "already open for write" in str(error):
            raise InputError(
                f"{path} is marked as being written; close its writer, or if that crashed: h5clear -s {path}"
            ) from error
        with open(path, "rb") as file:
            head = file.read(len(SIGNATURE))
        if head[:3] == b"CDF":
            raise InputError(f"{path} is NetCDF 3; convert it with: nccopy -k nc4 {path} OUT.nc") from error
        reason = "truncated or not closed by its writer" if head == SIGNATURE else "no HDF5 signature"
        raise InputError(
            f"{path} is not a whole HDF5 file ({reason}: {_line(error)}); copy or write it again"
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


def _refuse_lost_sources(dataset, location):
    """Refuse a virtual dataset whose source files are gone: HDF5 reads those rows as the fill value."""
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


def _line(error):
    return (str(error) or type(error).__name__).splitlines()[0]
