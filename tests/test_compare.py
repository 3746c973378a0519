"""By how much two results differ: laws of the comparison, its intervals against other statistics, and its words."""

import csv
import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import srmfast
from srmfast.errors import InputError
from srmfast.jackknife import balance, difference, directions, error_of, interval, leave_one_out
from srmfast.matching import match
from srmfast.results import Results

N, D = 640, 4
EVERY = np.ones(64, bool)


def rows(strength, seed=0):
    """Rows that are the nearer to the axes the larger `strength` is; the noise of a seed is always the same."""
    rng = np.random.default_rng(seed)
    near = np.zeros((N, D))
    near[np.arange(N), rng.integers(D, size=N)] = rng.choice([-1.0, 1.0], N)
    return rng.normal(size=(N, D)) + 3 * strength * near


@pytest.fixture(scope="module")
def made():
    """Results of weak and strong alignment, with labels and 39 rotations, and one of fewer rows without."""
    how = {"epsilon": [0.5, 0.8], "angles": 36, "labels": np.arange(N) % 3, "null": 39}
    return {
        "weak": srmfast.run(rows(0.2), **how),
        "strong": srmfast.run(rows(1.0), **how),
        "few": srmfast.run(rows(0.2)[:300], epsilon=0.8, angles=36),
    }


# ---- the intervals ---------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_of_means_the_jackknife_is_the_t_interval_of_the_folds(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=64), rng.normal(2, 3, size=50)
    first = leave_one_out(lambda sums: sums[0] / sums[1], np.stack([a, np.ones(64)], axis=1), EVERY)
    second = leave_one_out(lambda sums: sums[0] / sums[1], np.stack([b, np.ones(50)], axis=1), EVERY[:50])
    expected = stats.ttest_1samp(a, 0).confidence_interval()
    assert np.allclose(interval(*first), [a.mean(), *expected])
    welch = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert np.allclose(difference(first, second, paired=False), [b.mean() - a.mean(), *welch])
    other = a + rng.normal(size=64)
    third = leave_one_out(lambda sums: sums[0] / sums[1], np.stack([other, np.ones(64)], axis=1), EVERY)
    paired = stats.ttest_rel(other, a).confidence_interval()
    assert np.allclose(difference(first, third, paired=True), [other.mean() - a.mean(), *paired])


