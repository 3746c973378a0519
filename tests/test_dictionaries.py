"""Bases too large for matrices: what a float32 screen proposes and exact pairs decide equals what matrices say."""

import numpy as np
import pytest
from dictionaries import KINDS, dictionary, peak_of, same
from hypothesis import given, settings
from hypothesis import strategies as st

from srmfast import coherence, geometry_cost, naive
from srmfast.bases import load_basis, random_frame
from srmfast.coherence import each_tile, nearest_candidates, pairs_above, parallel_pairs, screen_error, tile_plan
from srmfast.errors import InputError
from srmfast.geometry import LADDER, Geometry, gram
from srmfast.kernels.frames import cosine_and_sines
from srmfast.planes import choose_planes


@pytest.fixture(params=KINDS)
def basis(request, rng):
    return dictionary(request.param, rng)


@pytest.fixture
def small_tiles(monkeypatch):
    """Bases of a hundred vectors have several tiles, several chunks a tile and several bites a chunk."""
    monkeypatch.setattr(coherence, "_SIZES", (32,))
    monkeypatch.setattr(coherence, "_CHUNK", 500)
    monkeypatch.setattr(coherence, "_BITE", 30)


def screened(basis):
    """The geometry without matrices, whatever a short cut would do for an orthogonal basis."""
    return Geometry(basis, np.empty((0, 0)), np.empty((0, 0)), parallel_pairs(basis.vectors), False)


def test_a_pair_has_the_bits_of_the_definition(basis):
    b = basis.vectors
    for i, j in zip(*np.triu_indices(min(len(b), 60), 1), strict=True):
        forward, back = naive.plane(b[i], b[j]), naive.plane(b[j], b[i])
        parallel = min(forward[1], back[1]) < 1e-6
        expected = (forward[0], 0.0, 0.0) if parallel else (*forward, back[1])
        assert cosine_and_sines(b[i], b[j]) == expected


def test_a_list_of_pairs_has_the_bits_of_the_matrices(basis):
    g, s = gram(basis)
    i, j = np.indices(g.shape)
    for geometry in (Geometry.of(basis), Geometry.of(basis, limit=0), screened(basis)):
        got = geometry.of_pairs(i, j)
        diagonal = np.eye(len(g), dtype=bool)
        for array, expected in zip(got, (g, s, s.T), strict=True):
            assert array.dtype == np.float64 and (array == expected)[~diagonal].all()
        assert (got[1][diagonal] == 0).all() and (got[2][diagonal] == 0).all()
        assert (geometry.angles(i, j) == np.arccos(np.clip(got[0], -1, 1))).all()
        assert all(array.shape == (0,) for array in geometry.of_pairs(i[0, :0], j[0, :0]))


def test_long_lists_are_filled_by_several_threads(rng, monkeypatch):
    basis = dictionary("oblique", rng)
    i, j = rng.integers(0, 150, (2, 1000))
    one = screened(basis).of_pairs(i, j)
    monkeypatch.setattr("srmfast.geometry._LIST", 64)
    assert all((a == b).all() for a, b in zip(one, screened(basis).of_pairs(i, j), strict=True))


def test_orthogonal_bases_need_no_matrices_even_with_parallel_pairs(rng):
    for kind in ("standard", "rotated", "cross", "repeated frame"):
        basis = dictionary(kind, rng)
        geometry, s = Geometry.of(basis), gram(basis)[1]
        assert geometry.orthogonal and geometry.g.shape == geometry.s.shape == (0, 0)
        assert (geometry.parallel == np.argwhere(np.triu(s == 0, 1))).all()


@pytest.mark.parametrize("tilt, orthogonal", [(1e-13, True), (1e-11, False), (1e-3, False)])
def test_one_oblique_pair_makes_a_basis_oblique(tilt, orthogonal, rng):
    q = random_frame(97, 97, rng)
    q[96] += tilt * q[70]
    assert Geometry.of(load_basis(q, 97)).orthogonal == orthogonal


