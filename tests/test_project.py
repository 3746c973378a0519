"""Projections on planes: which rows a plane accepts and where they lie, against the definition and the author's function."""

import numpy as np
import pytest
from cases import BASES, ROWS, basis, rows

import srmfast
from srmfast import naive
from srmfast.bases import load_basis
from srmfast.compat import PrivilegedPlaneProjectiveMethod
from srmfast.engine.projecting import project


def definition(x, found, at=slice(None)):
    pairs = list(zip(found.plane_i[at].tolist(), found.plane_j[at].tolist(), strict=True))
    sectors, rings = found.total.shape[2:]
    return naive.projected(x, found.basis, pairs, found.epsilon, sectors, rings, found.extent)


def cells(found):
    flat = found.counts.reshape(*found.counts.shape[:3], -1)
    return np.concatenate([flat, found.beyond[..., None]], axis=-1)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("vectors", BASES)
def test_cells_are_those_of_the_definition(kind, vectors, rng):
    x, b = rows(kind, 300, 8, rng), basis(vectors, 8, rng)
    x[7] = 0
    found = project(x, b, epsilon=[0.9, 0.5, -1.0], planes="permutations", sectors=16, rings=5, extent=2.0, keep="all")
    wanted = definition(x, found)
    assert (cells(found)[0] == wanted).all()
    assert (found.total[0].reshape(3, -1) == wanted[..., :-1].sum(axis=1)).all()
    zero = int((naive.pinned_dot(x.astype(np.float64), x.astype(np.float64)) == 0).sum())
    assert found.attrs["rows"]["zero_norm"] == zero and (found.accepted[0, 2] == 300 - zero).all()


def test_a_search_with_planes_kept_by_hit_finds_the_same(rng, tmp_path):
    x = rng.normal(size=(700, 96)) * (rng.random((700, 96)) < 0.05)
    x[::7] = np.eye(96)[rng.integers(0, 96, 100)]
    x = x.astype(np.float16)
    for b in ("standard", np.linalg.qr(rng.normal(size=(96, 96)))[0], rng.normal(size=(100, 96))):
        rows_ = x if isinstance(b, str) else (x @ (b[:96] if len(b) == 96 else np.eye(96))).astype(np.float32)
        common = dict(epsilon=0.8, sectors=16, rings=4, planes="permutations")
        found = project(rows_, b, threads=1, keep="all", **common)
        at = np.r_[np.argsort(-found.accepted[0, 0])[:60], rng.integers(0, found.plane_i.size, 60)]
        assert (cells(found)[0][:, at] == definition(rows_, found, at)).all()
        hit = project(rows_, b, threads=2, block_rows=64, keep="hit", memory="256MiB", **common)
        assert found.attrs["planes_hit"] == hit.plane_i.size < found.plane_i.size
        assert (hit.total == found.total).all() and (hit.counts.sum(axis=2) == found.total).all()


def test_isotropic_rows_are_accepted_as_often_as_the_formula_says(rng):
    wide = project(rng.normal(size=(50, 768)), "standard", epsilon=0.05, extent=9.0, planes="random:9")
    assert wide.expected.sum() * 72 / 50 == pytest.approx(0.9975**383, rel=1e-3)
    for d, epsilon, share in ((8, 0.8, 0.046656), (16, 0.85, 1.267e-4)):
        x = rng.normal(size=(100_000, d))
        found = project(x, "standard", epsilon=epsilon)
        assert found.expected.sum() * 72 / len(x) == pytest.approx(share, rel=1e-3)
        spread = np.sqrt(share / (found.planes_total * len(x)))
        assert abs(found.acceptance()[0, 0] - share) < 5 * spread
        rings, expected = found.total[0, 0].sum(axis=0), found.expected[0, 0, :-1] * 72 * found.planes_total
        seen = expected > 60
        assert seen.sum() > 3 and (np.abs(rings - expected)[seen] < 5 * np.sqrt(expected[seen])).all()


def test_a_width_of_two_has_one_plane_that_accepts_everything(rng):
    found = project(rng.normal(size=(1000, 2)), "standard", epsilon=0.99, extent=9.0)
    assert found.acceptance()[0, 0] == 1 and found.expected.sum() * 72 == pytest.approx(1000)


