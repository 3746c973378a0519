"""The verdict on planted rows and on rows without a privileged basis, in the right words, however a run is carried out."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

import srmfast
from srmfast.bases import random_frame
from srmfast.engine import Request, count_part, merge, prepare
from srmfast.errors import InputError
from srmfast.family import Family, jackknife, judged
from srmfast.spec import Resources

N, D = 1500, 12
COMPARED = (
    "phase", "null_phase", "null_extreme", "pair_phase", "pair_extreme", "surrogate_phase", "surrogate_extreme",
    "tested_i", "tested_j", "tested_phase", "null_kurtosis", "null_kurtosis_without", "null_norm", "tested_vector",
    "tested_kurtosis", "norm", "norm_rows",
)  # fmt: skip


def isotropic(rng):
    return rng.normal(size=(N, D))


def sums(rng, n=N, first=0, last=D):
    """Rows midway between ± two vectors."""
    i = rng.integers(first, last, n)
    j = first + (i - first + rng.integers(1, last - first, n)) % (last - first)
    signs = rng.choice([-1.0, 1.0], (2, n, 1))
    return np.eye(D)[i] * signs[0] + np.eye(D)[j] * signs[1] + 0.03 * rng.normal(size=(n, D))


def same(a, b):
    for name in COMPARED:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.attrs["null"] == b.attrs["null"] and a.alignment() == b.alignment()


def judge(x, **options):
    result = srmfast.run(x, "standard", null=99, **options)
    alignment = result.alignment()
    summary = result.summary()
    assert str(alignment) in summary and f"{alignment.verdict.upper()} (p = " in summary
    assert max(map(len, summary.splitlines())) <= 100
    words = " ".join(str(alignment).split())
    assert "|mean|/rms = " in words and "vectors have rows in the cone" in words
    return alignment, words


# ---- what is planted is found ------------------------------------------------------------------------


def test_one_neuron_for_each_class(rng):
    classes = rng.integers(0, D, N)
    found, words = judge(np.eye(D)[classes] + 0.15 * isotropic(rng), labels=classes, epsilon=(0.5, 0.8))
    assert (found.verdict, found.p, found.explained, found.pair.verdict) == ("aligned", 0.02, False, "aligned")
    assert len(found.labels) == D and all(label.verdict == "aligned" for label in found.labels)
    assert found.effect.low <= found.effect.size <= found.effect.high and found.effect.size > 0.95
    assert found.coverage.holding == D and found.coverage.effective > 11.5
    assert all(plane.verdict == "aligned" and plane.p <= 0.05 for plane in found.planes[:10])
    for said in (
        "rows point along the basis vectors more than along random rotations", "do not do this (p = 0.02)",
        "with the mean subtracted: aligned", "points to a basis vector in 99% of cases",
    ):  # fmt: skip
        assert said in words


def test_all_mass_on_one_vector_is_called_one_direction(rng):
    found, words = judge(np.eye(D)[np.zeros(N, int)] + 0.1 * isotropic(rng), epsilon=0.8)
    assert found.verdict == "aligned" and found.explained and found.coverage.effective < 1.1
    assert "as their mean and covariance alone make them do" in words and "one direction, not the basis" in words
    assert "most rows lie to one side" in words and found.pair.verdict in ("none", "undecided")


def test_rows_midway_are_anti_aligned_above_the_square_root_of_a_half_only(rng):
    x = sums(rng)
    found, words = judge(x, epsilon=0.8)
    assert found.verdict == "anti-aligned" and found.p_anti == 0.01 and not found.explained
    assert found.effect.size == -1.0 and "rows point between the basis vectors" in words
    low, words = judge(x, epsilon=0.6)
    assert low.verdict == "aligned" and low.p_anti == 1.0 and "confirm it at ε = 0.8" in words
    both, words = judge(x, epsilon=(0.6, 0.8))
    assert both.verdict == "mixed" and "aligned: 0.6; anti-aligned: 0.8" in words


def test_rows_between_vectors_at_a_small_epsilon_are_pointed_out(rng):
    theta = np.pi / 4 + np.pi / 2 * rng.integers(0, 4, N) + 0.1 * rng.normal(size=N)
    x = np.stack([np.cos(theta), np.sin(theta)], axis=1) @ np.eye(2, D) + 0.05 * isotropic(rng)
    found, words = judge(x[:, :2], epsilon=0.6)
    assert found.verdict in ("none", "undecided") and found.between and "look at ε = 0.8" in words


def test_some_classes_align_and_some_avoid(rng):
    half = np.eye(D)[rng.integers(0, D, N // 2)] + 0.1 * rng.normal(size=(N // 2, D))
    x, labels = np.concatenate([half, sums(rng, N // 2)]), np.repeat(["on", "off"], N // 2)
    found, words = judge(x, labels=labels, epsilon=0.8)
    assert found.verdict == "mixed" and "aligned: on; anti-aligned: off" in words and "fewer in others" in words
    assert {label.effect.label: label.verdict for label in found.labels} == {"on": "aligned", "off": "anti-aligned"}


def test_isotropic_rows_have_none():
    found, words = judge(isotropic(np.random.default_rng(1)), epsilon=(0.5, 0.8))
    assert found.verdict == "none" and found.p > 0.05 and found.effect.detectable <= 0.1
    assert found.effect.low < 0 < found.effect.high and not found.explained
    assert "would have been found four times out of five" in words and "by ε none: 0.5; undecided: 0.8" in words


def test_rows_spread_along_other_axes_are_not_aligned(rng):
    axes = random_frame(D, D, rng)
    found, words = judge(isotropic(rng) / np.arange(1, D + 1) ** 0.75 @ axes, epsilon=(0.5, 0.8))
    assert found.verdict in ("none", "undecided") and found.p > 0.05
    assert found.verdict == "none" or "only an effect of" in words


def test_rows_spread_along_the_basis_are_aligned_and_explained(rng):
    found, words = judge(isotropic(rng) / np.arange(1, D + 1) ** 0.75, epsilon=(0.5, 0.8))
    assert found.verdict == "aligned" and found.explained and found.p_surrogate > 0.05
    assert "Gaussian rows with their mean and covariance do the same" in words


def test_a_large_mean_alone_is_no_alignment():
    rng = np.random.default_rng(1)
    x = isotropic(rng) + 2 * np.sqrt(D) * random_frame(1, D, rng)
    found, words = judge(x, epsilon=(0.5, 0.8))
    assert found.verdict in ("none", "undecided") and found.mean_share > 0.85
    assert "compare --centre" in words and found.pair.verdict == "none" and not found.centred
    centred, words = judge(x, epsilon=(0.5, 0.8), centre=True)
    assert centred.centred and centred.verdict == "none" and centred.mean_share == found.mean_share
    assert f"as stored: {centred.pair.verdict}" in words and centred.pair.p == found.p


def test_duplicates_are_no_alignment(rng):
    x = isotropic(rng)
    x[: N // 100] = x[0]
    assert judge(x, epsilon=0.5)[0].verdict == "none"


def test_no_row_near_a_plane_is_undecided(rng):
    x = rng.normal(size=(300, 200))
    found, words = judge(x, epsilon=0.95, planes="random:50")
    assert found.verdict == "undecided" and math.isnan(found.effect.size) and found.effect.detectable == math.inf
    assert "no row comes near a plane" in words and "use a smaller epsilon" in words


# ---- units -------------------------------------------------------------------------------------------


def test_few_groups_decide_nothing(rng):
    x = np.eye(D)[rng.integers(0, D, N)] + 0.15 * isotropic(rng)
    found, words = judge(x, epsilon=0.8, groups=np.arange(N) // 150)
    assert found.verdict == "undecided" and found.units == 10 and found.p == 0.02
    assert "10 independent groups are too few" in words
    assert judge(x, epsilon=0.8, groups=np.arange(N) // 50)[0].verdict == "aligned"


def test_tokens_without_groups_are_told_and_whole_groups_are_left_out(rng):
    strong = rng.choice([0.1, 9.0], (75, 1, 1))  # a document points along one vector, or it does not
    x = np.eye(D)[rng.integers(0, D, 75)][:, None] * strong + rng.normal(size=(75, 20, D))
    alone, words = judge(x, epsilon=0.5)
    assert "use --groups" in words and not alone.grouped and alone.row_axes == 2
    grouped, words = judge(x, epsilon=0.5, groups=np.arange(75))
    assert "--groups" not in words and grouped.units == 75
    # The same rows in no order, their groups told: each fold still holds whole groups, and the interval is as wide.
    order = rng.permutation(1500)
    found, _ = judge(x.reshape(-1, D)[order], epsilon=0.5, groups=np.repeat(np.arange(75), 20)[order])
    lost, _ = judge(x.reshape(-1, D)[order], epsilon=0.5)
    width, own, without = (one.effect.high - one.effect.low for one in (grouped, found, lost))
    assert found.effect.size == grouped.effect.size == lost.effect.size
    assert 0.5 * width < own < 2 * width and without < 0.5 * own


def test_the_interval_leaves_out_one_fold_at_a_time():
    folds = np.array([[30, 11], [25, 22], [18, 24], [35, 20], [0, 0]])
    held = np.array([True, True, True, True, False])
    size, low, high = jackknife(folds, held)
    assert size == 31 / 185
    left = [((108 - n) - (77 - f)) / (185 - n - f) for n, f in folds[:4].tolist()]
    error = math.sqrt(3 / 4 * sum((value - sum(left) / 4) ** 2 for value in left))
    assert high - size == pytest.approx(3.18244630528371 * error) and low == pytest.approx(2 * size - high)
    assert all(math.isnan(value) for value in jackknife(np.zeros((64, 2), int), np.ones(64, bool)))
    assert math.isnan(jackknife(folds[:1], held[:1])[1])


@pytest.mark.parametrize(
    "aligned, anti, detectable, units, verdict",
    [
        (0.025, 1.0, 0.5, 20, "aligned"),
        (0.026, 1.0, 0.5, 20, "undecided"),
        (1.0, 0.01, 0.0, 20, "anti-aligned"),
        (0.01, 0.02, 0.0, 20, "mixed"),
        (0.3, 0.3, 0.1, 20, "none"),
        (0.3, 0.3, 0.11, 20, "undecided"),
        (0.01, 1.0, 0.0, 19, "undecided"),
    ],
)
def test_verdicts_follow_from_p_power_and_units(aligned, anti, detectable, units, verdict):
    assert judged(aligned, anti, detectable, units).verdict == verdict


def test_p_is_the_share_of_frames_that_reach_the_basis_and_exact_under_exchange(rng):
    """Whichever frame is called the basis, one in forty is the highest."""
    phase = rng.poisson(20, (40, 2, 3, 2))
    extreme = np.sort(rng.normal(size=(40, 2, 3, 2)) * 3, axis=-1)
    epsilon = np.array([0.3, 0.8, 0.9])
    orders = [np.r_[m, np.delete(np.arange(40), m)] for m in range(40)]
    found = [Family(phase[order], extreme[order], epsilon).overall(0.0, 50) for order in orders]
    for side in ("p_aligned", "p_anti"):
        assert sorted(getattr(one, side) for one in found) == pytest.approx([(1 + m) / 40 for m in range(40)])


# ---- however it is carried out -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    return rng.normal(size=(3000, 10)).astype(np.float32) + 0.4, rng.integers(0, 2, 3000)


OPTIONS = dict(epsilon=(0.4, 0.8), null=39, angles=16, seed=3)


@pytest.mark.parametrize(
    "planes, basis", [("permutations", "random:12"), ("random:20", "standard"), ("active:15", "standard")]
)
def test_threads_and_blocks_change_nothing(planes, basis, table):
    x, labels = table
    options = OPTIONS | dict(labels=labels, planes=planes)
    alone = srmfast.run(x, basis, threads=1, **options)
    same(alone, srmfast.run(x, basis, threads=3, block_rows=97, **options))
    assert alone.attrs["null"]["rows"] == 1024 and alone.null_phase.shape == (40, 2, 2, 2)
    assert not np.array_equal(alone.null_phase, srmfast.run(x, basis, **options | {"seed": 4}).null_phase)


@pytest.mark.parametrize("centre", [False, True])
def test_merged_parts_draw_the_rows_of_the_whole(centre, table, tmp_path):
    x, labels = table
    options = OPTIONS | dict(labels=labels)
    whole = srmfast.run(x, "random:12", centre=centre, **options)
    if centre:
        np.save(tmp_path / "mean.npy", whole.centre)
        options["centre"] = str(tmp_path / "mean.npy")
    resources, paths = Resources.resolve(threads=2), []
    for number in (2, 1, 3):
        request = Request(**options)
        members = prepare([("", x)], [("", "random:12")], request, resources)
        paths.append(tmp_path / f"{number}.part")
        count_part(members, request, resources, (number, 3), paths[-1])
    same(whole, replace(merge(paths), attrs=merge(paths).attrs | {"mean_over_rms": whole.offset}))


def test_an_interrupted_run_draws_the_same_rows(table, tmp_path):
    x, _ = table
    np.save(tmp_path / "x.npy", x)
    whole = srmfast.run(str(tmp_path / "x.npy"), "standard", **OPTIONS)

    def stop(event):
        if type(event).__name__ == "Rotating":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        srmfast.run(str(tmp_path / "x.npy"), "standard", checkpoint=tmp_path / "state", on_event=stop, **OPTIONS)
    same(whole, srmfast.run(str(tmp_path / "x.npy"), "standard", checkpoint=tmp_path / "state", threads=1, **OPTIONS))


def test_planes_chosen_by_hits_are_chosen_again_in_every_rotation(rng):
    """Rows without a privileged basis, judged in the planes that they hit most: the choice must not look like alignment."""
    found = [
        srmfast.run(
            rng.normal(size=(400, 12)) / np.arange(1, 13) @ random_frame(12, 12, rng), "standard", epsilon=0.8, null=39,
            planes="active:3", angles=8,
        ).alignment()
        for _ in range(12)
    ]  # fmt: skip
    assert sum(one.p <= 0.05 for one in found) <= 3
    planted = np.eye(D)[rng.integers(0, 3, N)] + 0.1 * isotropic(rng)
    result = srmfast.run(planted, "standard", epsilon=0.8, null=99, planes="active:3")
    assert result.alignment().verdict == "aligned" and result.attrs["null"]["planes"] == 3
    away = result.heldout().phase.sum()
    assert result.alignment().effect.near + result.alignment().effect.far == away < result.phase.sum()


def test_a_verdict_survives_the_file(table, tmp_path):
    import xarray

    x, labels = table
    result = srmfast.run(x, "standard", labels=labels, **OPTIONS)
    result.save(tmp_path / "out.zarr")
    same(result, srmfast.load(tmp_path / "out.zarr"))
    assert srmfast.load(tmp_path / "out.zarr").summary() == result.summary()
    with xarray.open_zarr(tmp_path / "out.zarr") as opened:
        assert opened.null_phase.dims == ("rotation", "label", "epsilon", "side")
        assert (opened.null_phase.values == result.null_phase).all() and opened.phase.dtype == np.int64


def test_planes_that_were_not_kept_leave_the_coverage_unknown(table):
    found = srmfast.run(table[0], "standard", keep="summary", **OPTIONS).alignment()
    assert found.coverage is None and "unknown, no plane was kept" in " ".join(str(found).split())
    kept = srmfast.run(table[0], "standard", keep="all", **OPTIONS).alignment()
    assert (kept.verdict, kept.p, kept.effect) == (found.verdict, found.p, found.effect)


def test_several_results_have_a_verdict_each(table):
    from srmfast.engine import run_many

    request = Request(**OPTIONS)
    results = run_many({"x": table[0]}, {"": "standard", "turned": "random:10"}, request, Resources.resolve(threads=2))
    words = " ".join(results.summary().split())
    for basis, result in (("standard", results["x", "standard"]), ("turned", results["x", "turned"])):
        told = re.search(rf"x, {basis}(?:; [^:]*)?: {result.alignment().verdict.upper()} \(p = ", words)
        assert told and words.count("verdict x, ") <= 2, words
        same(result, srmfast.run(table[0], "standard" if basis == "standard" else "random:10", **OPTIONS))


def test_a_result_without_rotations_says_what_to_do(table, tmp_path):
    x, _ = table
    result = srmfast.run(x, "standard", epsilon=0.5)
    assert result.phase is None and "verdict" not in result.summary()
    result.save(tmp_path / "out.zarr")
    for one in (result, srmfast.load(tmp_path / "out.zarr")):
        with pytest.raises(InputError, match="run again with --null 99"):
            one.alignment()
    for bad in (1, 38, -1, 2.5, True, "99"):
        with pytest.raises(InputError, match="at least 39 rotations"):
            srmfast.run(x, "standard", null=bad)


def test_commands(table, tmp_path, srmfast_main, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", table[0])
    common = "x.npy --epsilon 0.5 --null 39 --angles 16 --progress none"
    dry = srmfast_main(f"run {common} --dry-run").stdout
    assert "random rotations of the basis" in dry and "comparing with random rotations takes seconds" in dry
    ran = srmfast_main(f"run {common} -o a.zarr")
    assert ran.rc == 0 and "\nverdict " in ran.stdout
    assert "\nverdict " in srmfast_main("show a.zarr").stdout
    for number in (1, 2):
        assert srmfast_main(f"run {common} --shard {number}/2 -o {number}.part").rc == 0
    assert srmfast_main("merge 1.part 2.part -o b.zarr").rc == 0
    assert srmfast_main("diff a.zarr b.zarr").rc == 0
    verified = srmfast_main("verify a.zarr --progress none")
    assert verified.rc == 0, verified.stdout
    assert srmfast_main("reproduce a.zarr --progress none").rc == 0
    refused = srmfast_main("run x.npy --null 10 -o c.zarr")
    assert refused.rc == 1 and "at least 39" in refused.stderr
