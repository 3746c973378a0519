"""Laws that every count obeys, searched for exceptions."""

import cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

import srmfast
from srmfast import nulls

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)


def counts(x, b, epsilon=(0.3, 0.7), a=24, **options):
    return srmfast.run(x, b, epsilon=epsilon, angles=a, keep="all", threads=1, **options).counts


@few
@given(seeds, st.integers(2, 9), st.sampled_from(cases.ROWS))
def test_row_order_does_not_matter(seed, d, kind):
    rng = np.random.default_rng(seed)
    x = cases.rows(kind, 40, d, rng)
    assert (counts(x, "standard") == counts(x[rng.permutation(40)], "standard")).all()


@few
@given(seeds, st.integers(-300, 300), st.sampled_from(["gaussian", "small-integer", "on-grid"]))
def test_scaling_rows_by_powers_of_two_changes_nothing(seed, exponent, kind):
    rng = np.random.default_rng(seed)
    x = cases.rows(kind, 40, 5, rng)
    b = cases.basis("oblique", 5, rng)
    assert (counts(x, b) == counts(np.ldexp(x, exponent), b)).all()


@few
@given(seeds, st.integers(1, 39))
def test_parts_add_up_to_the_whole(seed, cut):
    rng = np.random.default_rng(seed)
    x = cases.rows("gaussian", 40, 5, rng)
    assert (counts(x[:cut], "standard") + counts(x[cut:], "standard") == counts(x, "standard")).all()


@few
@given(seeds)
def test_the_opposite_row_is_seen_half_a_turn_later(seed):
    rng = np.random.default_rng(seed)
    x, b = cases.rows("small-integer", 40, 4, rng), cases.basis("oblique", 4, rng)
    assert (counts(-x, b) == np.roll(counts(x, b), 12, axis=-1)).all()


@few
@given(seeds, st.sampled_from(["rotated", "standard"]))
def test_orthogonal_planes_mirror_each_other(seed, kind):
    rng = np.random.default_rng(seed)
    x = cases.rows("gaussian", 40, 4, rng)
    result = srmfast.run(x, cases.basis(kind, 4, rng), epsilon=0.5, angles=24, keep="all")
    at = {pair: n for n, pair in enumerate(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True))}
    for (i, j), n in at.items():
        assert (result.counts[0, 0, n] == result.counts[0, 0, at[j, i], (6 - np.arange(24)) % 24]).all()


@few
@given(seeds)
def test_a_wider_cone_holds_at_least_as_many(seed):
    rng = np.random.default_rng(seed)
    epsilon = np.linspace(-1, 1, 9)
    c = counts(cases.rows("gaussian", 40, 4, rng), cases.basis("oblique", 4, rng), epsilon)
    assert (np.diff(c, axis=1) <= 0).all() and (c <= 40).all() and (c >= 0).all()


@few
@given(seeds)
def test_at_0_and_half_a_turn_the_partner_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    result = srmfast.run(
        cases.rows("gaussian", 60, 5, rng), cases.basis("rotated", 5, rng), epsilon=0.4, angles=8, keep="all"
    )
    for i in range(5):
        mine = result.counts[0, 0, result.plane_i == i]
        assert (mine[:, [0, 4]] == mine[0, [0, 4]]).all()


@few
@given(seeds)
def test_turning_rows_and_basis_together_changes_nothing_away_from_ties(seed):
    rng = np.random.default_rng(seed)
    x, b = cases.rows("gaussian", 60, 5, rng), cases.basis("oblique", 5, rng)
    q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert (counts(x, b) == counts(x @ q, b @ q)).all()


@few
@given(seeds)
def test_combinations_are_among_the_permutations(seed):
    rng = np.random.default_rng(seed)
    x, b = cases.rows("gaussian", 40, 4, rng), cases.basis("oblique", 4, rng)
    every = srmfast.run(x, b, epsilon=0.5, angles=12, keep="all")
    some = srmfast.run(x, b, epsilon=0.5, angles=12, keep="all", planes="combinations")
    assert (every.counts[:, :, every.plane_i < every.plane_j] == some.counts).all()


@pytest.mark.parametrize("d, epsilon", [(2, 0.5), (3, -0.5), (8, 0.75), (16, 0.5)])
def test_isotropic_rows_fall_on_the_reference_within_the_binomial_band(d, epsilon, rng):
    n = 40_000
    result = srmfast.run(
        rng.normal(size=(n, d)), "standard", epsilon=epsilon, angles=8, planes="combinations", keep="all"
    )
    p = nulls.isotropic(epsilon, d)
    f = result.fraction()[0, 0]
    assert np.abs(f - p).max() < 5 * np.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("kind", ["rotated", "oblique"])
def test_the_papers_rotation_matrices_agree_away_from_ties(kind, rng):
    """A second oracle: R(θ) = exp(θ·B) with the bivector B, paper 2505.13471, Eqns 1 to 3."""
    x, b, a, epsilon = cases.rows("gaussian", 500, 6, rng), cases.basis(kind, 6, rng), 20, 0.55
    result = srmfast.run(x, b, epsilon=epsilon, angles=a, keep="all", planes="random:12")
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for plane, (i, j) in enumerate(zip(result.plane_i, result.plane_j, strict=True)):
        u, v = result.basis[i], result.basis[j]
        wedge = np.outer(v, u) - np.outer(u, v)  # turns b_i toward b_j
        wedge /= np.abs(np.linalg.eigvals(wedge)).max()
        for m in range(a):
            probe = expm(2 * np.pi * m / a * wedge) @ u
            assert result.counts[0, 0, plane, m] == (unit @ probe >= epsilon).sum()