@pytest.mark.parametrize("kind", ["PERM", "COMB"])
@pytest.mark.parametrize("epsilon", [0.85, 0.4, -0.3])
def test_as_many_rows_as_in_the_authors_function(kind, epsilon, rng):
    b = load_basis(rng.normal(size=(6, 5)), 5).vectors
    b = np.concatenate([b, -b[:1]])
    x = rng.normal(size=(500, 5))
    x[3] = 0
    points = PrivilegedPlaneProjectiveMethod(
        latent_layer_activations=x, privileged_basis=b, epsilon=epsilon, perm_or_comb=kind
    )
    found = project(x, b, epsilon=epsilon, planes={"PERM": "permutations", "COMB": "combinations"}[kind])
    assert found.total_accepted[0, 0] == len(points)
    assert found.attrs["skipped_planes"] == {"PERM": 2, "COMB": 1}[kind]
    assert found.attrs["rows"]["used"] == 499


def test_points_are_streamed_with_their_rows_and_planes(rng, tmp_path):
    x, b = rng.normal(size=(900, 6)).astype(np.float32), rng.normal(size=(4, 6))
    found = project(x, b, epsilon=[0.9, 0.6], rows="100:900:2", points=tmp_path / "p.npy", threads=2, block_rows=16)
    points = np.load(tmp_path / "p.npy")
    assert len(points) == found.total_accepted[0, 1] and len(np.unique(points[["plane_i", "plane_j", "row"]])) == len(
        points
    )
    assert points["row"].min() >= 100 and (points["row"] % 2 == 0).all()
    b = found.basis
    for i, j, row, u, v in points[:: len(points) // 50].tolist():
        g, s = naive.plane(b[i], b[j])
        assert u == naive.pinned_dot(x[row], b[i]) and v == (naive.pinned_dot(x[row], b[j]) - g * u) / s
        assert np.hypot(u, v) >= 0.6 * np.linalg.norm(x[row].astype(float)) * (1 - 1e-12)
    assert not list(tmp_path.glob("*.wip"))


def test_an_oblique_second_vector_is_not_the_second_axis(tmp_path):
    thirty = np.array([[1.0, 0.0, 0.0], [np.sqrt(0.75), 0.5, 0.0]])
    project(2 * thirty[1:], thirty, epsilon=0.9, points=tmp_path / "p.npy")
    assert np.load(tmp_path / "p.npy")[["u", "v"]].tolist()[0] == pytest.approx((1.7320508, 1.0))


def test_labels_masks_and_the_mean_are_those_of_a_run(rng):
    x, labels = rng.normal(size=(600, 5)) + 2.0, rng.integers(0, 3, 600)
    mask = rng.random(600) < 0.8
    found = project(x, "standard", epsilon=0.7, labels=labels, mask=mask, centre=True, extent=1.5, sectors=8, rings=3)
    mean = x[mask].mean(axis=0)
    assert found.label.tolist() == ["0", "1", "2"] and found.attrs["rows"]["masked"] == {"mask": int((~mask).sum())}
    for c in range(3):
        one = project(x[mask & (labels == c)] - mean, "standard", epsilon=0.7, extent=1.5, sectors=8, rings=3)
        assert (one.counts[0] == found.counts[c]).mean() > 0.99  # the mean of a run is summed in another order
        assert one.expected[0] == pytest.approx(found.expected[c], rel=1e-6)


def test_saved_and_loaded_it_is_the_same(rng, tmp_path):
    import xarray

    found = srmfast.project(rng.normal(size=(400, 4)), "plusminus", epsilon=0.6)
    found.save(tmp_path / "p.zarr")
    again = srmfast.load(tmp_path / "p.zarr")
    assert type(again) is type(found) and again.summary() == found.summary()
    for name in found.VARIABLES:
        assert np.array_equal(getattr(again, name), getattr(found, name)), name
    with xarray.open_zarr(tmp_path / "p.zarr") as opened:
        assert int(opened["counts"].sum()) == int(found.counts.sum())


def test_the_highest_planes_and_the_ratio_to_a_null(rng):
    x = rng.normal(size=(3000, 6)) * [3, 2, 1, 1, 1, 1]
    whole = project(x, "standard", epsilon=0.9, extent=9.0)
    top = project(x, "standard", epsilon=0.9, extent=9.0, keep="top:2")
    order = np.argsort(-whole.accepted[0, 0], kind="stable")[:2]
    assert (top.counts == whole.counts[:, :, np.sort(order)]).all() and (top.total == whole.total).all()
    null = project(x, "random:6", epsilon=0.9, extent=9.0)
    assert np.nanmax(whole.ratio(null)) > 1 and np.isfinite(whole.ratio()[whole.total > 0]).all()
    with pytest.raises(srmfast.InputError, match="same labels, epsilons and cells"):
        whole.ratio(project(x, "random:6", epsilon=0.9, extent=8.0))


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(planes="active:5"), "not chosen while projecting"),
        (dict(sectors=20), "multiple of 8, got 20; try 24"),
        (dict(rings=0), "rings must be a whole number of at least 1"),
        (dict(extent=-1.0), "finite distance above 0"),
        (dict(zero_rows="keep"), "zero norm has no direction"),
        (dict(epsilon=2.0), "must lie in"),
    ],
)
def test_what_cannot_be_used_is_refused(options, words):
    with pytest.raises(srmfast.InputError, match=words):
        project(np.eye(4), "standard", **options)


