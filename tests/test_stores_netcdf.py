"""NetCDF files as xarray and the NetCDF library write them: packed and missing values, coordinates, letters."""

import numpy as np
import pytest

from srmfast.errors import InputError
from srmfast.stores import load_column, open_store

h5py = pytest.importorskip("h5py")
netCDF4 = pytest.importorskip("netCDF4")
xarray = pytest.importorskip("xarray")
X = np.arange(24, dtype=np.float32).reshape(6, 4)


def write(path, values=X, encoding=None, **coordinates):
    """Write as xarray does through the NetCDF library."""
    places = {"presentation": np.arange(6), "neuroid": np.arange(4)} | coordinates
    array = xarray.DataArray(values, dims=("presentation", "neuroid"), coords=places)
    array.to_netcdf(path, engine="netcdf4", encoding={"__xarray_dataarray_variable__": encoding or {}})
    return path


def test_the_variable_is_found_among_its_coordinates(tmp_path):
    coordinates = {
        "layer": ("neuroid", ["fc6"] * 4),
        "object": ("presentation", ["a", "b"] * 3),
        "position": (("presentation", "neuroid"), X * 2),  # a matrix too
    }
    with open_store(write(tmp_path / "a.nc", **coordinates)) as store:
        assert store.location.endswith("::__xarray_dataarray_variable__")
        assert np.array_equal(store.read(0, 6), X)
        assert store.layout() == []  # xarray declares NaN missing, which changes nothing
        assert load_column("object", store).tolist() == ["a", "b"] * 3
        assert load_column("layer", store).tolist() == ["fc6"] * 4
        assert load_column("presentation", store).tolist() == list(range(6))
    assert np.array_equal(open_store(f"{tmp_path}/a.nc::position").read(0, 6), X * 2)


def test_bounds_and_scales_are_no_candidates(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in {"time": 6, "unit": 4, "edge": 2}.items():
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(6)
        file["time"].bounds = "time_bounds"
        file.createVariable("time_bounds", "f8", ("time", "edge"))[:] = 0
        file.createVariable("acts", "f4", ("time", "unit"))[:] = X
        group = file.createGroup("inner")
        group.createVariable("grid", "f4", ("time", "unit"))[:] = X
        group.createVariable("more", "f4", ("time", "unit"))[:] = X
        group["more"].coordinates = "grid"
    with pytest.raises(InputError, match=r"several arrays, acts \(6, 4\) float32, inner/more \(6, 4\) float32; name"):
        open_store(tmp_path / "a.nc")
    assert open_store(f"{tmp_path}/a.nc::inner").location.endswith("::inner/more")


@pytest.mark.parametrize("order", ["<f4", ">f4", ">f8"])
def test_either_byte_order(tmp_path, order):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("n", 6), file.createDimension("d", 4)
        made = file.createVariable("acts", order, ("n", "d"), endian="big" if order[0] == ">" else "little")
        made[:] = X
    with h5py.File(tmp_path / "a.nc") as file:
        assert file["acts"].dtype == order
    with open_store(tmp_path / "a.nc") as store:
        block = store.read(1, 5)
        assert block.dtype == order[1:] and block.dtype.isnative
        assert np.array_equal(block, X[1:5])


def test_packed_values_are_refused_with_the_remedy(tmp_path):
    path = write(
        tmp_path / "a.nc", encoding={"dtype": "int16", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -9}
    )
    with pytest.raises(InputError, match=r"is packed .scale_factor \[0.5\], add_offset \[3.\].; unpack it: ncpdq -U"):
        open_store(path)
    xarray.open_dataset(path).drop_encoding().to_netcdf(tmp_path / "b.nc")
    assert np.array_equal(open_store(tmp_path / "b.nc").read(0, 6), X)
    neutral = write(tmp_path / "c.nc", encoding={"scale_factor": 1.0, "add_offset": 0.0})
    assert np.array_equal(open_store(neutral).read(0, 6), X)


def test_packed_values_of_zarr_are_refused_too(tmp_path):
    zarr = pytest.importorskip("zarr")
    made = zarr.create_array(tmp_path / "a.zarr", data=X, attributes={"scale_factor": 0.1})
    with pytest.raises(InputError, match="is packed .scale_factor"):
        open_store(made)
    with pytest.raises(InputError, match="is packed .scale_factor"):
        open_store(tmp_path / "a.zarr")


def test_missing_floats_become_nan_and_are_told(tmp_path):
    holed = X.copy()
    holed[2, 1] = np.nan
    path = write(tmp_path / "a.nc", holed, encoding={"_FillValue": np.float32(-999)})
    with h5py.File(path) as file:
        assert file["__xarray_dataarray_variable__"][2, 1] == -999
    with open_store(path) as store:
        assert np.array_equal(store.read(0, 6), holed, equal_nan=True)
        assert store.layout() == ["values equal to -999.0 are missing by the attributes and read as NaN"]


def test_missing_integers_are_refused_where_they_are(tmp_path):
    whole = write(tmp_path / "a.nc", X.astype(np.int32), encoding={"_FillValue": -1})
    assert open_store(whole).read(0, 6).sum() == X.sum()
    values = X.astype(np.int32)
    values[3, 0] = -1
    with open_store(write(tmp_path / "b.nc", values, encoding={"_FillValue": -1})) as store:
        assert store.read(0, 3).shape == (3, 4)
        with pytest.raises(InputError, match="holds -1, which its attributes declare missing"):
            store.read(3, 6)


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
def test_classic_files_are_refused_with_the_remedy(tmp_path, kind):
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format=kind) as file:
        file.createDimension("n", 6), file.createDimension("d", 4)
        file.createVariable("acts", "f4", ("n", "d"))[:] = X
    with pytest.raises(InputError, match="is NetCDF 3; convert it with: nccopy -k nc4"):
        open_store(tmp_path / "a.nc")


def test_letters_make_words(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format="NETCDF4_CLASSIC") as file:
        file.createDimension("n", 6), file.createDimension("d", 4), file.createDimension("letters", 3)
        file.createVariable("acts", "f4", ("n", "d"))[:] = X
        words = np.array(["cat", "ox", "a", "cat", "ox", "a"], "S3")
        file.createVariable("word", "S1", ("n", "letters"))[:] = netCDF4.stringtochar(words)
    with open_store(tmp_path / "a.nc") as store:
        assert load_column("word", store).tolist() == ["cat", "ox", "a", "cat", "ox", "a"]
