"""AnnData files: X, the columns of obs in every version, and sparse matrices."""

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from store_faults import damaged, endure

import srmfast
from srmfast.errors import InputError
from srmfast.stores import load_column, open_store

h5py = pytest.importorskip("h5py")
DATA = Path(__file__).parent / "data"
X = np.arange(35, dtype=np.float32).reshape(7, 5)
LOUVAIN = ["b", "a", "", "b", "a", "a", "b"]


def test_x_is_opened_without_a_name():
    with open_store(DATA / "anndata.h5ad") as store:
        assert store.location == f"{DATA}/anndata.h5ad::X"
        assert store.describe()["format"] == "h5ad"
        assert np.array_equal(store.read(0, 7), X)
        assert store.siblings()["obs/louvain"] == ((7,), "column of obs")
        assert "obs/louvain/codes" not in store.siblings()


@pytest.mark.parametrize("key", ["layers/counts", "counts", "/layers/counts/"])
def test_layers_and_embeddings_have_short_names(key):
    with open_store(f"{DATA}/anndata.h5ad::{key}") as store:
        assert np.array_equal(store.read(0, 7), X + 100)
        assert load_column("louvain", store).tolist() == LOUVAIN
    with open_store(f"{DATA}/anndata.h5ad::X_pca") as store:
        assert np.array_equal(store.read(2, 4), X[2:4, :3] * 2)


def test_the_columns_of_obs_are_labels():
    expected = {
        "louvain": LOUVAIN,
        "batch": [10, 20, 10, 10, 20, 20, 10],
        "word": ["u", "v", "w", "u", "v", "w", "u"],
        "keep": [True, False, True, True, True, False, True],
        "whole": [1, 2, 3, 4, 5, 6, 7],
        "_index": [f"cell-{i}" for i in range(7)],
    }
    with open_store(DATA / "anndata.h5ad") as store:
        for name, values in expected.items():
            for spec, where in ((name, store), (f"obs/{name}", store), (f"{DATA}/anndata.h5ad::obs/{name}", None)):
                assert load_column(spec, where).tolist() == values
        assert load_column("score", store).dtype == np.float64
        with pytest.raises(InputError, match="row 2 of .*::obs/count is missing"):
            load_column("count", store)
        with pytest.raises(InputError, match="no array 'nope'; it holds"):
            load_column("nope", store)
    assert load_column(f"{DATA}/anndata.h5ad::layers/counts").shape == (7, 5)


def test_labels_of_a_run():
    result = srmfast.run(DATA / "anndata.h5ad", "plusminus", epsilon=0.5, angles=16, labels="louvain")
    assert list(result.label) == ["a", "b", "unlabelled"]
    assert result.rows_used.sum(axis=0).tolist() == [3, 3, 1]


def test_sparse_matrices_are_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"::X is a sparse matrix .csr_matrix, shape \(7, 5\).*adata.X.toarray\(\)"):
        open_store(DATA / "anndata-sparse.h5ad")
    with pytest.raises(InputError, match="::layers/columns is a sparse matrix .csc_matrix"):
        open_store(f"{DATA}/anndata-sparse.h5ad::columns")
    with open_store(f"{DATA}/anndata-sparse.h5ad::dense") as store:
        assert load_column("louvain", store).tolist() == LOUVAIN


def test_older_versions(tmp_path):
    """Records with codes and categories in uns (0.6), and codes with a reference to the categories (0.7)."""
    with h5py.File(tmp_path / "records.h5ad", "w") as file:
        file["X"] = X
        obs = np.zeros(7, [("index", "S8"), ("louvain", "i1"), ("score", "f4")])
        obs["louvain"], obs["score"] = [1, 0, -1, 1, 0, 0, 1], np.arange(7)
        file["obs"] = obs
        file["uns/louvain_categories"] = np.array([b"a", b"b"])
    with h5py.File(tmp_path / "references.h5ad", "w") as file:
        file["X"] = X
        file["obs/louvain"] = np.array([1, 0, -1, 1, 0, 0, 1], np.int8)
        file["obs/__categories/louvain"] = ["a", "b"]
        file["obs/louvain"].attrs["categories"] = file["obs/__categories/louvain"].ref
        file["obs/score"] = np.arange(7)
    for name in ("records", "references"):
        with open_store(tmp_path / f"{name}.h5ad") as store:
            assert load_column("louvain", store).tolist() == LOUVAIN
            assert load_column("obs/score", store).tolist() == list(range(7))


def test_files_of_the_name_that_are_no_anndata(tmp_path):
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["acts"] = X
    assert np.array_equal(open_store(tmp_path / "a.h5ad").read(0, 7), X)
    (tmp_path / "b.h5ad").write_bytes(b"text")
    with pytest.raises(InputError, match="no HDF5 signature"):
        open_store(tmp_path / "b.h5ad")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda column: column["codes"].__setitem__(0, 9), "has codes outside its 2 categories"),
        (lambda column: column["codes"].__setitem__(0, -2), "has codes outside its 2 categories"),
        (lambda column: column.__delitem__("codes"), "is no whole AnnData file"),
        (
            lambda column: column.attrs.__setitem__("encoding-type", "later"),
            "is of the kind 'later', which is not read",
        ),
    ],
)
def test_damaged_columns_are_one_line(tmp_path, change, message):
    path = shutil.copy(DATA / "anndata.h5ad", tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        change(file["obs/louvain"])
    with open_store(path) as store, pytest.raises(InputError, match=message) as caught:
        load_column("louvain", store)
    assert "\n" not in str(caught.value)


def test_damaged_files_end_as_one_line(tmp_path):
    read = []
    for image in damaged((DATA / "anndata.h5ad").read_bytes(), 150):
        (tmp_path / "a.h5ad").write_bytes(image)
        read.append(endure(tmp_path / "a.h5ad", "X"))
        try:
            load_column(f"{tmp_path}/a.h5ad::louvain")
        except InputError as error:
            assert "\n" not in str(error)
    assert 0 < sum(read) < 150


def test_a_real_file_of_scanpy():
    found = importlib.util.find_spec("scanpy")
    path = os.environ.get("SRMFAST_H5AD") or found and Path(found.origin).parent / "datasets/10x_pbmc68k_reduced.h5ad"
    if not path:
        pytest.skip("scanpy, which carries the file, is not installed, and SRMFAST_H5AD does not name it")
    with open_store(path) as store:
        assert (store.shape, store.dtype) == ((700, 765), "float32")
        assert set(load_column("louvain", store)) == {str(i) for i in range(11)}
        assert "CD14+ Monocyte" in load_column("obs/bulk_labels", store)
        assert load_column("phase", store).tolist().count("G1") == sum(load_column(f"{path}::obs/phase") == "G1")
