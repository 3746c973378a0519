"""Chunks that do not exist, in every kind of Zarr hierarchy: told apart from padding and from chunks of fill values."""

import warnings
import zipfile

import numpy as np
import pytest

import srmfast
from srmfast.errors import InputError

zarr = pytest.importorskip("zarr")
KINDS = {
    "version 2": {"chunks": (10, 6), "zarr_format": 2},
    "version 3": {"chunks": (10, 6)},
    "column chunks": {"chunks": (10, 4)},
    "shards": {"chunks": (10, 6), "shards": (40, 6)},
}
ZEROS = slice(20, 30)  # written, though they hold only the fill value
LOST = slice(60, 80)


@pytest.fixture(params=[*KINDS, "zip of version 2", "zip of shards"])
def holed(request, tmp_path, rng):
    """A store without two chunks, the array with zeros in their place, and the keys that an error must name."""
    kind = request.param.removeprefix("zip of ")
    array = rng.standard_normal((200, 6)).astype(np.float32)
    array[ZEROS] = array[LOST] = 0
    path = tmp_path / "a.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = KINDS[kind] | {"config": {"write_empty_chunks": True}}
        made = zarr.create_array(path, shape=array.shape, dtype=array.dtype, **options)
    for rows in (slice(0, LOST.start), slice(LOST.stop, 200)):
        made[rows] = array[rows]
    keys = {
        "version 2": ["6.0", "7.0"], "version 3": ["c/6/0", "c/7/0"], "column chunks": ["c/6/0", "c/6/1", "c/7/0"],
        "shards": ["c/1/0 inner chunk 2/0", "c/1/0 inner chunk 3/0"],
    }  # fmt: skip
    if request.param != kind:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for file in path.rglob("*"):
                archive.write(file, file.relative_to(path))
        path = tmp_path / "a.zip"
    return path, array, keys[kind]


def run(store, **options):
    return srmfast.run(store, epsilon=0.7, angles=8, **options)


def test_an_error_names_both_readings_and_keys(holed):
    path, _, keys = holed
    with pytest.raises(InputError) as caught:
        run(path)
    assert str(caught.value) == (
        f"every chunk must exist, but 20 rows of {path} lie in chunks that do not ({', '.join(keys)}): lost, or never "
        "written because they hold only the fill value; use --missing-chunks skip or zeros"
    )


def test_skip_leaves_their_rows_out_and_zeros_reads_them(holed):
    path, array, _ = holed
    kept = np.delete(array, LOST, axis=0)
    skipped, zeros = run(path, missing_chunks="skip"), run(path, missing_chunks="zeros")
    assert np.array_equal(skipped.counts, run(kept).counts) and np.array_equal(zeros.counts, skipped.counts)
    assert skipped.attrs["rows"]["masked"]["missing chunk"] == 20 and skipped.attrs["rows"]["zero_norm"] == 10
    assert zeros.attrs["rows"]["zero_norm"] == 30


def test_padding_that_was_never_written_is_no_error(holed):
    path, array, _ = holed
    mask = np.ones(200, bool)
    mask[LOST] = False
    assert np.array_equal(run(path, mask=mask).counts, run(array[mask]).counts)
    mask[70] = True
    with pytest.raises(InputError, match="but 1 rows of"):
        run(path, mask=mask)
