"""Summaries: numbers that add up, words that read rightly, one screen."""

import re

import numpy as np
import pytest
from test_plots import aligned, make

import srmfast
from srmfast import excerpts, report
from srmfast.results import Results

VERDICTS = re.compile(r"\b(aligned|anti-aligned|alignment|significant|privileged)\b")


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def fits(text):
    lines = text.split("\n")
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
    assert "nan" not in text.lower().split() and "inf" not in text.lower().split()
    assert not VERDICTS.search(text)
    return lines


def line_of(text, head):
    (line,) = [line for line in text.split("\n") if line.startswith(head)]
    return line


def test_the_summary_says_what_was_measured(rng):
    result = make(
        aligned(rng, 5000, 4), np.eye(4), store_name="acts.zarr::layer3", basis_name="mine", basis_kind="file"
    )
    text = result.summary()
    fits(text)
    assert line_of(text, "store").split(None, 1)[1] == "acts.zarr::layer3  (6,012 rows of width 4)"
    assert line_of(text, "basis").split(None, 1)[1] == "mine  (file, 4 vectors of width 4)"
    assert line_of(text, "planes").split(None, 1)[1] == "12 counted; hit by any row: 12; kept: all"
    assert "ε = 0.8 (37°): cosine and half-angle; 72 angles a turn" in text
    assert line_of(text, "speed").split(None, 1)[1] == "2 s, 3,006 rows/s, 50 MB/s read, peak memory 300 MiB"
    assert "|mean|/rms = 0.10; compare --centre" in text