def test_leaving_one_fold_out_is_what_it_says():
    parts = np.random.default_rng(1).integers(0, 50, size=(64, 3, 2))
    held = np.arange(64) % 5 > 0
    whole, without = leave_one_out(balance, parts, held)
    for n, fold in enumerate(np.flatnonzero(held)):
        near, far = np.delete(parts, fold, axis=0).sum(axis=0).T
        assert np.allclose(without[n], (near - far) / (near + far))
    near, far = parts.sum(axis=0).T
    assert np.allclose(whole, (near - far) / (near + far)) and np.isnan(balance(np.zeros(2)))
    assert np.isnan(error_of(without[:1])).all()


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Ratios of counts of folds that share their rows, 1,500 times: the nominal 95 %, within four binomial deviations."""
    rng = np.random.default_rng(2025)
    times, inside, alone, widths = 1500, 0, 0, []
    for _ in range(times):
        size = rng.integers(20, 60, size=64)
        common = rng.normal(0, 0.08, size=64)  # what the rows of a fold have in common in both results
        a, b = (rng.binomial(size, np.clip(p + common, 0, 1)) for p in (0.5, 0.6))
        found = [leave_one_out(balance, np.stack([near, size - near], axis=1), EVERY) for near in (a, b)]
        _, low, high = difference(*found, paired=True)
        _, wide_low, wide_high = difference(*found, paired=False)
        inside += low <= 0.2 <= high
        alone += wide_low <= 0.2 <= wide_high
        widths.append((high - low) / (wide_high - wide_low))
    assert abs(inside / times - 0.95) < 4 * np.sqrt(0.95 * 0.05 / times)
    assert alone > inside and np.median(widths) < 0.9  # unpaired intervals are wider, and cover more than they say


def test_directions_are_read_off_a_curve_where_they_lie():
    curve = np.random.default_rng(3).random(360)
    on, midway = directions(360, np.pi / 2) @ curve
    assert np.isclose(on, (curve[0] + curve[90]) / 2) and np.isclose(midway, curve[45])
    on, midway = directions(8, np.pi / 2 + np.pi / 8) @ np.arange(8.0)  # between grid points
    assert np.isclose(on, 2.5 / 2) and np.isclose(midway, 1.25)
    assert np.allclose(directions(36, 6.28).sum(axis=1), 1)  # next to where the grid ends


# ---- the comparison --------------------------------------------------------------------------------------


def test_a_result_does_not_differ_from_itself(made):
    (pair,) = srmfast.compare(made["weak"], made["weak"]).pairs
    assert pair.paired and pair.folds == 64 and not pair.size.any() and not pair.low.any() and not pair.high.any()
    for change in (*pair.effects, *pair.contrasts):
        assert (
            change.first == change.second and (change.size, change.low, change.high) == (0, 0, 0) and not change.beyond
        )
    assert "no difference at all" in str(srmfast.compare(made["weak"], made["weak"]))


@pytest.mark.parametrize("other", ["strong", "few"])
def test_exchanging_results_negates_the_difference(made, other):
    (there,), (back,) = (srmfast.compare(*both).pairs for both in itertools.permutations((made["weak"], made[other])))
    assert np.array_equal(there.size, -back.size) and np.allclose(there.low, -back.high, atol=1e-15)
    for one, two in zip(there.effects + there.contrasts, back.effects + back.contrasts, strict=True):
        assert (one.first, one.second, one.size) == (two.second, two.first, -two.size)
        assert np.allclose([one.low, one.high], [-two.high, -two.low], atol=1e-15)


def test_differences_are_of_what_the_results_say(made):
    found = srmfast.compare(made["weak"], made["strong"])
    (pair,) = found.pairs
    assert [(change.label, change.epsilon) for change in pair.effects] == [
        (label, epsilon) for label in ("all", "0", "1", "2") for epsilon in (0.5, 0.8)
    ]
    for which, name in ((0, "weak"), (1, "strong")):
        own = {
            (effect.label.replace("all labels", "all"), effect.epsilon): effect.size
            for effect in made[name].alignment().effects
        }
        for change in pair.effects:
            assert np.isclose(own[change.label, change.epsilon], (change.first, change.second)[which])
        total = made[name].total.sum(axis=0) / (N * made[name].planes_total)
        assert np.allclose(pair.curves[which], total)
        on = (total[:, 0] + total[:, 9]) / 2 - (total[:, 4] + total[:, 5]) / 2
        assert np.allclose([(c.first, c.second)[which] for c in pair.contrasts[:2]], on)
    assert (
        np.allclose(pair.size, pair.curves[1] - pair.curves[0])
        and pair.effects[1].beyond
        and pair.effects[1].size > 0.1
    )


def test_pairing_narrows_the_intervals_of_the_same_rows(made):
    near = srmfast.run(rows(0.2) + 0.05 * rows(0.0, 5), epsilon=[0.5, 0.8], angles=36, labels=np.arange(N) % 3, null=39)
    (paired,) = srmfast.compare(made["weak"], near).pairs
    spec = near.attrs["spec"] | {"groups": "others"}
    (apart,) = srmfast.compare(made["weak"], dataclasses.replace(near, attrs=near.attrs | {"spec": spec})).pairs
    assert paired.paired and not apart.paired and apart.why == "they differ in groups"
    for one, two in zip(paired.effects, apart.effects, strict=True):
        assert one.size == two.size and one.high - one.low < 0.8 * (two.high - two.low)


def test_results_of_other_rows_are_not_paired(made):
    found = srmfast.compare(made["weak"], made["few"])
    (pair,) = found.pairs
    assert pair.why == "they have 640 and 300 rows" and pair.effects == () and pair.epsilon.tolist() == [0.8]
    assert [change.label for change in pair.contrasts] == ["all"]
    text = " ".join(str(found).split())
    assert "unpaired, because they have 640 and 300 rows: the variances of both are added" in text
    assert "both results need --null" in text and "A counts 640 rows, B 300" in text


def test_what_cannot_be_compared_is_said_in_one_line(made):
    for change, match_ in (
        ({"angles": 72}, "angles 36 and 72"),
        ({"basis": "plusminus"}, "vectors 4 and 8"),
        ({"planes": "combinations"}, "planes 12 and 6"),
        ({"epsilon": 0.6}, "epsilons 0.8 and 0.6"),
        ({"basis": "simplex"}, "vectors 4 and 5"),
    ):
        other = srmfast.run(rows(0.2), **{"epsilon": 0.8, "angles": 36} | change)
        with pytest.raises(
            InputError, match=f"over the same planes, angles and epsilons, and these differ: .*{match_}"
        ):
            srmfast.compare(made["few"], other)
    skewed = np.eye(D) + 0.3
    with pytest.raises(InputError, match="differ: the angles between the vectors"):
        srmfast.compare(made["few"], srmfast.run(rows(0.2), skewed, epsilon=0.8, angles=36))
    with pytest.raises(InputError, match="differ: which planes"):
        srmfast.compare(*(srmfast.run(rows(0.2), epsilon=0.8, angles=36, planes=p) for p in ([[0, 1]], [[0, 2]])))
    with pytest.raises(InputError, match="results of srmfast run are compared, got dict"):
        srmfast.compare(made["few"], {})


def test_a_turned_basis_has_the_same_geometry_and_is_told(made):
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(D, D)))[0][[2, 0, 1, 3]]
    found = srmfast.compare(made["weak"], srmfast.run(rows(0.2), turned, epsilon=0.8, angles=36))
    assert found.pairs[0].notes == ("the bases differ, the angles between their vectors do not",)


def test_results_are_matched_by_names_endings_numbers_and_order():
    def keys(*stores, basis="own"):
        return [(store, basis) for store in stores]

    assert match(keys("a", "b"), keys("b", "a", "c")) == (
        [(("a", "own"), ("a", "own")), (("b", "own"), ("b", "own"))], "by name",
    )  # fmt: skip
    found, how = match(keys("old.l1", "old.l2"), keys("new.l2", "new.l1", "new.l3"))
    assert (
        how == "by what tells stores apart" and found[0] == (("old.l1", "own"), ("new.l1", "own")) and len(found) == 2
    )
    found, how = match(keys("block2out", "block10out"), keys("h10", "h2"))
    assert how == "by the number in the name" and found[1] == (("block10out", "own"), ("h10", "own"))
    found, how = match(keys("first", "second"), keys("erste", "zweite"))
    assert how == "by order" and found[1] == (("second", "own"), ("zweite", "own"))
    assert match(keys("first", "second"), keys("x", "y", "z")) == ([], "")
    assert match(keys("first"), keys("x", basis="other")) == ([], "")


def test_several_results_are_compared_pair_by_pair(made):
    a = Results({("old.l1", "s"): made["weak"], ("old.l2", "s"): made["weak"], ("old.l9", "s"): made["weak"]})
    b = Results({("new.l1", "s"): made["strong"], ("new.l2", "s"): made["weak"], ("new.l4", "s"): made["few"]})
    found = srmfast.compare(a, b)
    assert [pair.second[0] for pair in found.pairs] == ["new.l1", "new.l2"]
    assert found.left_out == ("only in A: old.l9/s", "only in B: new.l4/s")
    text = str(found).splitlines()
    assert max(map(len, text)) <= 100 and text[0].startswith("2 pairs, matched by what tells stores apart; paired")
    assert text[2].startswith("l1") and text[2].endswith("*") and text[3].startswith("l2") and not text[3].endswith("*")
    with pytest.raises(InputError, match="no result of A has its like in B: .*old.l1/s.* and more/t"):
        srmfast.compare(a, Results({("more", "t"): made["weak"]}))


def test_words_say_which_way_and_what_is_not_said(made):
    text = " ".join(str(srmfast.compare(made["weak"], made["strong"])).split())
    assert (
        "at ε = 0.8: B's rows point along the basis more than A's by +" in text
        and "paired over 64 folds of rows" in text
    )
    assert "by itself aligned (p = 0.05)" in text and "A difference is not a verdict" in text
    assert "how far other seeds would differ it does not say" in text
    assert "labels effect differs in " in text and "of 6 labels and ε (without a difference, 0.3 would)" in text
    back = " ".join(str(srmfast.compare(made["strong"], made["weak"])).split())
    assert "B's rows point along the basis less than A's: -" in back
    assert all(len(line) <= 100 for line in str(srmfast.compare(made["weak"], made["strong"])).splitlines())


def test_the_command_draws_writes_and_ends_well(made, tmp_path, srmfast_main):
    for name in ("weak", "strong"):
        made[name].save(tmp_path / f"{name}.zarr")
    a, b = tmp_path / "weak.zarr", tmp_path / "strong.zarr"
    ended = srmfast_main(f"compare {a} {b} --plot {tmp_path}/c.png --csv {tmp_path}/c.csv")
    assert ended.rc == 0 and "more than A's by" in ended.stdout, ended.stderr
    assert (tmp_path / "c.png").stat().st_size > 10_000
    with open(tmp_path / "c.csv", newline="") as file:
        table = list(csv.DictReader(file))
    (pair,) = srmfast.compare(made["weak"], made["strong"]).pairs
    assert [float(row["size"]) for row in table] == [change.size for change in pair.effects + pair.contrasts]
    assert srmfast_main(f"compare {a} {b} --csv {tmp_path}/c.csv").rc == 1  # it exists
    refused = srmfast_main(f"compare {a} {tmp_path}/nothing.zarr")
    assert refused.rc == 1 and len(refused.stderr.splitlines()) == 1 and not refused.stdout


def test_the_picture_shows_both_curves_and_their_difference(made):
    found = srmfast.compare(made["weak"], made["strong"])
    figure = found.plot()
    assert len(figure.axes) == 4  # two ε
    (pair,) = found.pairs
    a, b = (line.get_ydata() for line in figure.axes[0].lines[:2])
    assert np.array_equal(a[:-1], pair.curves[0, 0]) and np.array_equal(b[:-1], pair.curves[1, 0]) and a[0] == a[-1]
    assert np.array_equal(figure.axes[1].lines[0].get_ydata()[:-1], pair.size[0])
    many = Results({(f"l{n}", "s"): made["weak"] for n in range(13)})
    points = srmfast.compare(many, many).plot()
    assert len(points.axes) == 1 and [tick.get_text() for tick in points.axes[0].get_xticklabels()][:2] == ["l0", "l1"]
    three = Results({(f"l{n}", "s"): made["weak"] for n in range(3)})
    assert [axes.get_title("left") for axes in srmfast.compare(three, three).plot().axes[::2]] == ["l0", "l1", "l2"]


def test_planes_that_one_chose_are_judged_on_its_other_rows():
    x = np.random.default_rng(4).standard_normal((400, 8))
    first = srmfast.run(x, "standard", epsilon=0.8, angles=24, planes="active:6")
    pairs = np.stack([first.plane_i, first.plane_j], axis=1)
    second = srmfast.run(x, "standard", epsilon=0.8, angles=24, planes=pairs, inner_product=2 * np.eye(8))
    for order in ((first, second), (second, first)):
        (pair,) = srmfast.compare(*order).pairs
        at = 0 if order[0] is first else 1
        assert pair.rows[at] == first.heldout().rows.sum() < pair.rows[1 - at] == 400
        assert not pair.paired and "the inner products differ" in pair.notes
