"""Bases by name, from arrays and files; their cosines and sines to the last bit; bases spread by repulsion."""

import os
import re

import numpy as np
import pytest

from srmfast import naive
from srmfast.bases import Basis, load_basis, random_frame
from srmfast.errors import InputError
from srmfast.geometry import Geometry, gram
from srmfast.thompson import energy, thompson


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_standard_and_plusminus_are_signed_columns():
    standard, both = load_basis("standard", 5), load_basis("plusminus", 5)
    assert (standard.vectors == np.eye(5)).all() and (both.vectors == np.vstack([np.eye(5), -np.eye(5)])).all()
    columns, signs = both.selection
    assert columns.dtype == np.int64 and signs.dtype == np.float64
    assert columns.tolist() == [*range(5)] * 2 and signs.tolist() == [1.0] * 5 + [-1.0] * 5
    assert (standard.kind, standard.name, standard.normalised) == ("standard", "standard", False)


@pytest.mark.parametrize("k", [40, 100])
def test_selection_reads_any_order_of_scaled_unit_vectors(rng, k):
    vectors = np.eye(128)[rng.permutation(128)[:k]] * rng.choice([-3.0, 2.0], (k, 1))
    basis = load_basis(vectors, 128)
    columns, signs = basis.selection
    assert (np.eye(128)[columns] * signs[:, None] == basis.vectors).all()


def test_selection_is_none_unless_every_row_is_a_unit_vector(rng):
    rows = np.eye(50)
    rows[49, 3] = 1e-300
    assert load_basis(rows, 50).selection is None
    rows[49] = 0.0
    rows[49, 3:5] = 1.0
    assert load_basis(rows, 50).selection is None
    assert load_basis("random:4", 4).selection is None


@pytest.mark.parametrize("d", [2, 3, 16, 100])
def test_simplex_has_one_cosine(d):
    basis = load_basis("simplex", d)
    g = basis.vectors @ basis.vectors.T
    assert g.shape == (d + 1, d + 1)
    np.testing.assert_allclose(g[~np.eye(d + 1, dtype=bool)], -1 / d, atol=1e-14)


@pytest.mark.parametrize("k, d", [(2, 2), (5, 9), (33, 33), (70, 130)])
def test_random_frame_is_orthonormal(k, d):
    v = load_basis(f"random:{k}", d, seed=3).vectors
    np.testing.assert_allclose(v @ v.T, np.eye(k), atol=5e-15)


def test_random_frame_does_not_depend_on_threads(monkeypatch):
    one = random_frame(130, 131, np.random.default_rng(0))
    monkeypatch.setattr("srmfast.threads.MANY", 0)
    assert (random_frame(130, 131, np.random.default_rng(0)) == one).all()


def test_random_bytes_are_frozen():
    assert load_basis("random:40", 41, seed=7).sha256.startswith("fa88a2d23a6f0c89b5096837467888b9")


def test_random_frame_is_two_rounds_of_gram_schmidt_with_the_pinned_dot():
    rows = np.random.Generator(np.random.PCG64(7)).standard_normal((40, 41))
    for panel in (range(32), range(32, 40)):
        for _ in range(2):
            for i in panel:
                for j in range(panel.start):
                    rows[i] -= naive.pinned_dot(rows[i], rows[j]) * rows[j]
            for i in panel:
                for j in range(panel.start, i):
                    rows[i] -= naive.pinned_dot(rows[i], rows[j]) * rows[j]
                rows[i] /= np.sqrt(naive.pinned_dot(rows[i], rows[i]))
    assert (load_basis("random:40", 41, seed=7).vectors == rows).all()


def test_random_above_d_gives_unit_vectors_and_seeds_differ():
    v = load_basis("random:20", 6, seed=1).vectors
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, atol=1e-15)
    assert load_basis("random:20", 6, seed=1).sha256 == load_basis("random:20", 6, seed=1).sha256
    assert load_basis("random:20", 6, seed=1).sha256 != load_basis("random:20", 6, seed=2).sha256


def test_normalisation_is_recorded_and_uses_the_pinned_dot(rng):
    rows = rng.standard_normal((7, 19))
    basis = load_basis(rows, 19)
    assert basis.normalised and basis.kind == "array" and basis.name == "basis"
    assert (basis.vectors == rows / np.sqrt(naive.pinned_dot(rows, rows))[:, None]).all()
    assert basis.vectors.flags.c_contiguous and basis.vectors.dtype == np.float64
    assert not load_basis(basis.vectors.astype(np.float32), 19).normalised


