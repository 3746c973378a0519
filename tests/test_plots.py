"""Figures: what is in them, and what is refused."""

import struct

import numpy as np
import pytest
from matplotlib.collections import LineCollection, QuadMesh

from srmfast import naive, plots
from srmfast.errors import InputError
from srmfast.results import Result

A = 72


def make(rows, basis, epsilon=(0.8,), *, labels=None, names=None, keep="all", **attrs):
    """A result as a run would give it, counted by the definition."""
    k, d = basis.shape
    gram = basis @ basis.T
    pairs = [(i, j) for i in range(k) for j in range(k) if i != j and abs(gram[i, j]) < 1 - 1e-9]
    names = np.array(["all"] if names is None else names)
    labels = np.zeros(len(rows), int) if labels is None else labels
    counts = np.stack([naive.counts(rows[labels == c], basis, pairs, epsilon, A) for c in range(names.size)])
    fold_total = np.zeros((64, names.size, len(epsilon), A), np.int64)
    fold_total[0] = counts.sum(axis=2)
    rows_used = np.zeros((64, names.size), np.int64)
    rows_used[0] = np.bincount(labels, minlength=names.size)
    i, j = np.array(pairs).T
    hit = counts.any(axis=(0, 1, 3))
    kept = {"all": np.ones_like(hit), "hit": hit, "summary": np.zeros_like(hit)}[keep]
    given = {
        "spec": {"store": {"shape": [len(rows) + 1012, d]}},
        "store_name": "acts.zarr",
        "basis_name": "standard",
        "basis_kind": "standard",
        "rows": {
            "seen": len(rows) + 1012, "used": len(rows), "zero_norm": 7, "zero_kept": 0, "nonfinite": 2,
            "masked": {"mask": 1000, "max-norm": 3},
        },
        "mean_over_rms": 0.1,
        "centred": False,
        "planes_total": len(pairs),
        "planes_hit": int(hit.sum()),
        "skipped_planes": k * (k - 1) - len(pairs),
        "kept": keep,
        "suggested_epsilon": 0.42,
        "provenance": {"seconds": {"read": 0.5, "compute": 1.0, "total": 2.0}, "bytes_read": 10**8, "peak_rss": 300 << 20},
    }  # fmt: skip
    return Result(
        counts[:, :, kept], counts.sum(axis=2), fold_total, rows_used, np.arange(A) * 2 * np.pi / A,
        np.array(epsilon, float), names, i[kept], j[kept], np.arccos(np.clip(gram[i, j], -1, 1))[kept], basis,
        {**given, **attrs},
    )  # fmt: skip


def aligned(rng, n, d, noise=0.5):
    rows = rng.normal(size=(n, d)) * noise / np.sqrt(d)
    rows[np.arange(n), rng.integers(d, size=n)] += rng.choice([-1.0, 1.0], n)
    return rows


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def reference(monkeypatch):
    """A self-SRM curve without the engine: 1/k within 0.6 rad of b_i and of b_j."""

    def self_srm(self):
        near = [np.abs(np.angle(np.exp(1j * (self.angle - at)))) < 0.6 for at in (0.0, np.pi / 2)]
        return np.tile((near[0] | near[1]) / len(self.basis), (self.epsilon.size, 1))

    monkeypatch.setattr(Result, "self_srm", self_srm)


@pytest.fixture
def wide(rng):
    """A layer in which the mean over planes is far below the planes: rows on three of thirty neurons."""
    rows = np.repeat(np.eye(30)[:3], [60, 30, 10], axis=0) + 0.001 * rng.normal(size=(100, 30))
    return make(rows, np.eye(30), (0.9,), keep="hit")


@pytest.fixture
def plain(rng):
    return make(aligned(rng, 300, 5), np.eye(5))


def legend(figure):
    return [text.get_text() for made in figure.legends for text in made.get_texts()]


def words(figure):
    """Every text of the figure outside its ticks."""
    found = [figure.get_suptitle(), figure.get_supxlabel()]
    found += [made.get_title().get_text() for made in figure.legends] + legend(figure)
    for axes in figure.axes:
        found += [axes.get_title("left"), axes.get_title("right"), axes.get_xlabel(), axes.get_ylabel()]
        found += [text.get_text() for text in axes.texts] + [inset.get_ylabel() for inset in axes.child_axes]
    return "\n".join(found)


def ensemble(axes):
    return [made for made in axes.collections if isinstance(made, LineCollection)]


def curve(axes, name):
    (line,) = [line for line in axes.lines if line.get_label() == name]
    return line.get_xydata().T


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:])


