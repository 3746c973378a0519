"""Rows near a plane that point along the basis or between it: the fast ways equal the definition by `==`, on borders too."""

import cases
import numpy as np
import pytest

import srmfast
from srmfast import naive
from srmfast.drawn import DrawnRows, keys_of
from srmfast.engine import planes_drawn
from srmfast.engine.planes_drawn import PlanesDrawn, cost_of, sizes_of
from srmfast.engine.rotations import Rows, count_near
from srmfast.planes import Geometry, choose_planes

N = 157


def definition(x, result):
    """Near and far over the planes that a result has kept, (e, 2)."""
    pairs = list(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True))
    return naive.phase(x, result.basis, pairs, result.epsilon).sum(axis=1)


@pytest.mark.parametrize("d", [2, 3, 16, 64])
@pytest.mark.parametrize("basis", cases.BASES)
@pytest.mark.parametrize("rows", ["gaussian", "one-hot", "small-integer", "on-grid", "half"])
def test_a_run_counts_what_the_definition_says(rows, basis, d, rng):
    x = cases.rows(rows, N, d, rng)
    b = cases.basis(basis, d, rng)
    planes = "permutations" if len(b) <= 10 else "random:60"
    result = srmfast.run(x, b, epsilon=cases.EPSILONS, angles=8, planes=planes, keep="all", null=39)
    assert (result.phase.sum(axis=0)[0] == definition(x, result)).all()


@pytest.mark.parametrize("basis, dtype", [("standard", np.float16), ("rotated", np.float64), ("oblique", np.float32)])
def test_a_search_counts_what_the_definition_says(basis, dtype, rng):
    x = cases.rows("gaussian", 60, 80, rng).astype(dtype)
    x[::3, 5] += 9
    x[1::3, 6:8] += 7
    b = cases.basis(basis, 80, rng)
    result = srmfast.run(x, b, epsilon=(0.45, 0.6), angles=12, keep="all", null=39)
    assert result.attrs["provenance"]["method"] == "search"
    assert (result.phase.sum(axis=0)[0] == definition(x, result)).all()
    wide = srmfast.run(x, b, epsilon=(0.45, 0.6), angles=12, keep="hit", null=39, memory="256MiB")
    assert (wide.phase == result.phase).all()


def on_borders(b_i, b_j, rng, n=4000):
    """Points of a plane within a few units in the last place of its eight borders."""
    g, s = naive.plane(b_i, b_j)
    angle = np.arccos(g)
    quarter = np.concatenate([angle / 4 + np.array([0, np.pi / 4]), -angle / 4 - np.array([0, np.pi / 4])])
    borders = angle / 2 + np.concatenate([quarter, quarter + np.pi])
    theta = np.nextafter(rng.choice(borders, n), rng.choice([-9.0, 9.0], n))
    return np.cos(theta)[:, None] * b_i + np.sin(theta)[:, None] * (b_j - g * b_i) / s


@pytest.mark.parametrize("g", [0.0, 0.3, -0.5, 0.95, -0.999])
def test_a_row_on_a_border_is_neither_and_is_decided_by_the_line(g, rng):
    b = np.array([[1.0, 0.0, 0.0], [g, np.sqrt(1 - g * g), 0.0]])
    x = on_borders(*b, rng)
    nearer, _ = naive.nearness(x, *srmfast.load_basis(b, 3).vectors)
    assert (nearer > 0).sum() > 20 and (nearer < 0).sum() > 20
    assert (nearer == 0).sum() > 20 or abs(g) > 0.99  # there, coordinates are too coarse for an exact tie
    result = srmfast.run(x, b, epsilon=(0.5, 0.9), angles=16, keep="all", null=39)
    assert (result.phase.sum(axis=0)[0] == definition(x, result)).all()
    assert (result.phase.sum(axis=(0, 1, 3)) == 2 * (nearer != 0).sum()).all() or g


def test_the_length_in_the_plane_is_compared_exactly(rng):
    x = np.array([[0.6, 0.0, 0.8], [0.0, 0.6, 0.8], [3.0, 4.0, 0.0], [0.6, 1e-9, 0.8], [0.6 - 1e-16, 0.0, 0.8]])
    result = srmfast.run(x, "standard", epsilon=(0.6, 1.0), angles=8, planes="combinations", keep="all", null=39)
    assert (result.phase.sum(axis=0)[0] == definition(x, result)).all()