def test_unit_rows_keep_their_bytes(rng):
    once = load_basis(rng.standard_normal((200, 300)), 300)
    again = load_basis(once.vectors, 300)
    assert again.sha256 == once.sha256 and not again.normalised


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1e200])
def test_lengths_whose_square_leaves_float64_are_normalised(scale):
    basis = load_basis(np.array([[3.0, 4.0], [0.0, 1.0]]) * scale, 2)
    np.testing.assert_allclose(basis.vectors, [[0.6, 0.8], [0, 1]], atol=1e-15)
    assert basis.normalised


def test_input_array_is_not_changed(rng):
    rows = rng.standard_normal((3, 4))
    before = rows.copy()
    load_basis(rows, 4)
    assert (rows == before).all()


def test_files_and_columns_give_the_same_basis(rng, tmp_path):
    rows = rng.standard_normal((3, 5))
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "columns.npy", rows.T)
    np.savez(tmp_path / "two.npz", W=rows, other=rows[:2])
    np.savez(tmp_path / "one.npz", W=rows)
    np.savetxt(tmp_path / "rows.txt", rows, fmt="%.17g")
    np.savetxt(tmp_path / "rows.csv", rows, fmt="%.17g", delimiter=",")
    wanted = load_basis(rows, 5).sha256
    for path in ("rows.npy", "two.npz::W", "one.npz", "rows.txt", "rows.csv"):
        basis = load_basis(str(tmp_path / path), 5)
        assert basis.sha256 == wanted and basis.kind == "file"
    assert load_basis(tmp_path / "columns.npy", 5, transpose=True).sha256 == wanted
    assert load_basis(tmp_path / "rows.npy", 5).name == "rows"
    assert load_basis(f"{tmp_path}/two.npz::W", 5).name == "two::W"
    assert load_basis(tmp_path / "rows.npy", 5, name="W").name == "W"


def test_big_endian_half_and_integer_arrays_are_read(rng):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rows = rng.integers(1, 9, (4, 6))
    wanted = load_basis(rows, 6).sha256
    for dtype in (">f4", np.float16, np.uint8, ml_dtypes.bfloat16):
        assert load_basis(rows.astype(dtype), 6).sha256 == wanted


@pytest.mark.parametrize(
    "spec, d, message",
    [
        (np.ones((3, 4)), 5, r"\(n, 5\).*\(3, 4\).*that width"),
        (np.ones((5, 3)), 5, r"\(n, 5\).*\(5, 3\).*columns fit: add --basis-transpose"),
        (np.eye(3)[[0, 1, 1]] * [[1], [0], [1]], 3, "zero vector at index 1"),
        ([[1, 0], [0, np.nan]], 2, "nan in vector 1, column 1"),
        ([[1, 0], [np.inf, 1]], 2, "inf in vector 1, column 0"),
        ([[1, 0]], 2, "at least 2 vectors"),
        (np.ones((3, 1)), 1, "at least 2 wide"),
        (np.ones(4), 4, r"two axes.*\(4,\)"),
        (np.ones((2, 2, 2)), 2, "two axes"),
        ([[1, 0], [1]], 2, r"\(k, 2\)"),
        (np.eye(2) * 1j, 2, "complex128"),
        (np.array([["a", "b"]] * 2), 2, "<U1"),
        (np.array([[None, 1]] * 2), 2, "object"),
        (np.zeros((2, 2), "V2"), 2, "V2"),
        ("random", 4, "whole number K"),
        ("random:x", 4, "whole number K"),
        ("random:1", 4, "whole number K"),
        ("thompson:0", 4, "whole number K"),
        ("standrad", 4, "standard, plusminus, simplex"),
        ("a.h5::W", 4, "a.h5::W; read it"),
        ("a.zarr::W", 4, "into an array"),
        ("nowhere.npy", 4, "must exist, got nowhere.npy"),
    ],
)
def test_wrong_bases_are_refused_in_one_line(spec, d, message):
    with pytest.raises(InputError, match=message) as error:
        load_basis(spec, d)
    assert "\n" not in str(error.value)


def test_columns_that_need_no_transpose_say_so():
    with pytest.raises(InputError, match="rows fit: drop --basis-transpose"):
        load_basis(np.ones((3, 5)), 5, transpose=True)


def test_damaged_files_are_refused_in_one_line(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([[print, 1]] * 2, dtype=object), allow_pickle=True)
    (tmp_path / "words.txt").write_text("no numbers\nat all\n")
    (tmp_path / "noise.npz").write_bytes(b"noise")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "objects.npy").read_bytes()[:40])
    (tmp_path / "empty.npy").write_bytes(b"")
    np.savez(tmp_path / "two.npz", a=np.eye(2), b=np.eye(2))
    np.save(tmp_path / "good.npy", np.eye(2))
    damaged = ("objects.npy", "words.txt", "noise.npz", "cut.npy", "empty.npy")
    for file in (*damaged, "two.npz", "two.npz::c", "good.npy::x"):
        with pytest.raises(InputError) as error:
            load_basis(f"{tmp_path}/{file}", 2)
        assert "\n" not in str(error.value) and re.split("[.:]", file)[0] in str(error.value)