def test_rows_add_up(rng):
    text = make(aligned(rng, 5000, 3), np.eye(3)).summary()
    line = line_of(text, "rows")
    assert line.split(None, 1)[1] == "6,012 seen = 5,000 used + 7 zero-norm + 2 non-finite + 1,003 masked"
    assert "masked (mask: 1,000, max-norm: 3)" in text
    seen, used, zero, nonfinite, masked = (int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", line)[:5])
    assert seen == used + zero + nonfinite + masked


def test_zero_rows_that_were_kept_are_told(rng):
    result = make(aligned(rng, 60, 3), np.eye(3))
    result.attrs["rows"] = {"seen": 63, "used": 60, "zero_norm": 0, "zero_kept": 5, "nonfinite": 0, "masked": {"m": 3}}
    assert "63 seen = 60 used (5 of them zero-norm) + 0 zero-norm + 0 non-finite + 3 masked (m: 3)" in result.summary()


def test_skipped_planes_are_told(rng):
    text = make(aligned(rng, 60, 3), np.concatenate([np.eye(3), -np.eye(3)])).summary()
    assert "24 counted + 6 skipped (parallel vectors)" in text


def test_oscillation_is_described_with_its_numbers(rng):
    result = make(aligned(rng, 3000, 4), np.eye(4))
    mean, expected = result.mean()[0, 0], float(result.null()[0])
    text = result.summary()
    on, midway = (mean[0] + mean[18]) / 2, mean[9]
    ratio = excerpts.times(on / midway)
    assert f"the mean oscillates: basis directions hold {ratio} what the directions midway hold" in text
    table = line_of(text, "            0.8").split()
    assert table[:2] == ["0.8", excerpts.number(mean.max())]
    found = [on, midway, expected]
    assert table[-4:] == [*map(excerpts.number, found), excerpts.times(mean.max() / expected)]


def test_the_opposite_oscillation_is_described_too(rng):
    rows = rng.choice([-1.0, 1.0], size=(3000, 3)) + rng.normal(size=(3000, 3)) * 0.2
    assert "the directions midway hold" in make(rows, np.eye(3)).summary()


@pytest.mark.parametrize(("at", "words"), [(0, "midway hold none"), (1, "basis directions hold none")])
def test_nothing_on_one_side_is_no_ratio(at, words):
    rows = np.array([[1.0, 0.0], [0.0, 1.0]] if at == 0 else [[1.0, 1.0], [2.0, 2.0]])
    text = make(np.repeat(rows, 50, axis=0), np.eye(2), (0.95,)).summary()
    fits(text)
    assert words in text


def test_isotropic_rows_are_level(rng):
    assert "is level" in make(rng.normal(size=(20000, 3)), np.eye(3), (0.5,)).summary()


def test_planes_that_differ_in_angle_have_no_midway(rng):
    basis = rng.normal(size=(5, 3))
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    text = make(aligned(rng, 500, 3), basis).summary()
    fits(text)
    assert "planes differ in their angle" in text and "midway" not in text


@pytest.mark.parametrize("basis", ["standard", "plusminus", "random:4"])
def test_planes_that_were_not_kept_still_have_a_midway(rng, basis):
    rows = aligned(rng, 500, 4)
    every, summed = (srmfast.run(rows, basis, epsilon=0.8, keep=keep).summary() for keep in ("all", "summary"))
    fits(summed)
    assert "midway" in every and "differ" not in summed
    table = [line for line in every.split("\n") if line.startswith("         ")]
    assert table and set(table) <= set(summed.split("\n"))


def test_planes_that_were_not_kept_are_not_said_to_differ(rng):
    text = srmfast.run(aligned(rng, 500, 3), np.eye(3), epsilon=0.8, keep="summary").summary()
    assert "angles were not kept" in text and "midway" not in text


def test_a_large_mean_is_put_in_plain_words(rng):
    rows = aligned(rng, 100, 3)
    text = make(rows, np.eye(3), mean_over_rms=0.93).summary()
    fits(text)
    assert "|mean|/rms = 0.93: most rows lie to one side of the origin" in text and "--centre and compare" in text
    assert "the mean was subtracted" in make(rows, np.eye(3), mean_over_rms=0.93, centred=True).summary()
    assert "|mean|" not in make(rows, np.eye(3), mean_over_rms=float("nan")).summary()


def test_top_planes_are_those_of_the_result(rng):
    result = make(aligned(rng, 500, 4), np.eye(4))
    first = result.top_planes(1)[0]
    line = line_of(result.summary(), "top")
    assert f"plane {first['plane_i']} → {first['plane_j']} peaks at f = {excerpts.number(first['fraction'])}" in line
    assert "(b_j: 90°)" in line


def test_nothing_hit_proposes_an_epsilon(rng):
    rows = rng.normal(size=(10, 40))
    text = make(rows, np.eye(40)[:3], (0.99,)).summary()
    fits(text)
    assert "no row within ε = 0.99 of any plane; try ε = 0.42" in text and "top" not in text
    text = make(rows, np.eye(40)[:3], (0.99, 0.98), suggested_epsilon=None).summary()
    assert "no row within any of the 2 ε of any plane; try a smaller ε" in text


def test_labels_are_listed_by_peak_and_empty_ones_are_no_nan(rng):
    rows = aligned(rng, 600, 4)
    labels = np.where(np.abs(rows).argmax(axis=1) == 2, 1, rng.choice([0, 3], 600))
    result = make(rows, np.eye(4), labels=labels, names=["zero", "two", "none", "three"])
    text = result.summary()
    lines = fits(text)
    start = lines.index(line_of(text, "labels"))
    assert "4 labels by peak, 1 without rows" in lines[start]
    shown = [line.split() for line in lines[start + 1 : start + 5]]
    peaks = result.fraction().max(axis=(1, 2, 3))
    assert shown[0][0] == "two" and shown[0][2] == excerpts.number(peaks[1])
    assert shown[-1] == ["none", "0", "0", "0"]
    assert sum(int(words[1].replace(",", "")) for words in shown) == 600


def test_many_of_everything_fit_one_screen(rng):
    names = [f"a label with a rather long name, number {n}" for n in range(40)]
    result = make(
        aligned(rng, 400, 3), np.eye(3), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97),
        labels=np.arange(400) % 40, names=names, store_name="x" * 200, mean_over_rms=0.8,
    )  # fmt: skip
    text = result.summary()
    fits(text)
    assert "… and 4 more ε" in text and re.search(r"40 labels by peak, 3\d more", text)
    assert text.split("\n")[-1].startswith("speed")


@pytest.mark.parametrize("keep", ["hit", "summary"])
def test_any_keep_can_be_summarised(rng, keep):
    text = make(aligned(rng, 100, 3), np.eye(3), keep=keep, labels=np.arange(100) % 2, names=["a", "b"]).summary()
    fits(text)
    assert ("those that were hit" if keep == "hit" else "only their sum") in text


def test_several_results_get_a_line_each(rng):
    rows = aligned(rng, 300, 3)
    results = Results(
        {
            ("l1", "standard"): make(rows, np.eye(3)),
            ("l1", "turned"): make(rows, np.linalg.qr(rng.normal(size=(3, 3)))[0]),
            ("l2", "standard"): make(rng.normal(size=(10, 40)), np.eye(40)[:3], (0.99,)),
        }
    )
    lines = fits(results.summary())
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["l1", "standard", "300"], ["l1", "turned", "300"], ["l2", "standard", "10"],
    ]  # fmt: skip
    assert "no hit" in lines[3]
    many = Results({("store", str(n)): results["l1", "standard"] for n in range(30)})
    assert "… and 12 more" in fits(many.summary())
    assert report.summarise(Results({})) == "no results"