def test_matrices_are_built_when_they_fit(rng):
    basis = dictionary("oblique", rng)
    for limit, size in ((None, 150), (16 * 150**2, 150), (16 * 150**2 - 1, 0)):
        geometry = Geometry.of(basis, limit=limit)
        assert geometry.g.shape == geometry.s.shape == (size, size) and not geometry.orthogonal
    g, s = gram(basis)
    assert (Geometry.of(basis).g == g).all() and (Geometry.of(basis).s == s).all()


def check_screen(basis):
    """Everything found without matrices equals what the matrices say."""
    g, s = gram(basis)
    k = len(g)
    held, free = Geometry(basis, g, s, np.argwhere(np.triu(s == 0, 1)), False), screened(basis)
    assert free.parallel.dtype == np.int64 and (free.parallel == held.parallel).all()
    for cut in (0.0, 0.05, 0.3, 0.95, abs(g[0, 1]), np.nextafter(abs(g[0, 1]), 0)):
        expected = np.argwhere(np.triu((np.abs(g) > cut) & (s > 0), 1))
        for geometry in (held, free):
            i, j = geometry.near(cut)
            assert i.dtype == j.dtype == np.int32 and (np.stack([i, j], axis=1) == expected).all()
            assert geometry.near(cut, most=len(expected)) is not None
            assert not len(expected) or geometry.near(cut, most=len(expected) - 1) is None
    sizes = np.abs(g)[np.triu(s > 0, 1)]
    there = {int((sizes > rung).sum()) for rung in LADDER[::4]}
    for most in {0, 1, k * k} | there | {most - 1 for most in there if most}:
        expected = next((rung for rung in LADDER if (sizes > rung).sum() <= most), 1.0)
        assert held.cut(most) == free.cut(most) == expected
    if (s > 0).any():
        angle = np.where(s > 0, np.arccos(np.clip(g, -1, 1)), np.inf)
        expected = np.argwhere((angle <= angle.min(axis=1)[:, None] * (1 + 1e-6)) & (s > 0))
        assert (held.neighbours() == expected).all() and (free.neighbours() == expected).all()
        for kind in ("neighbours", "permutations", "combinations", "random:2", "active:2"):
            assert same(*(choose_planes(kind, basis, geometry, seed=3) for geometry in (held, free)))


def test_the_screen_finds_what_the_matrices_hold(basis):
    check_screen(basis)


def test_the_screen_does_not_depend_on_tiles_or_threads(basis, small_tiles, monkeypatch):
    check_screen(basis)
    monkeypatch.setattr(coherence, "cores", lambda: 1)
    check_screen(basis)


def test_nothing_depends_on_the_last_bits_of_blas(basis, small_tiles, monkeypatch):
    rng, multiply = np.random.default_rng(0), np.matmul

    def inaccurate(x, y, out):
        multiply(x, y, out=out)
        out += (0.9 * screen_error(len(y)) * rng.choice([-1, 1], out.shape)).astype(np.float32)
        return out

    monkeypatch.setattr(np, "matmul", inaccurate)
    check_screen(basis)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(2, 40), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_the_screen_finds_what_the_matrices_hold_in_any_basis_of_small_integers(d, k, largest, seed):
    vectors = np.random.default_rng(seed).integers(-largest, largest + 1, (k, d)).astype(float)
    vectors[~vectors.any(axis=1), 0] = 1.0
    basis = load_basis(vectors, d)
    check_screen(basis)
    one, other = Geometry.of(basis), Geometry.of(basis, limit=0)
    assert one.orthogonal == other.orthogonal and (one.parallel == other.parallel).all()
    s = gram(basis)[1]
    assert (one.parallel == np.argwhere(np.triu(s == 0, 1))).all()