def test_gram_follows_the_definition_to_the_last_bit(rng):
    basis = load_basis(rng.standard_normal((35, 13)), 13)
    g, s = gram(basis)
    for i in range(35):
        for j in range(35):
            if i != j:
                assert (g[i, j], s[i, j]) == naive.plane(basis.vectors[i], basis.vectors[j])
    assert (g == g.T).all() and (np.diagonal(s) == 0).all()


def test_gram_marks_parallel_pairs_and_exact_orthogonality(rng):
    q = random_frame(6, 6, rng)
    g, s = gram(load_basis(np.vstack([q, -q, q[:1] + 1e-8 * q[1:2]]), 6))
    off = ~np.eye(6, dtype=bool)
    assert (g[:6, :6][off] == 0).all() and (s[:6, :6][off] == 1).all()
    assert (np.diagonal(s[:6, 6:12]) == 0).all() and s[0, 12] == s[12, 0] == 0
    assert ((s == 0) == (s.T == 0)).all()


def test_gram_does_not_depend_on_threads(rng, monkeypatch):
    basis = load_basis(rng.standard_normal((150, 21)), 21)
    g, s = gram(basis)
    monkeypatch.setattr("srmfast.threads.MANY", 0)
    threaded = gram(basis)
    assert (threaded[0] == g).all() and (threaded[1] == s).all()


def test_a_basis_cannot_be_changed():
    basis = load_basis("standard", 3)
    assert isinstance(basis, Basis)
    with pytest.raises(AttributeError):
        basis.name = "other"


@pytest.mark.parametrize(
    "d, k, wanted",
    [
        (3, 4, -2.449490),
        (3, 6, -3),
        (3, 12, 3.747591),
        (16, 17, -11.661904),
        (2, 5, -1.624598),
        (3, 5, -2.732051),
    ],
)
def test_thompson_reaches_the_known_energies(d, k, wanted):
    vectors, report = thompson(d, k)
    assert report.energy == pytest.approx(wanted, abs=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-14)
    assert report.standard_angle > 0.1  # a random orientation


def test_thompson_gradient_is_the_derivative(rng):
    vectors = load_basis("random:7", 4).vectors
    direction = rng.standard_normal((7, 4))
    direction -= np.sum(direction * vectors, axis=1, keepdims=True) * vectors
    h = 1e-6
    ends = [(v := vectors + t * direction) / np.linalg.norm(v, axis=1, keepdims=True) for t in (h, -h)]
    slope = (energy(ends[0])[0] - energy(ends[1])[0]) / (2 * h)
    assert np.sum(energy(vectors)[1] * direction) == pytest.approx(slope, rel=1e-7)


def test_thompson_cross_polytope_is_orthogonal_enough_for_exact_planes():
    basis = load_basis("thompson:32", 16, seed=4)
    g, s = gram(basis)
    assert energy(basis.vectors)[0] == pytest.approx(-16, abs=1e-5)
    assert np.count_nonzero(g) == 64  # itself and its opposite
    assert np.count_nonzero(s == 0) == 64 and basis.kind == "thompson"
    geometry = Geometry.of(basis)
    assert geometry.orthogonal and geometry.parallel.shape == (16, 2)


def test_thompson_report_describes_the_basis():
    vectors, report = thompson(3, 12, seed=2, restarts=3)
    off = (vectors @ vectors.T)[~np.eye(12, dtype=bool)]
    assert (report.cos_min, report.cos_max) == (off.min(), off.max())
    assert report.spread < 1e-5 and len(report.energies) == 3
    assert report.standard_angle == pytest.approx(np.degrees(np.arccos(np.abs(vectors).max())))
    assert (thompson(3, 12, seed=2, restarts=3)[0] == vectors).all()


@pytest.mark.parametrize("arguments", [{"d": 1, "k": 3}, {"d": 3, "k": 1}, {"d": 3, "k": 4, "restarts": 0}])
def test_thompson_refuses_what_has_no_answer(arguments):
    with pytest.raises(InputError):
        thompson(**arguments)


def test_a_path_is_a_file_even_when_its_stem_is_a_name(tmp_path):
    np.save(tmp_path / "standard.npy", np.eye(3)[::-1])
    assert load_basis(os.path.join(tmp_path, "standard.npy"), 3).kind == "file"