def test_results_are_compared_at_every_epsilon_that_tells_of_one(rng):
    low = make(rng.normal(size=(50, 9)), np.eye(9), (0.99, 0.6), centred=True)
    high = make(aligned(rng, 50, 9, 0.01), np.eye(9), (0.99, 0.6))
    lines = fits(Results({("low", "standard"): low, ("high", "standard"): high}).summary())
    assert [line.split()[3] for line in (lines[1], lines[3])] == ["0.99", "0.99"]
    assert [line.split()[0] for line in (lines[2], lines[4])] == ["0.6", "0.6"]
    assert "no hit" in lines[1] and lines[1].endswith("subtracted")
    assert "…" not in "".join(lines)


def test_every_epsilon_that_all_results_share_has_a_line(rng):
    pair = {("acts", name): make(aligned(rng, 50, 4, 0.01), np.eye(4), (0.6, 0.8, 0.9)) for name in ("one", "two")}
    lines = fits(Results(pair).summary())
    assert [line.split()[:2] for line in lines[1:7:3]] == [["acts", "one"], ["acts", "two"]]
    assert [line[53:].split()[0] for line in lines[1:7]] == ["0.6", "0.8", "0.9"] * 2
    assert "srmfast show RESULT::acts/one" in lines[-1]
    many = Results({("acts", str(n)): pair["acts", "one"] for n in range(8)})
    assert "… and ε = 0.9, in each of them" in fits(many.summary())


def test_midway_at_a_low_epsilon_comes_with_a_caution():
    rows = np.eye(12)[np.arange(120) % 3]
    text = make(rows, np.eye(12), (0.5,)).summary()
    assert "the directions midway hold 2.0x" in text and "at ε ≤ 0.71 a row on b_i or b_j counts midway too" in text
    text = make(rows, np.eye(12), (0.5, 0.9)).summary()
    assert "at ε = 0.9 the mean oscillates: basis directions hold rows" in text and "counts midway too" not in text
    assert re.search(r"0\.9 +\S+ at 0\.00π \(0°\)", text)  # at b_i, not within the flat top


def test_a_plane_and_its_mirror_are_listed_once(rng):
    top = [line for line in make(aligned(rng, 300, 4), np.eye(4)).summary().split("\n") if " peaks at " in line]
    pairs = [frozenset(re.search(r"plane (\d+) → (\d+)", line).groups()) for line in top]
    assert len(pairs) == len(set(pairs)) == 3


def test_part_pools_labels_and_picks_epsilons(rng):
    rows, labels = aligned(rng, 200, 3), rng.integers(3, size=200)
    split = make(rows, np.eye(3), (0.5, 0.7, 0.9), labels=labels, names=["a", "b", "c"])
    whole = make(rows, np.eye(3), (0.5, 0.7, 0.9))
    pooled = excerpts.part(split)
    np.testing.assert_array_equal(pooled.counts, whole.counts)
    np.testing.assert_array_equal(pooled.total, whole.total)
    assert pooled.rows.tolist() == [200] and pooled.label.tolist() == ["all"]
    one = excerpts.part(split, label="b", epsilon=[2, 0])
    np.testing.assert_array_equal(one.counts[0], split.counts[1][[2, 0]])
    assert one.epsilon.tolist() == [0.9, 0.5]
    both = make(rows, np.eye(3), labels=labels, names=["x", "all", "y"])
    np.testing.assert_array_equal(excerpts.part(both).counts[0], both.counts[1])  # labels that overlap


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (0.85, "0.85"),
        (0.002134, "0.00213"),
        (3.1e-7, "3.1e-07"),
        (1.0, "1"),
        (excerpts.UNDERFLOW, "<1e-300"),
    ],
)
def test_numbers_read_well(value, words):
    assert excerpts.number(value) == words


@pytest.mark.parametrize(
    ("ratio", "words"), [(0.5, "0.5x"), (1.0, "1.0x"), (5.23, "5.2x"), (1234.0, "1,234x"), (2e9, "over 1e6x")]
)
def test_ratios_read_well(ratio, words):
    assert excerpts.times(ratio) == words


def test_long_names_are_cut_in_the_middle():
    assert excerpts.shorten("abcdefghij", 5) == "ab…ij" and excerpts.shorten("a\n b", 9) == "a b"


def test_no_line_of_numbers_is_cut(rng):
    rows = np.roll(np.eye(64)[:40], 5, axis=1) * -1.0 + 1e-3 * rng.normal(size=(40, 64))
    assert "…" not in make(rows, np.eye(64)[5:9], (0.95, 0.5)).summary()
