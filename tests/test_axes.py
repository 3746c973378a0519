"""Pictures in the axes of a user's own figure: what is in them, and that nothing else changes."""

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure

import srmfast
from srmfast import axes
from srmfast.errors import InputError

D, N, A = 6, 300, 72


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    rows = 0.3 * rng.normal(size=(N, D))
    rows[np.arange(N), rng.integers(D, size=N)] += rng.choice([-1.0, 1.0], N)
    return rows


@pytest.fixture(scope="module")
def labels():
    return np.array(["a", "b"])[np.arange(N) % 2]


@pytest.fixture(scope="module")
def result(rows, labels):
    return srmfast.run(rows, "plusminus", epsilon=[0.6, 0.8], labels=labels, angles=A)


@pytest.fixture(scope="module")
def results(rows):
    stores = {"one": rows, "two": rows[::2]}
    return srmfast.run_many(stores, {"own": "plusminus", "rotated": "random:6"}, srmfast.Request(epsilon=0.8, angles=A))


@pytest.fixture(scope="module")
def neurons(rows, labels):
    return srmfast.neurons(rows, "standard", epsilon=0.5, labels=labels, permutations=0)


@pytest.fixture(scope="module")
def projection(rows):
    return srmfast.project(rows, "standard", epsilon=0.6)


@pytest.fixture
def ax():
    return Figure().add_subplot()


def closed(curve):
    return np.append(curve, curve[..., :1], axis=-1)


def curves(ax):
    return {line.get_label(): line.get_ydata() for line in ax.lines if not line.get_label().startswith("_")}


def test_axes_given_come_back_and_no_setting_changes(result, results, neurons, projection):
    figure, before = Figure(figsize=(20, 9)), dict(matplotlib.rcParams)
    places = figure.subplots(2, 4).ravel()
    drawn = [
        (result, {"epsilon": 0.8}), (result, {}), (result, {"kind": "heatmap"}), (result, {"kind": "means", "epsilon": 0.8}),
        (results, {}), (neurons, {}), (projection, {}), (result, {"epsilon": 0.8, "signed": True, "label": "b"}),
    ]  # fmt: skip
    for place, (what, options) in zip(places, drawn, strict=True):
        assert what.plot(ax=place, **options) is place
        assert place.get_title() and place.has_data()
    figure.draw_without_rendering()
    assert dict(matplotlib.rcParams) == before


def test_axes_of_a_subfigure_will_do(result, projection):
    left, right = Figure().subfigures(1, 2)
    assert result.plot(ax=left.add_subplot(), kind="heatmap").figure is left
    assert projection.plot(ax=right.add_subplot()).figure is right


def test_lines_are_the_planes_and_their_mean(result, ax):
    axes.lines(result, ax, epsilon=0.8)
    (planes,) = [found for found in ax.collections if isinstance(found, LineCollection)]
    drawn = np.array([segment[:, 1] for segment in planes.get_segments()])
    counts = result.counts[:, 1].sum(axis=0)
    wanted = closed(counts / N)
    np.testing.assert_array_equal(drawn[np.lexsort(drawn.T)], wanted[np.lexsort(wanted.T)])
    np.testing.assert_allclose(curves(ax)["mean of all planes"], wanted.mean(axis=0))
    assert ax.get_legend() is not None and "ε = 0.8" in ax.get_title()


def test_lines_of_chosen_planes_have_names(result, ax):
    axes.lines(result, ax, epsilon=0.8, planes=[(0, 1), (2, 3)], label="a", legend=False, title="")
    where = list(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True)).index((2, 3))
    np.testing.assert_array_equal(curves(ax)["2 → 3"], closed(result.counts[0, 1, where] / result.rows[0]))
    assert ax.get_legend() is None and ax.get_title() == ""


@pytest.mark.parametrize("far", [False, True])
def test_means_of_epsilons_share_an_axis_or_are_divided_by_their_peaks(rows, ax, far):
    result = srmfast.run(rows, "plusminus", epsilon=[0.3, 0.97] if far else [0.6, 0.8], angles=A)
    axes.means(result, ax)
    means = result.mean()[0]
    assert (means.max() > 4 * means.max(axis=-1).min()) == far
    for (name, curve), mean in zip(curves(ax).items(), means, strict=True):
        np.testing.assert_allclose(curve, closed(mean / mean.max() if far else mean))
        assert ("peak" in name) == ("peak" in ax.get_ylabel()) == far


