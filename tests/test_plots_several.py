"""Figures of several panels: a label each, or a result each."""

import numpy as np
import pytest
from test_plots import aligned, curve, make, reference, words  # noqa: F401, the reference is a fixture

from srmfast import plots
from srmfast._notes import Notes
from srmfast.errors import InputError
from srmfast.results import Results


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_labels_get_a_panel_each_by_peak(rng, tmp_path):
    rows = aligned(rng, 400, 4)
    labels = np.where(np.abs(rows).argmax(axis=1) == 2, 1, rng.choice([0, 3], 400))
    result = make(rows, np.eye(4), labels=labels, names=["zero", "$two_{", "none", "three"])
    figure = plots.plot(result, tmp_path / "l.png")
    peaks = result.fraction().max(axis=(1, 2, 3))
    expected = [str(result.label[c]) for c in np.argsort(-peaks, kind="stable") if peaks[c] > 0]
    titles = [axes.get_title("left").split("\n") for axes in figure.axes]
    assert titles == [[name, f"{result.rows[list(result.label).index(name)]} rows"] for name in expected]
    assert expected[0] == "$two_{" and len(expected) == 3
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()
    assert "1 label without a row in any cone left out" in words(figure)
    for axes in figure.axes:
        for line in axes.lines:
            assert np.isfinite(line.get_ydata()).all()
    one = plots.plot(result, label="three")
    assert len(one.axes) == 1 and "label three" in one.get_suptitle()
    assert f"{int((labels == 3).sum())} rows" in one.get_suptitle()


def test_pooled_labels_are_all_rows(rng):
    rows = aligned(rng, 200, 4)
    split = make(rows, np.eye(4), labels=rng.integers(3, size=200), names=["a", "b", "c"])
    whole = make(rows, np.eye(4))
    got = curve(plots.plot(split, kind="lines").axes[0], "mean of all planes")
    np.testing.assert_allclose(got, curve(plots.plot(whole).axes[0], "mean of all planes"))


def test_labels_beyond_twenty_four_are_counted(rng):
    names = [f"class {n}" for n in range(27)]
    result = make(aligned(rng, 270, 3), np.eye(3), labels=np.arange(270) % 27, names=names)
    figure = plots.plot(result)
    assert len(figure.axes) == 24 and "3 labels with lower peaks left out" in words(figure)


def test_results_are_a_grid_of_stores_and_bases(rng, tmp_path):
    turned = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    rows = aligned(rng, 300, 4)
    members = {("l1", "standard"): make(rows, np.eye(4)), ("l1", "random:4"): make(rows, turned, mean_over_rms=0.6)}
    members["l2", "standard"] = make(rng.normal(size=(300, 4)), np.eye(4))
    figure = plots.plot(Results(members), tmp_path / "r.png")
    assert len(figure.axes) == 3  # the fourth place is empty
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["standard", "random:4"]
    assert [axes.get_ylabel().split("\n")[0] for axes in figure.axes[::2]] == ["l1", "l2"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert "l1: |mean|/rms = 0.60" in words(figure)
    with pytest.raises(InputError, match="kind of several results must be auto, lines or atlas"):
        plots.plot(Results(members), kind="heatmap")
    with pytest.raises(InputError, match="holds 1 to 36 results, got 0"):
        plots.plot(Results({}))


def test_stores_of_one_basis_stand_side_by_side(rng):
    narrow = np.repeat(np.eye(30)[:3], [60, 30, 10], axis=0) + 0.001 * rng.normal(size=(100, 30))
    high, low = (make(rows, np.eye(30), (0.9, 0.4)) for rows in (narrow, rng.normal(size=(400, 30))))
    figure = plots.plot(Results({("as stored", "standard"): high, ("mean subtracted", "standard"): low}))
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_title("left")]
    assert titles == ["as stored", "mean subtracted"]
    first, second = figure.axes[0], figure.axes[2]
    assert first.get_position().y0 == second.get_position().y0 and first.get_ylim()[1] > 4 * second.get_ylim()[1]
    assert figure.get_suptitle().startswith("acts.zarr · standard basis") and "870 planes" in figure.get_suptitle()
    plain = make(aligned(rng, 300, 5), np.eye(5))
    near = plots.plot(Results({("l1", "standard"): plain, ("l2", "standard"): plain}))
    assert near.axes[0].get_ylim() == near.axes[1].get_ylim() and len(near.axes) == 2
    six = plots.plot(Results({(f"l{n}", "standard"): plain for n in range(6)}))
    assert len({round(axes.get_position().y0, 6) for axes in six.axes}) == 2  # four in the first row


def test_several_results_are_drawn_at_an_epsilon_that_all_of_them_hit(rng):
    low = make(rng.normal(size=(50, 9)), np.eye(9), (0.99, 0.6))
    high = make(aligned(rng, 50, 9, 0.01), np.eye(9), (0.99, 0.6))
    figure = plots.plot(Results({("low", "standard"): low, ("high", "standard"): high}))
    assert not low.total[:, 0].any() and figure.get_suptitle().endswith("ε = 0.6")


def test_panels_share_a_scale_or_say_that_they_do_not(rng):
    near = aligned(rng, 400, 4, 0.01)
    far = np.concatenate([near[:20], np.full((380, 4), 0.5)])  # hardly a row in any cone
    results = Results({("acts", "one"): make(near, np.eye(4), (0.9,)), ("acts", "two"): make(far, np.eye(4), (0.9,))})
    first, second = plots.plot(results).axes[:2]
    assert first.get_ylim() != second.get_ylim()
    assert [axes.get_title("right") for axes in (first, second)] == ["own scale"] * 2
    alike = Results({("acts", "one"): results["acts", "one"], ("acts", "two"): make(near[:200], np.eye(4), (0.9,))})
    first, second = plots.plot(alike).axes[:2]
    assert first.get_ylim() == second.get_ylim() and "own scale" not in words(plots.plot(alike))


def test_every_row_of_label_panels_has_numbers_at_its_axes(rng):
    labels = np.arange(400) % 5
    result = make(aligned(rng, 400, 4), np.eye(4), labels=labels, names=list("abcde"))
    figure = plots.plot(result)
    figure.canvas.draw()
    for n, axes in enumerate(figure.axes[:5]):
        assert any(tick.get_text() and tick.get_visible() for tick in axes.get_xticklabels())
        assert axes.yaxis.get_tick_params()["labelleft"] is (n % 3 == 0)


def test_the_foot_names_the_panels_that_it_speaks_of():
    notes = Notes()
    for panel, value in (("one", 0.1), ("two", 0.2), ("three", 0.2), ("four", 0.2)):
        notes.begin(panel)
        notes.add("of all")
        notes.low("median", 0.0)
        notes.thinned(8, 8 if panel == "one" else 9)
        if panel == "one":
            notes.add("of one")
        else:
            notes.add("of three")
            notes.low("isotropic rows", value)
    notes.end()
    notes.add("of the figure")
    assert notes.lines() == [
        "drawn: 8 of 8 (one) and 8 of 9 (3 of 4 panels) planes with rows, the highest and then evenly by peak",
        "too low to see: median 0, isotropic rows 0.2 (3 of 4 panels)",
        "of all", "one: of one", "3 of 4 panels: of three", "of the figure",
    ]  # fmt: skip