def test_lines_show_every_plane_the_mean_and_the_references(plain, tmp_path):
    figure = plots.plot(plain, tmp_path / "a.png")
    (axes,) = figure.axes
    (lines,) = ensemble(axes)
    assert len(lines.get_segments()) == 20 and len(lines.get_segments()[0]) == A + 1
    assert legend(figure) == ["one plane each", "mean of all planes", "self-SRM", "median", "isotropic rows"]
    x, y = curve(axes, "mean of all planes")
    assert x[0] == 0 and x[-1] == 2 * np.pi and y[0] == y[-1]
    np.testing.assert_array_equal(y[:-1], plain.mean()[0, 0])
    assert axes.get_xlim() == (0, 2 * np.pi) and axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] >= plain.fraction().max()
    assert figure.get_suptitle() == "acts.zarr · standard basis · 300 rows · 20 planes · ε = 0.8"
    assert png_size(tmp_path / "a.png") == tuple((figure.get_size_inches() * 200).astype(int))


def test_angles_are_ticked_in_quarter_turns_and_by_direction(plain):
    axes = plots.plot(plain).axes[0]
    np.testing.assert_allclose(axes.get_xticks(), np.arange(5) * np.pi / 2)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "π/2", "π", "3π/2", "2π"]
    (top,) = axes.child_axes
    places = dict(zip([tick.get_text() for tick in top.get_xticklabels()], top.get_xticks(), strict=True))
    assert places["$b_j$"] == pytest.approx(np.pi / 2) and places["$-b_i$"] == pytest.approx(np.pi)
    assert places["$-b_j$"] == pytest.approx(3 * np.pi / 2)
    colours = {tick.get_text(): tick.get_color() for tick in top.get_xticklabels()}
    assert colours["$b_j$"] == "black" and colours["$-b_j$"] != "black"  # the negative is not in this basis


def test_negatives_in_the_basis_are_marked_like_the_others(rng):
    result = make(aligned(rng, 100, 3), np.concatenate([np.eye(3), -np.eye(3)]))
    (top,) = plots.plot(result).axes[0].child_axes
    assert {tick.get_color() for tick in top.get_xticklabels()} == {"black"}


def test_planes_of_different_angles_get_a_strip_of_angles(rng):
    basis = rng.normal(size=(6, 4))
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    result = make(aligned(rng, 200, 4), basis, (0.6,))
    (axes,) = plots.plot(result).axes
    (strip,) = [patch for patch in axes.patches if patch.get_label() == "_angles of b_j"]
    share, edges, _ = strip.get_data()
    assert np.count_nonzero(share > 1.01) <= 15 and (edges[0], edges[-1]) == (0, np.pi)
    assert "$b_j$" not in [tick.get_text() for tick in axes.child_axes[0].get_xticklabels()]
    assert axes.get_ylim()[1] < 1.2 * result.fraction().max()


def test_many_planes_are_thinned_and_the_figure_says_so(plain, monkeypatch):
    monkeypatch.setattr(plots, "DRAWN", 8)
    figure = plots.plot(plain)
    (lines,) = ensemble(figure.axes[0])
    assert len(lines.get_segments()) == 8
    assert "drawn: 8 of 20 planes with rows, the highest and then evenly by peak" in words(figure)
    assert "5–95 % of planes" in legend(figure)
    peaks = np.sort(plain.fraction().max(axis=-1).ravel())[::-1]
    drawn = [segment[:, 1].max() for segment in lines.get_segments()]
    assert drawn[:2] == peaks[:2].tolist() and drawn[-1] == peaks[-1]


def test_chosen_planes_are_named(plain):
    figure = plots.plot(plain, planes=[(0, 1), (3, 2)])
    assert legend(figure)[:2] == ["0 → 1", "3 → 2"] and not ensemble(figure.axes[0])
    at = [(i, j) for i, j in zip(plain.plane_i, plain.plane_j, strict=True)].index((3, 2))
    np.testing.assert_array_equal(curve(figure.axes[0], "3 → 2")[1][:-1], plain.fraction()[0, 0, at])
    assert "2 of 20 planes drawn" in words(figure)
    highest = plain.top_planes(1)[0]
    assert f"{highest['plane_i']} → {highest['plane_j']}" in legend(plots.plot(plain, planes=1))
    with pytest.raises(InputError, match="planes must be among those kept, got 0 → 9"):
        plots.plot(plain, planes=[(0, 9)])
    with pytest.raises(InputError, match="planes must be at least 1"):
        plots.plot(plain, planes=0)