def test_means_of_labels_and_results(result, results):
    two, three = Figure().subplots(2)
    means = result.total.sum(axis=0) / (N * result.planes_total)
    axes.means(result, two, epsilon=0.8)
    drawn = curves(two)
    np.testing.assert_allclose(drawn["all rows"], closed(means[1]))
    for c, name in enumerate("ab"):
        np.testing.assert_allclose(drawn[name], closed(result.mean()[c, 1]))
    axes.means(results, three)
    drawn = curves(three)
    np.testing.assert_allclose(drawn["two, rotated"], closed(results["two", "rotated"].mean()[0, 0]))
    assert set(drawn) - {"isotropic rows"} == {"one, own", "one, rotated", "two, own", "two, rotated"}


def test_no_more_means_are_drawn_than_can_be_told_apart(results, ax):
    many = srmfast.Results({(f"{n}", "b"): results["one", "own"] for n in range(11)})
    many.plot(ax=ax)
    assert {"0", "7", "3 more not drawn"} <= set(curves(ax)) and "8" not in curves(ax)


def test_results_without_an_epsilon_in_common_are_refused(rows, ax):
    both = srmfast.Results({(f"{e}", "b"): srmfast.run(rows, "standard", epsilon=e, angles=A) for e in (0.5, 0.8)})
    with pytest.raises(InputError, match="epsilon must be one of"):
        both.plot(ax=ax, epsilon=0.8)


@pytest.mark.parametrize("draw", ["heatmap", "neuron_map", "disc"])
def test_colour_bars_are_optional(result, neurons, projection, draw):
    what = {"heatmap": result, "neuron_map": neurons, "disc": projection}[draw]
    for colorbar in (True, False):
        figure = Figure()
        ax = getattr(axes, draw)(what, figure.add_subplot(), colorbar=colorbar, title="mine")
        assert len(figure.axes) == 1 + colorbar and ax.get_title() == "mine"
        assert len([found for found in ax.collections if isinstance(found, QuadMesh)]) == 1


def test_a_disc_holds_the_cells_of_its_plane(projection, ax):
    pair = int(projection.plane_i[1]), int(projection.plane_j[1])
    axes.disc(projection, ax, plane=pair, against="none")
    (mesh,) = [found for found in ax.collections if isinstance(found, QuadMesh)]
    assert mesh.get_array().sum() == projection.counts[0, 0, 1].sum()


def test_a_map_holds_the_signed_shares(neurons, ax):
    axes.neuron_map(neurons, ax, vectors=[4, 2])
    (mesh,) = [found for found in ax.collections if isinstance(found, QuadMesh)]
    np.testing.assert_array_equal(mesh.get_array(), neurons.signed()[:, [4, 2]].T)


def test_without_axes_pyplots_own_are_used(result):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    _, ax = pyplot.subplots()
    try:
        assert axes.lines(result, epsilon=0.8) is ax is pyplot.gca()
    finally:
        pyplot.close("all")


def test_a_figure_is_not_pyplots_and_shows_itself(result):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    figure = result.plot(epsilon=0.8)
    assert isinstance(figure, Figure) and pyplot.get_fignums() == before  # so no notebook shows it twice
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("result", {"path": "x.png"}, r"savefig\(path\)"),
        ("result", {"kind": "labels"}, "kind of a picture in given axes must be one of .* label="),
        ("result", {"kind": "pie"}, "must be one of auto, lines, means, heatmap"),
        ("result", {"dpi": 300}, "takes no dpi, got 300"),
        ("result", {"kind": "lines", "epsilon": [0.6, 0.8]}, "of one epsilon, got 2"),
        ("result", {"kind": "heatmap", "epsilon": 0.8}, "at least 2 epsilons"),
        ("result", {"epsilon": 0.7}, "epsilon must be one of the result's"),
        ("result", {"label": "z"}, "label must be one of a, b"),
        ("result", {"epsilon": 0.8, "planes": [(0, 6)]}, "planes must be among those kept"),
        ("result", {"planes": 3}, "picture of means in given axes takes no planes"),
        ("results", {"kind": "lines"}, "does not hold lines of Results; draw its members"),
        ("results", {"epsilon": [0.8, 0.8]}, "of one epsilon, got 2"),
        ("neurons", {"kind": "lines"}, "leave out kind=lines"),
        ("neurons", {"vectors": [9]}, r"vectors must be numbers in \[0, 5\]"),
        ("projection", {"planes": 3}, "takes no planes"),
        ("projection", {"plane": (0, 9)}, "planes must be among those kept"),
        ("projection", {"against": "chance"}, "against must be auto, isotropic, none"),
    ],
)
def test_what_one_picture_cannot_hold_is_refused(request, ax, what, options, message):
    with pytest.raises(InputError, match=message):
        request.getfixturevalue(what).plot(ax=ax, **options)


def test_axes_must_be_axes(result):
    with pytest.raises(InputError, match="ax must be the axes of a matplotlib figure, got int"):
        result.plot(ax=3)
    with pytest.raises(InputError, match="got Figure"):
        result.plot(ax=Figure())