def test_without_a_threshold_every_row_counts_but_those_orthogonal_to_a_plane():
    x = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    found = srmfast.run(x, "standard", epsilon=(-0.5, 0.0), angles=8, planes=np.array([[0, 1]]), keep="all", null=39)
    assert (found.phase.sum(axis=0)[0] == [[1, 1], [1, 1]]).all()
    kept = srmfast.run(x, "standard", epsilon=-0.5, angles=8, planes=np.array([[0, 1]]), zero_rows="keep", null=39)
    assert (kept.phase.sum(axis=(0, 1, 2)) == [1, 1]).all()  # a zero row has no direction


def test_half_of_all_directions_are_near(rng):
    """Whatever the angle between the vectors, so that isotropic rows balance."""
    theta = (np.arange(100_000) + 0.5) * (2 * np.pi / 100_000)
    x = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    for angle in (0.2, 1.0, 2.5):
        nearer, _ = naive.nearness(x, np.array([1.0, 0.0]), np.array([np.cos(angle), np.sin(angle)]))
        assert abs(nearer.sum()) <= 8


@pytest.mark.parametrize("scale", [1e-160, 1e-40, 1e40, 1e150])
def test_rows_of_any_size(scale, rng):
    x = scale * cases.rows("gaussian", 40, 6, rng)
    result = srmfast.run(x, cases.basis("oblique", 6, rng), epsilon=(0.4, 0.8), angles=8, keep="all", null=39)
    assert (result.phase.sum(axis=0)[0] == definition(x, result)).all()


@pytest.mark.parametrize("basis", [*cases.BASES, "listed"])
def test_the_basis_as_it_is_comes_first_among_its_rotations(basis, rng):
    x = cases.rows("small-integer", 90, 8, rng)
    planes = np.array([[0, 3], [4, 1], [1, 4], [2, 5]]) if basis == "listed" else "permutations"
    b = cases.basis("standard" if basis == "listed" else basis, 8, rng)
    labels = rng.integers(0, 3, 90)
    result = srmfast.run(x, b, epsilon=(-0.2, 0.5, 0.9), labels=labels, planes=planes, angles=8, null=39)
    pairs = {tuple(sorted(pair)) for pair in zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True)}
    for c in range(3):
        wanted = naive.phase(x[labels == c], result.basis, sorted(pairs), result.epsilon).sum(axis=1)
        assert (result.null_phase[0, c] == wanted).all()
        means = x[labels == c] - x[(x != 0).any(axis=1)].mean(axis=0)
        wanted = naive.phase(means[(x[labels == c] != 0).any(axis=1)], result.basis, sorted(pairs), result.epsilon)
        assert (
            np.abs(result.pair_phase[0, c] - wanted.sum(axis=1)).max() <= 2
        )  # the mean may be rounded in another order
    assert (result.surrogate_phase[0] == result.null_phase[0]).all()


@pytest.mark.parametrize("kind", ["standard", "plusminus", "rotated", "oblique", "parallel", "few"])
def test_rotated_coordinates_are_those_of_a_rotated_basis(kind, rng):
    vectors = rng.normal(size=(4, 9)) if kind == "few" else cases.basis(kind, 6, rng)
    vectors = np.concatenate([vectors, vectors[:1] + vectors[1:2]]) if kind == "few" else vectors
    basis = srmfast.load_basis(vectors, vectors.shape[1])
    d = vectors.shape[1]
    geometry = Geometry.of(basis)
    planes = choose_planes("permutations", basis, geometry)
    tested = PlanesDrawn.of(basis, geometry, planes, sizes_of(39, 50, d, len(vectors), 1), 0)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    x = rng.normal(size=(50, d))
    turned = tested.turned(x, np.ascontiguousarray(tested.frame @ rotation.T))
    np.testing.assert_allclose(turned, (x @ (tested.vectors @ rotation.T).T).T, atol=1e-12)
    np.testing.assert_allclose(tested.turned(x, tested.frame), tested.along(x), atol=1e-12)
    assert np.allclose(np.abs(tested.frame @ tested.frame.T - np.eye(len(tested.frame))).max(), 0, atol=1e-12)


