"""The author's two functions: their conventions, and the values their notebook shows."""

import numpy as np
import pytest

import srmfast
from srmfast import compat
from srmfast.naive import pinned_dot


def srm(x, b, **options):
    return compat.spotlight_resonance_method(latent_layer_activations=x, privileged_basis=b, **options)


@pytest.mark.parametrize("perm, planes", [("PERM", 20), ("COMB", 10)])
def test_curves_are_those_of_rotation_away_from_b_j(perm, planes, rng):
    x, b = rng.normal(size=(300, 6)), rng.normal(size=(5, 6))
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    angles, values = srm(x, b, epsilon=0.5, perm_or_comb=perm, angular_resolution=25)
    assert values.shape == (planes, 25) and (angles == np.linspace(0, 2 * np.pi, 25)).all()
    pairs = [(i, j) for i in range(5) for j in range(5) if (i != j if perm == "PERM" else i < j)]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for row, (i, j) in zip(values, pairs, strict=True):
        w = b[j] - (b[j] @ b[i]) * b[i]
        w /= np.linalg.norm(w)
        probes = np.cos(angles)[:, None] * b[i] - np.sin(angles)[:, None] * w
        assert np.allclose(row, (unit @ probes.T >= 0.5).mean(axis=0))
    assert (values[:, 0] == values[:, -1]).all()


@pytest.mark.parametrize(
    "shape, at_0, at_45, at_90",
    [(lambda z: z, 0.0102, 0.0100, 0.0100), (np.tanh, 0.00032, 0.00285, 0.00035), (lambda z: np.maximum(z, 0), 0.0735, 0.0, 0.0), (lambda z: np.sign(z) * z * z, 0.0366, 0.0150, 0.0368)],
    ids=["isotropic", "tanh", "relu", "square"],
)  # fmt: skip
def test_the_notebooks_example_gives_its_values(shape, at_0, at_45, at_90):
    """5000 × 8 normals, ε = .75; the expected values hold for 200,000 rows."""
    x = shape(np.random.default_rng(1).normal(size=(5000, 8)))
    _, values = srm(x, np.eye(8), epsilon=0.75, angular_resolution=721)
    for degrees, expected in ((0, at_0), (45, at_45), (90, at_90)):
        band = 5 * np.sqrt(max(expected, 1e-4) / 5000 / 8)
        assert values[:, 2 * degrees].mean() == pytest.approx(expected, abs=band)


def test_relu_rows_fill_the_last_quadrant_because_the_spotlight_turns_away():
    x = np.maximum(np.random.default_rng(1).normal(size=(5000, 8)), 0)
    _, values = srm(x, np.eye(8), epsilon=0.75, angular_resolution=721)
    mean = values.mean(axis=0)
    assert mean[2 * 270] == pytest.approx(0.0735, abs=0.005) and mean[2 * 315] == pytest.approx(0.0535, abs=0.005)
    assert mean[2 * 180] == 0


def test_zero_rows_stay_in_the_denominator(rng):
    x = rng.normal(size=(100, 4))
    x[:20] = 0
    _, values = srm(x, np.eye(4), epsilon=0.5)
    _, without = srm(x[20:], np.eye(4), epsilon=0.5)
    assert np.allclose(values, 0.8 * without)
    _, below = srm(x, np.eye(4), epsilon=-1.0)
    assert (below == 1.0).all()


def test_parallel_pairs_give_their_zero_row_and_a_warning(rng):
    b = np.concatenate([np.eye(3), -np.eye(3)])
    with pytest.warns(RuntimeWarning, match="3 of 15 pairs are parallel"):
        _, values = srm(rng.normal(size=(500, 3)), b, epsilon=0.75, perm_or_comb="COMB")
    assert ((values == 0).all(axis=1)).sum() == 3


def test_a_basis_that_is_not_of_unit_length_is_refused_with_the_reason(rng):
    with pytest.raises(srmfast.InputError, match="epsilon/norm"):
        srm(rng.normal(size=(10, 3)), 2 * np.eye(3))


def test_max_planes_keeps_a_fixed_choice_and_the_global_random_state(rng):
    x = rng.normal(size=(50, 6))
    np.random.seed(7)
    _, one = srm(x, np.eye(6), epsilon=0.4, max_planes=5)
    after = np.random.rand()
    np.random.seed(7)
    assert after == np.random.rand()
    _, two = srm(x, np.eye(6), epsilon=0.4, max_planes=5)
    assert one.shape == (5, 100) and (one == two).all()


def test_the_projection_accepts_what_isotropy_predicts_and_keeps_raw_coordinates():
    """SPEC 000-27: n = 8, ε = .8 accepts .046656."""
    x = np.random.default_rng(0).normal(size=(20_000, 8))
    points = compat.PrivilegedPlaneProjectiveMethod(latent_layer_activations=x, privileged_basis=np.eye(8), epsilon=0.8)
    assert len(points) / 20_000 / 56 == pytest.approx(0.046656, rel=0.03)
    first = x[np.hypot(x[:, 0], x[:, 1]) >= 0.8 * np.sqrt(pinned_dot(x, x))]
    assert np.allclose(points[: len(first)], first[:, :2])


def test_the_projections_second_axis_is_the_part_of_b_j_orthogonal_to_b_i():
    b = np.array([[1.0, 0.0], [np.cos(np.pi / 6), np.sin(np.pi / 6)]])
    points = compat.PrivilegedPlaneProjectiveMethod(
        latent_layer_activations=2 * b[1:], privileged_basis=b, epsilon=0.5, perm_or_comb="COMB"
    )
    assert np.allclose(points, [[np.sqrt(3), 1.0]])