def test_self_srm_shares_the_axis_only_near_the_data(plain, monkeypatch):
    peak = plain.mean().max()
    for height, name in ((1.2 * peak, "self-SRM"), (9 * peak, "self-SRM, scaled to the same peak")):
        monkeypatch.setattr(Result, "self_srm", lambda self, top=height: np.linspace(0, top, A)[None])
        axes = plots.plot(plain).axes[0]
        shown = curve(axes, name)[1].max()
        assert shown == pytest.approx(height if name == "self-SRM" else peak)


def test_a_self_srm_that_cannot_be_had_is_left_out(plain, monkeypatch):
    def refuse(self):
        raise InputError("self-SRM needs at least one kept plane")

    monkeypatch.setattr(Result, "self_srm", refuse)
    assert not any("self-SRM" in name for name in legend(plots.plot(plain)))


def test_signed_curves_are_differences(plain):
    figure = plots.plot(plain, signed=True)
    (axes,) = figure.axes
    got = np.stack([segment[:-1, 1] for segment in ensemble(axes)[0].get_segments()])
    order = np.argsort(-plain.counts[0, 0].max(axis=-1), kind="stable")
    np.testing.assert_allclose(got, plain.signed()[0, 0][order], atol=1e-15)
    assert axes.get_ylim()[0] == -axes.get_ylim()[1] and axes.get_ylabel() == "f(θ) − f(θ + π)"


def test_signed_is_refused_where_it_means_nothing(rng):
    result = make(aligned(rng, 20, 3), np.eye(3), (-0.2,))
    with pytest.raises(InputError, match="signed SRM needs every epsilon above 0"):
        plots.plot(result, signed=True)


@pytest.mark.parametrize("keep", ["hit", "summary"])
def test_what_was_not_kept_is_said(rng, keep):
    rows = np.zeros((40, 4))
    rows[:, 0] = 1.0
    figure = plots.plot(make(rows, np.eye(4), keep=keep))
    hit = "6 of 12 planes drawn (kept: hit)"
    assert (hit if keep == "hit" else "only the sum over planes was kept") in words(figure)
    assert "median" not in legend(figure) and ("median 0" in words(figure)) == (keep == "hit")


def test_an_empty_picture_proposes_an_epsilon(rng, tmp_path):
    result = make(rng.normal(size=(10, 40)), np.eye(40)[:3], (0.99,))
    figure = plots.plot(result, tmp_path / "empty.png")
    assert "no row within ε = 0.99 of any plane\ntry ε = 0.42" in words(figure)
    assert not figure.axes[0].lines or not ensemble(figure.axes[0])


def test_a_large_mean_is_noted(rng):
    rows = aligned(rng, 100, 4)
    noted = "|mean|/rms = 0.93: the cloud's mean shapes this picture; compare --centre"
    assert noted in words(plots.plot(make(rows, np.eye(4), mean_over_rms=0.93)))
    assert "rms" not in words(plots.plot(make(rows, np.eye(4), mean_over_rms=0.3)))
    assert "rms" not in words(plots.plot(make(rows, np.eye(4), mean_over_rms=0.93, centred=True)))


def test_several_epsilons_get_panels_and_a_map(rng, tmp_path):
    result = make(aligned(rng, 300, 5), np.eye(5), (0.9, 0.5, 0.7))
    figure = plots.plot(result, tmp_path / "e.png")
    panels = [axes for axes in figure.axes if ensemble(axes)]
    assert [axes.get_title("left") for axes in panels] == ["ε = 0.9", "ε = 0.5", "ε = 0.7"]
    (mapped,) = [axes for axes in figure.axes if axes.get_ylabel() == "ε"]
    assert [tick.get_text() for tick in mapped.get_yticklabels()] == ["0.5", "0.7", "0.9"]  # in order
    assert "mean f / isotropic rows" in words(figure)
    only = plots.plot(result, epsilon=0.7)
    assert len(only.axes) == 1 and "ε = 0.7" in only.get_suptitle()


def test_a_map_holds_the_mean_over_isotropic_rows(rng):
    result = make(aligned(rng, 400, 4), np.eye(4), (0.7, 0.5))
    figure = plots.plot(result, kind="heatmap")
    (mesh,) = [made for made in figure.axes[0].collections if isinstance(made, QuadMesh)]
    ratio = (result.mean()[0] / result.null()[:, None])[::-1]
    np.testing.assert_allclose(mesh.get_array()[:, :-1], ratio)
    assert mesh.norm.vmin * mesh.norm.vmax == pytest.approx(1.0)  # isotropic is the middle colour
    signed = plots.plot(result, kind="heatmap", signed=True)
    assert "mean of f(θ) − f(θ + π)" in words(signed)