def test_near_parallel_pairs_are_not_lost_to_a_screen(rng):
    b = np.array([[1.0, 0.0, 0.0], [1.0, 3e-6, 0.0], [1.0, 1e-3, 1e-3], [0.0, 0.0, 1.0]])
    basis = srmfast.load_basis(b, 3)
    geometry = Geometry.of(basis)
    tested = PlanesDrawn.of(
        basis, geometry, choose_planes("combinations", basis, geometry), sizes_of(39, 300, 3, 4, 1), 0
    )
    x = rng.normal(size=(300, 3))
    pairs = list(zip(tested.plane_i, tested.plane_j, strict=True))
    for epsilon in (1e-12, 1e-3, 0.5, 1.0):
        rows = Rows(x, np.zeros(300, np.int64), (epsilon,))
        found, _ = count_near(tested, rows, tested.along(x), 1)
        assert (found[:, 0].swapaxes(0, 1) == naive.phase(x, basis.vectors, pairs, (epsilon,))).all()


def test_rows_are_drawn_alike_however_they_arrive(rng):
    x, rows = rng.normal(size=(500, 3)), np.arange(500)
    about = np.stack([rows, rows % 2, rows // 8], axis=1)

    def drawn(some):
        return DrawnRows(40, 3, keys_of(rows[some], 7), about[some], x[some])

    keys = keys_of(rows, 7)
    wanted = rows[np.argsort(keys)[:40]]
    for parts in (1, 2, 9):
        total = DrawnRows(40, 3)
        for some in np.array_split(rng.permutation(500), parts):
            total = total + (DrawnRows(40, 3) + drawn(some))
        assert (total.about[:, 0] == wanted).all() and (total.values == x[wanted]).all()
    again = DrawnRows.from_arrays(*total.to_arrays())
    assert (again.keys == total.keys).all() and again.last == total.last
    assert len(set(keys.tolist())) == 500 and (keys_of(rows, 8) != keys).all()


def test_draws_are_even(rng):
    counts = np.zeros(64, np.int64)
    for seed in range(200):
        counts += np.bincount(np.argsort(keys_of(np.arange(6400), seed))[:64] // 100, minlength=64)
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200)


@pytest.mark.parametrize("kind", ["standard", "oblique"])
@pytest.mark.parametrize("listed", [False, True])
def test_of_many_vectors_some_are_drawn_and_of_many_planes_too(kind, listed, monkeypatch, rng):
    monkeypatch.setattr(planes_drawn, "_SIDE", 40 * 20**2)
    basis = srmfast.load_basis(cases.basis(kind, 40, rng), 40)
    k, geometry = len(basis.vectors), Geometry.of(basis)
    asked = np.array([(i, j) for i in range(k) for j in range(k) if i != j and (i + j) % 3 == 0])
    planes = choose_planes(asked if listed else "permutations", basis, geometry)
    sizes = sizes_of(99, 5000, 40, k, 1)
    assert sizes == {"rotations": 99, "rows": 20, "vectors": 20, "planes": 190}
    drawn = PlanesDrawn.of(basis, geometry, planes, sizes, 3)
    pairs = set(zip(drawn.plane_i.tolist(), drawn.plane_j.tolist(), strict=True))
    assert len(drawn.vectors) <= 20 and len(pairs) == drawn.i.size and all(i < j for i, j in pairs)
    assert len(pairs) == 190 or (
        listed and len(pairs) > 20 and pairs <= {tuple(sorted(pair)) for pair in asked.tolist()}
    )
    again, other = (PlanesDrawn.of(basis, geometry, planes, sizes, seed) for seed in (3, 4))
    assert (again.plane_i == drawn.plane_i).all() and not np.array_equal(other.plane_i, drawn.plane_i)
    fewer = PlanesDrawn.of(basis, geometry, planes, sizes | {"planes": 7}, 3)
    assert fewer.i.size == 7 and set(zip(fewer.plane_i.tolist(), fewer.plane_j.tolist(), strict=True)) <= pairs
    assert sizes_of(0, 9, 9, 9, 1) is None and sizes_of(39, 9, 40, 5, 1 << 20)["planes"] == 4
    seconds, size = cost_of(sizes, 40, 1, 2)
    assert 0 < seconds < 1 and 10_000 < size < 1 << 20