def test_the_command_writes_counts_points_and_a_strip(rng, tmp_path, srmfast_main):
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(500, 6)).astype(np.float32))
    words = f"project {tmp_path}/a.npy {tmp_path}/b.npy --basis standard --basis random:6 --epsilon 0.7"
    ended = srmfast_main(f"{words} -o {tmp_path}/o.zarr --plot {tmp_path}/o.png --progress none")
    assert ended.rc == 0 and "a projected on 15 planes of standard" in ended.stdout
    assert (tmp_path / "o.png").stat().st_size > 10_000
    found = srmfast.load(tmp_path / "o.zarr")
    assert list(found) == [(store, basis) for store in "ab" for basis in ("standard", "random:6")]
    assert len(found.plot(against="random:6").axes) == 3
    assert srmfast_main(f"plot {tmp_path}/o.zarr -o {tmp_path}/q.svg").rc == 0
    assert srmfast_main(f"show {tmp_path}/o.zarr").stdout.startswith("a projected on")
    ended = srmfast_main(f"{words} -o {tmp_path}/p.zarr --points {tmp_path}/p.npy")
    assert ended.rc == 1 and "points are of one store and one basis" in ended.stderr
    assert not (tmp_path / "p.npy").exists() and not (tmp_path / "p.zarr").exists()


def test_what_is_no_run_is_told_so_in_one_line(rng, tmp_path, srmfast_main):
    project(rng.normal(size=(200, 4)), epsilon=0.8).save(tmp_path / "p.zarr")
    np.save(tmp_path / "x.npy", rng.normal(size=(60, 4)))
    for words in ("diff {0}/p.zarr {0}/p.zarr", "verify {0}/p.zarr", "reproduce {0}/p.zarr", "neurons {0}/p.zarr"):
        ended = srmfast_main(words.format(tmp_path))
        assert ended.rc == 1 and ended.stderr.startswith("srmfast: ") and ended.stderr.count("\n") == 1, words
    ended = srmfast_main(f"plot {tmp_path}/p.zarr -o {tmp_path}/p.png --signed")
    assert ended.rc == 1 and "takes no signed" in ended.stderr
    assert srmfast_main(f"show {tmp_path}/p.zarr --csv {tmp_path}/p.csv").rc == 0
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0].startswith("label,epsilon,plane_i") and len(lines) > 50


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**400])
def test_rows_at_the_ends_of_float64_fall_into_the_cells_of_the_definition(scale, rng):
    x, b = rng.normal(size=(300, 6)) * scale, rng.normal(size=(5, 6))
    found = project(x, b, epsilon=0.7, sectors=16, rings=5, extent=2.0 * scale)
    assert (cells(found)[0] == definition(x, found)).all() and found.accepted.sum() > 100