def test_a_map_far_from_isotropic_shows_the_share_itself(rng):
    result = make(aligned(rng, 200, 40, 0.1), np.eye(40)[:4], (0.9, 0.8))
    figure = plots.plot(result, kind="heatmap")
    assert "mean f (share of rows)" in words(figure) and "hold no row" in words(figure)


def test_six_epsilons_show_four_panels(rng):
    result = make(aligned(rng, 60, 3), np.eye(3), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8))
    figure = plots.plot(result)
    assert sum(bool(ensemble(axes)) for axes in figure.axes) == 4 and "4 of 6 ε have a panel" in words(figure)
    assert len(plots.plot(result, kind="lines").axes) == 4


def test_a_mean_far_below_its_planes_gets_a_strip_of_its_own(wide, tmp_path):
    axes, strip = plots.plot(wide, tmp_path / "wide.png").axes
    assert ensemble(axes) and not ensemble(strip)
    np.testing.assert_array_equal(curve(strip, "mean of all planes")[1][:-1], wide.mean()[0, 0])
    assert axes.get_ylim()[1] > 0.6 and wide.mean().max() < strip.get_ylim()[1] < 0.1
    assert axes.get_ylim()[0] == strip.get_ylim()[0] == 0 and axes.get_xlim() == strip.get_xlim()
    assert curve(strip, "self-SRM, scaled to the same peak")[1].max() == pytest.approx(wide.mean().max())
    assert strip.get_ylabel() == "mean" and "10^{−2}" in strip.yaxis.get_offset_text().get_text()
    assert axes.get_position().width == strip.get_position().width


def test_curves_too_low_to_see_are_told_instead(wide):
    figure = plots.plot(wide)
    assert not {"median", "isotropic rows"} & set(legend(figure))
    assert "too low to see: median 0, isotropic rows" in words(figure)
    deep = make(np.eye(3), np.eye(3), (1.0 - 1e-12,))
    assert "isotropic rows" in words(plots.plot(deep))


def test_one_plane_is_a_curve_and_no_mean(plain):
    at = plots.part(plain)
    alone = Result(
        at.counts[:, :, :1], at.counts[:, :, 0], at.fold_total, at.rows_used, at.angle, at.epsilon, at.label,
        at.plane_i[:1], at.plane_j[:1], at.plane_angle[:1], at.basis, {**at.attrs, "planes_total": 1, "planes_hit": 1},
    )  # fmt: skip
    figure = plots.plot(alone)
    assert "neurons 0 → 1" in figure.get_suptitle() and "mean of all planes" not in legend(figure)
    np.testing.assert_array_equal(curve(figure.axes[0], "f in this plane")[1][:-1], plain.fraction()[0, 0, 0])


def test_a_picture_is_checked_before_the_work(tmp_path):
    assert plots.check_picture(None) is None
    assert plots.check_picture(str(tmp_path / "a.PDF")) == tmp_path / "a.PDF"
    with pytest.raises(InputError, match="must end in .png, .pdf, .svg"):
        plots.check_picture(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="the folder of a figure must exist"):
        plots.check_picture(tmp_path / "none" / "a.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pie"}, "kind must be one of auto, lines, heatmap, labels, "),
        ({"kind": "heatmap"}, "kind heatmap needs at least 2 epsilons, got 1"),
        ({"kind": "labels"}, "kind labels needs several labels"),
        ({"epsilon": 0.3}, "epsilon must be one of the result's, 0.8, got 0.3"),
        ({"label": "cat"}, "label must be one of all, got 'cat'"),
        ({"path": "a.gif"}, "a figure must end in .png, .pdf, .svg, got a.gif"),
        ({"path": "nowhere/a.png"}, "the folder of a figure must exist, got nowhere; create it first"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(plain, options, message):
    with pytest.raises(InputError) as caught:
        plots.plot(plain, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_same_result_makes_the_same_file(plain, tmp_path, suffix, magic):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    plots.plot(plain, first, dpi=80)
    plots.plot(plain, second, dpi=80)
    assert first.read_bytes().startswith(magic) and first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.name, second.name]


def test_a_figure_that_cannot_be_written_leaves_nothing(plain, tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match="cannot be written: Is a directory"):
        plots.plot(plain, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_drawing_leaves_matplotlib_as_it_was(plain):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.plot(plain)
    assert dict(matplotlib.rcParams) == before
