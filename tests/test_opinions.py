"""Second opinions: norms, kurtosis, the scale of an alignment, sums of basis vectors, and the table in which they meet."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import srmfast
from srmfast import excerpts, kurtosis, naive, opinions, references
from srmfast.drawn import keys_of
from srmfast.errors import InputError
from srmfast.jackknife import interval
from srmfast.naive import pinned_dot
from srmfast.norms import NormHistogram

N, D = 1500, 12


def isotropic(rng, n=N, d=D):
    return rng.normal(size=(n, d))


def on_vectors(rng, n=N, d=D, noise=0.15):
    return np.eye(d)[rng.integers(0, d, n)] + noise * isotropic(rng, n, d)


def on_corners(rng, n=N, d=D):
    return rng.choice([-1.0, 1.0], (n, d)) + 0.2 * isotropic(rng, n, d)


def kurtosis_of(result, units=N):
    return kurtosis.judge(
        result.null_kurtosis, result.null_kurtosis_without, result.tested_vector, result.tested_kurtosis, units
    )


# ---- norms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [False, True])
def test_norms_are_those_of_the_rows_used(centre, rng, tmp_path):
    x = isotropic(rng) * np.exp(2 * rng.normal(size=(N, 1))) + 0.5
    x[3], x[4], x[5] = 0.0, np.nan, 1e-200
    mask = np.arange(N) % 7 > 0
    result = srmfast.run(x, "standard", mask=mask, nonfinite="skip", centre=centre, block_rows=64)
    rows = x[mask & np.isfinite(x).all(axis=1)] - (result.centre if centre else 0.0)
    lengths = np.sort(np.sqrt(pinned_dot(rows, rows)))
    lengths = lengths[lengths > 0]
    norms = result.norms
    assert norms.total == len(lengths) == int(result.rows_used.sum())
    for q in (0.0, 0.5, 0.9, 1.0):
        true = lengths[int(q * (len(lengths) - 1))]
        assert norms.quantile(q) <= true < norms.quantile(q) * (1 + 2**-11)
    over = (lengths > 10 * np.median(lengths)).mean()
    assert norms.describe()["over_10"] == pytest.approx(over, abs=3 / N)
    result.save(tmp_path / "out.zarr")
    assert np.array_equal(srmfast.load(tmp_path / "out.zarr").norms.edges(), norms.edges())


def test_norms_of_parts_add_up_to_those_of_all(rng):
    lengths = np.exp(20 * rng.normal(size=1000))
    whole, parts = NormHistogram(), [NormHistogram() for _ in range(3)]
    whole.add(lengths)
    for part, some in zip(parts, np.array_split(lengths, [100, 640]), strict=True):
        part.add(some)
    added = parts[2] + parts[0] + parts[1]
    assert np.array_equal(added.edges(), whole.edges())
    assert np.array_equal(NormHistogram.from_edges(*whole.edges()).to_arrays()[1], whole.to_arrays()[1])
    values, counts = np.unique(lengths.view(np.int64) >> 40, return_counts=True)
    assert np.array_equal(whole.edges()[0].view(np.int64) >> 40, values) and np.array_equal(whole.edges()[1], counts)


# ---- kurtosis ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("basis, centre", [("standard", False), ("random:7", True), ("random:20", False)])
def test_kurtosis_is_that_of_unit_rows_along_the_basis(basis, centre, rng):
    x = rng.laplace(size=(300, D)) ** 3 + 0.5
    x[:, 5] = 0.0  # along the standard basis, a coordinate that does not vary
    x[11] = 0.0
    result = srmfast.run(x, basis, epsilon=0.5, null=39, centre=centre, seed=5)
    rows = x[np.abs(x).sum(axis=1) > 0] if not centre else x - result.centre
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    along = rows @ result.basis.T
    varies = along.std(axis=0) > 1e-9
    each = np.where(varies, stats.kurtosis(along, axis=0), np.nan)
    assert result.tested_vector.tolist() == list(range(len(result.basis)))
    assert result.tested_kurtosis == pytest.approx(each, rel=1e-9, nan_ok=True)
    some = each[varies]
    assert result.null_kurtosis[0] == pytest.approx([some.mean(), some.min(), some.max()], rel=1e-9)
    number = np.flatnonzero(np.abs(x).sum(axis=1) > 0) if not centre else np.arange(300)
    for fold in (0, 31, 63):
        left = along[number * 64 // 300 != fold]
        expected = stats.kurtosis(left[:, varies], axis=0).mean()
        assert result.null_kurtosis_without[0, fold] == pytest.approx(expected, rel=1e-9)
    norms = np.linalg.norm(x[number] - (result.centre if centre else 0.0), axis=1)
    assert result.null_norm[0] == pytest.approx(stats.spearmanr(norms, (along**4).sum(axis=1))[0], abs=1e-9)


def test_folds_without_rows_do_not_narrow_the_interval(rng):
    x = rng.standard_normal((240, 16))
    x[:80] = np.eye(16)[rng.integers(0, 16, 80)] + 0.1 * rng.standard_normal((80, 16))
    result = srmfast.run(
        x, "standard", epsilon=0.5, angles=8, planes="random:9", keep="summary", null=99, groups=np.arange(240) // 10
    )
    held = result.rows_used.any(axis=1)
    assert held.sum() == 24  # of 64 folds
    assert np.array_equal(np.isnan(result.null_kurtosis_without), np.broadcast_to(~held, (100, 64)))
    found, without = result.opinions().kurtosis, result.null_kurtosis_without
    _, low, high = interval(found.size, (without[0] - without[1:].mean(axis=0))[held])
    assert (found.low, found.high) == (low, high)


def test_rotations_are_of_the_rows_drawn(rng):
    x = isotropic(rng, 3000)
    result = srmfast.run(x, "standard", epsilon=0.5, null=39, seed=2)
    drawn = np.sort(np.argsort(keys_of(np.arange(3000), 2))[:1024])
    rows = x[drawn] / np.linalg.norm(x[drawn], axis=1, keepdims=True)
    assert result.null_kurtosis[0, 0] == pytest.approx(stats.kurtosis(rows, axis=0).mean(), rel=1e-9)
    assert result.null_kurtosis[1:, 0].std() > 0


def test_heavy_tails_along_the_basis_are_found_and_light_ones(rng):
    found = kurtosis_of(srmfast.run(on_vectors(rng), "standard", epsilon=0.8, null=99))
    assert (found.verdict, found.mean.verdict, found.single.verdict) == ("aligned",) * 3 and found.p == 0.02
    assert found.low < found.size < found.high and found.size > 3 and len(found.coordinates) == D
    found = kurtosis_of(srmfast.run(on_corners(rng), "standard", epsilon=0.8, null=99))
    assert found.verdict == "anti-aligned" and found.size < -1
    x = isotropic(rng)
    x[:, 4] = 0.1 * rng.laplace(size=N) ** 3
    found = kurtosis_of(srmfast.run(x, "standard", epsilon=0.8, null=99))
    assert found.single.verdict == "aligned" and [one.vector for one in found.coordinates] == [4]


def test_rows_without_a_basis_have_no_kurtosis_beyond_rotations():
    found = [
        kurtosis_of(srmfast.run(isotropic(np.random.default_rng(seed)) @ np.diag(range(1, 13)), "random:12", epsilon=0.5, null=39, seed=seed, angles=8))
        for seed in range(12)
    ]  # fmt: skip
    assert sum(one.p <= 0.05 for one in found) <= 3
    assert kurtosis_of(srmfast.run(isotropic(np.random.default_rng(3)), "standard", null=99)).verdict == "none"


def test_p_of_kurtosis_is_exact_under_exchange(rng):
    frames = rng.normal(size=(40, 3)) * [1, 3, 3] + [0, -2, 2]
    orders = [np.r_[m, np.delete(np.arange(40), m)] for m in range(40)]
    without = np.full((40, 64), np.nan)
    found = [kurtosis.judge(frames[order], without, np.arange(3), np.zeros(3), 50) for order in orders]
    for side in ("p_aligned", "p_anti"):
        assert sorted(getattr(one, side) for one in found) == pytest.approx([(1 + m) / 40 for m in range(40)])
    assert all(math.isnan(one.low) for one in found)


def test_few_groups_decide_nothing_and_nothing_is_said_of_rows_that_do_not_vary(rng):
    result = srmfast.run(on_vectors(rng), "standard", epsilon=0.8, null=39)
    assert kurtosis_of(result, units=19).verdict == "undecided"
    same = srmfast.run(np.ones((100, 4)), np.eye(4), epsilon=0.4, null=39)
    assert kurtosis_of(same) is None


def test_longer_rows_on_the_basis_are_told(rng):
    x = isotropic(rng)
    x[: N // 2] = 50 * on_vectors(rng, N // 2)
    value, beyond, p = kurtosis.related(srmfast.run(x, "standard", epsilon=0.8, null=99).null_norm)
    assert value > 0.5 and beyond > 0.5 and p == 0.02
    x[: N // 2] /= 50 * 50
    assert kurtosis.related(srmfast.run(x, "standard", epsilon=0.8, null=99).null_norm)[0] < -0.5
    assert all(math.isnan(value) for value in kurtosis.related(np.full(40, np.nan)))


# ---- curves of sums ----------------------------------------------------------------------------------


def sums_of(rng, m, signs, noise=0.1, n=N, d=D):
    chosen = rng.permuted(np.tile(np.arange(d), (n, 1)), axis=1)[:, :m]
    x = np.zeros((n, d))
    np.put_along_axis(x, chosen, rng.choice([1.0, -1.0], (n, m)) if signs else 1.0, axis=1)
    return x / np.sqrt(m) + noise * isotropic(rng, n, d)


@pytest.mark.parametrize("basis", ["standard", "plusminus", "simplex"])
def test_a_reference_of_one_vector_is_the_self_srm_and_of_more_that_of_their_sums(basis, rng):
    result = srmfast.run(isotropic(rng, 50, 5), basis, epsilon=(0.5, 0.9), angles=24, keep="all")
    assert np.array_equal(result.reference(1), result.self_srm())
    k = len(result.basis)
    for m, signs in ((2, False), (3, True)):
        rows = []
        for chosen in itertools.combinations(range(k), m):
            for factors in itertools.product((1, -1), repeat=m) if signs else [(1,) * m]:
                row = np.asarray(factors, float) @ result.basis[list(chosen)]
                if np.linalg.norm(row) > 1e-9:
                    rows.append(row / np.linalg.norm(row))
        expected = naive.counts(
            np.array(rows), result.basis, list(zip(result.plane_i, result.plane_j, strict=True)), (0.5, 0.9), 24
        )
        found = result.reference(m, signs=signs)
        assert np.abs(found - expected.mean(axis=1) / len(rows)).max() < 0.02  # sums on the grid may round either way


def test_many_sums_are_drawn_with_the_seed(rng):
    drawn = references.sums(np.eye(400), 2, seed=3)
    assert len(drawn) == references.SUMS and (np.count_nonzero(drawn, axis=1) == 2).all()
    assert np.array_equal(drawn, references.sums(np.eye(400), 2, seed=3))
    assert not np.array_equal(drawn, references.sums(np.eye(400), 2, seed=4))
    assert len(references.sums(np.eye(8, 40000), 2)) == 28
    result = srmfast.run(isotropic(rng, 30, 4), "standard", epsilon=0.5, angles=8)
    for bad in (0, 5, 1.5, True, "2"):
        with pytest.raises(InputError, match="a sum is of 1 to 4 distinct basis vectors"):
            result.reference(bad)


@pytest.mark.parametrize("epsilon", [(0.5, 0.8), (0.65,)])
@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_planted_sums_are_told_apart(m, signs, epsilon, rng):
    noise = 0.05 if len(epsilon) == 1 else 0.12
    result = srmfast.run(sums_of(rng, m, signs, noise), "standard", epsilon=epsilon)
    found = references.likeness(result)
    assert found.like == m and found.low > 0 and min(found.fits, key=lambda fit: fit.unexplained).sums == m
    best = found.fits[m - 1]
    assert (best.signed > best.positive) == signs and best.curves.shape == found.observed.shape
    assert ("single vectors" if m == 1 else f"sums of {m} vectors") in str(found)


def test_rows_without_a_pattern_are_like_nothing():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        found = references.likeness(srmfast.run(isotropic(rng), "standard", epsilon=(0.5, 0.8)))
        assert found.like is None and "cannot tell" in str(found)
    corners = references.likeness(srmfast.run(on_corners(rng), "standard", epsilon=(0.3, 0.5)))
    assert corners is None or corners.like is None
    far = srmfast.run(isotropic(rng, 50, 200), "standard", epsilon=0.99, planes="random:9")
    assert references.likeness(far) is None


def test_the_model_without_noise_is_the_reference(rng):
    result = srmfast.run(isotropic(rng, 50, 8), "standard", epsilon=(0.45, 0.83), keep="all")
    models = references._models(result.basis, references._planes_of(result), result.epsilon, 360)
    for m in (1, 2, 3):
        for which, signs in enumerate((False, True)):
            assert models[m, 0.0][which] == pytest.approx(result.reference(m, signs=signs), abs=1e-9)


# ---- scales and the table ----------------------------------------------------------------------------


def test_the_scale_of_an_alignment_is_where_the_effect_is_largest(rng):
    result = srmfast.run(sums_of(rng, 2, True, 0.03), "standard", epsilon=(0.9, 0.6, 0.8), null=99)
    found = result.opinions().spectrum
    alignment = result.alignment()
    assert [scale.epsilon for scale in found.scales] == [0.6, 0.8, 0.9]
    assert [(scale.verdict, scale.size > 0) for scale in found.scales] == [
        ("aligned", True), ("anti-aligned", False), ("anti-aligned", False),
    ]  # fmt: skip
    assert found.turns == ((0.6, 0.8),) and abs(found.peak.size) == max(abs(one.size) for one in found.scales)
    for scale in found.scales:
        (effect,) = (one for one in alignment.effects if one.epsilon == scale.epsilon)
        assert (scale.size, scale.low, scale.high) == (effect.size, effect.low, effect.high)
        assert scale.degrees == pytest.approx(np.degrees(np.arccos(scale.epsilon)))
    assert "the sign changes between ε = 0.6 and 0.8" in str(found)
    none = srmfast.run(isotropic(np.random.default_rng(1)), "standard", epsilon=0.5, null=99).opinions().spectrum
    assert none.peak is None and none.turns == () and len(none.scales) == 1


def test_all_readings_agree_on_rows_along_the_vectors(rng, tmp_path, srmfast_main):
    result = srmfast.run(on_vectors(rng), "standard", epsilon=(0.5, 0.8), null=99)
    found = result.opinions()
    assert found.overall == "all 6 readings agree: aligned"
    assert {row.says for row in found.rows if row.votes} == {"aligned"}
    assert found["spotlight"].p == result.alignment().p and found["spotlight"].value == result.alignment().effect.size
    assert found["kurtosis, mean"].low < found["kurtosis, mean"].value < found["kurtosis, mean"].high
    assert found["surrogate"].p == result.alignment().p_surrogate and found["other mean"].p == result.alignment().pair.p
    with pytest.raises(KeyError):
        found["nothing"]
    table = found.to_dataframe()
    assert list(table.reading) == [row.reading for row in found.rows] and table.says.isin(["aligned"]).all()
    assert str(found).splitlines()[-1] == found.overall and len(str(found).splitlines()) == len(found.rows) + 2
    result.save(tmp_path / "out.zarr")
    shown = srmfast_main(f"show {tmp_path / 'out.zarr'}").stdout
    assert "others  all 6 readings agree: aligned" in shown and "most like that of single vectors" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert str(srmfast.load(tmp_path / "out.zarr").opinions()) == str(found)


def test_readings_that_differ_are_named(rng):
    found = srmfast.run(
        isotropic(rng) / np.arange(1, D + 1) ** 0.75, "standard", epsilon=(0.5, 0.8), null=99
    ).opinions()
    assert found["spotlight"].says == "aligned" and found["surrogate"].says == "none"
    assert "readings agree: aligned" in found.overall and "surrogate (none)" in found.overall
    assert "no more than Gaussian rows" in found["surrogate"].words


def test_without_rotations_there_is_what_needs_none(rng):
    result = srmfast.run(sums_of(rng, 2, False), "standard", epsilon=0.8)
    found = result.opinions()
    assert [row.reading for row in found.rows] == [
        "reference curves",
        "norms",
    ] and found.spectrum is found.kurtosis is None
    assert found.overall == "one reading: anti-aligned; without --null there is no test"
    assert "others" not in result.summary()
    bare = srmfast.run(isotropic(rng, 50, 200), "standard", epsilon=0.99, planes="random:9").opinions()
    assert bare.overall == "no reading decides; run again with --null 99" and bare.norms["rows"] == 50


def test_results_of_before_open_and_have_the_readings_that_they_can(rng):
    result = srmfast.run(on_vectors(rng), "standard", epsilon=0.8, null=39)
    old = replace(
        result, norm=None, norm_rows=None, null_kurtosis=None, null_kurtosis_without=None, null_norm=None,
        tested_vector=None, tested_kurtosis=None,
    )  # fmt: skip
    found = old.opinions()
    assert old.norms is None and found.norms is found.kurtosis is None and found["spotlight"].says == "aligned"
    assert found.overall == "all 4 readings agree: aligned"


def test_the_picture_has_a_panel_for_each_reading(rng, tmp_path):
    from matplotlib.figure import Figure

    x = on_vectors(rng)
    result = srmfast.run(x * np.exp(2 * rng.normal(size=(N, 1))), "standard", epsilon=(0.5, 0.8), null=39)
    figure = result.plot(tmp_path / "o.png", kind="opinions")
    assert isinstance(figure, Figure) and (tmp_path / "o.png").stat().st_size > 10_000
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "at which angular scale" and titles[1].startswith("kurtosis: aligned; 12 of 12 stand out")
    assert titles[2].endswith("single vectors") and titles[3].startswith("how long rows are")
    assert len(srmfast.run(x, "standard", epsilon=0.8).plot(kind="opinions").axes) == 2
    with pytest.raises(InputError, match="nothing that other readings"):
        replace(
            srmfast.run(isotropic(rng, 50, 200), "standard", epsilon=0.99, planes="random:9"), norm=None, norm_rows=None
        ).plot(kind="opinions")


def test_a_minority_is_not_said_to_agree():
    def vote(reading, says):
        return opinions.Opinion(reading, 0.0, 0.0, 0.0, 0.5, says, True, "")

    rows = [vote("spotlight", "undecided"), vote("tails", "anti-aligned"), vote("surrogate", "undecided")]
    said = "3 readings do not agree: spotlight (undecided), tails (anti-aligned), surrogate (undecided)"
    assert opinions._overall(rows, True) == said
    assert opinions._overall(rows[:2], True).startswith("1 of 2 readings agree: anti-aligned; spotlight (undecided)")


def test_a_small_p_is_never_told_as_nought():
    assert [excerpts.probability(p) for p in (1.0, 0.9996, 0.995, 0.05, 0.025, 0.0004, 2e-6, np.nan)] == [
        "1", "1", "0.995", "0.05", "0.025", "0.0004", "2e-06", "-",
    ]  # fmt: skip