@pytest.mark.parametrize("d", [2, 7, 64, 768, 4096])
def test_a_float32_product_errs_by_less_than_its_bound(d, rng):
    u = 2.0**-24
    uphill = np.full((6, d), (1 + u * (1 - 2**-20)) / np.sqrt(d))  # each entry is as far from a float32 as can be
    power = np.ldexp(1 + u * (1 - 2**-20), -rng.integers(0, 30, (20, d)))
    for vectors in (rng.normal(size=(40, d)), rng.normal(size=(40, d)) ** 9, uphill, power, np.abs(power - 0.3)):
        b = load_basis(vectors, d).vectors
        exact = naive.pinned_dot(b[:, None], b[None])
        single = b.astype(np.float32)
        assert np.abs(single @ single.T - exact).max() <= screen_error(d)
        # the worst order there is: one sum, in the order of the columns
        products = np.multiply(single[:, None], single[None])
        assert np.abs(np.cumsum(products, axis=-1, dtype=np.float32)[..., -1] - exact).max() <= screen_error(d)


def test_a_product_made_to_lose_every_small_term_errs_by_half_the_bound():
    d = 1 << 16
    x = np.full(d, np.sqrt(0.99 * 2.0**-25))  # products of less than half a last place of the sum so far
    x[0] = np.sqrt(1 - (d - 1) * x[1] ** 2)
    single = x.astype(np.float32)
    error = abs(np.cumsum(single * single, dtype=np.float32)[-1] - naive.pinned_dot(x, x))
    assert 0.4 * screen_error(d) < error <= screen_error(d)


def test_too_many_parallel_pairs_are_refused_in_one_line(rng, monkeypatch):
    monkeypatch.setattr(coherence, "MOST_PARALLEL", 5)
    with pytest.raises(InputError, match="more than 5 of their pairs.*remove duplicates"):
        parallel_pairs(dictionary("duplicates", rng).vectors)


@pytest.mark.parametrize("d", [2, 768, 4096, 65536])
@pytest.mark.parametrize("threads", [1, 2, 7, 64])
def test_tiles_of_all_threads_share_a_bounded_memory(d, threads):
    size, used, nbytes = tile_plan(d, threads)
    assert 1 <= used <= threads and size >= 64
    assert nbytes <= coherence.WORKING or used == 1
    assert d > 4096 or threads > 7 or used == threads


@pytest.mark.parametrize("limit", [0, None])
@pytest.mark.parametrize("kind", ["neighbours", "random:20000", "permutations", "active:7"])
def test_memory_is_what_was_projected(kind, limit, rng):
    k, d = 1500, 40
    basis = load_basis(rng.normal(size=(k, d)), d)
    for warm in (True, False):  # the first call loads code
        _, peak = peak_of(lambda: choose_planes(kind, basis, Geometry.of(basis, limit=limit)))
        assert warm or peak <= geometry_cost.geometry_bytes(k, d, kind, False, limit)
    assert geometry_cost.geometry_bytes(k, d, kind, False, limit) < (100 << 20) + (0 if limit == 0 else 16 * k * k)


def test_seconds_grow_with_the_product():
    small, large = (geometry_cost.geometry_seconds(k, 768, "neighbours", False, 0, threads=2) for k in (2048, 24576))
    assert large == pytest.approx(144 * small) and 5 < large < 50
    assert geometry_cost.geometry_seconds(4096, 768, "permutations", True, 0) > 0


def test_an_error_in_one_tile_stops_the_others(rng):
    seen = []

    def fail(i, j, tile):
        seen.append((i, j))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        each_tile(rng.normal(size=(10000, 2)), fail)
    assert len(seen) < 15


def test_candidates_of_a_large_random_basis_are_few(rng):
    vectors = load_basis(rng.normal(size=(3000, 24)), 24).vectors
    i, _ = nearest_candidates(vectors, np.empty((0, 2), np.int64))
    assert 3000 <= i.size < 20000 and len(pairs_above(vectors, 0.8)) > 0
