"""Every way of finding and keeping planes gives the counts of the definition: scan and search, own and shared."""

import functools
import sys

import cases
import numpy as np
import pytest

import srmfast
from srmfast import naive
from srmfast.engine import basis, block, plan
from srmfast.engine.warm import warm
from srmfast.kernels import scan
from srmfast.spec import Resources

N = 157


@pytest.fixture
def searching(monkeypatch):
    """Make every basis be searched for which that is right at all."""
    monkeypatch.setattr(basis, "SEARCH_FROM", 2)
    monkeypatch.setattr(basis, "_TEST", 1e12)


def method(result):
    return result.attrs["provenance"]["method"]


def assert_right(x, result, most=400):
    """Compare the counts of some planes with the definition, and the totals with the sum over planes."""
    some = np.random.default_rng(0).permutation(result.plane_i.size)[:most]
    pairs = list(zip(result.plane_i[some].tolist(), result.plane_j[some].tolist(), strict=True))
    assert (result.counts[0][:, some] == naive.counts(x, result.basis, pairs, result.epsilon, result.angle.size)).all()
    if result.attrs["kept"] == "all":
        assert (result.counts.sum(axis=2) == result.total).all()


@pytest.mark.parametrize(
    "rows, kind, d, planes", cases.pairwise(cases.ROWS, cases.BASES, [3, 16, 33], ["permutations", "combinations"])
)
def test_a_search_counts_what_the_definition_counts(searching, rows, kind, d, planes, rng):
    x = cases.rows(rows, N, d, rng)
    x[:9, 1] = 40 * (1 + x[:9, 0])  # rows with one massive entry
    b = cases.basis(kind, d, rng)
    a = cases.GRIDS[(d + len(rows) + len(kind)) % len(cases.GRIDS)]
    result = srmfast.run(x, b, epsilon=(0.3, 0.5, float(np.sqrt(0.5)), 0.9, 1.0), angles=a, planes=planes, keep="all")
    assert method(result) == "search"
    assert_right(x, result)


@pytest.mark.parametrize("planes", ["permutations", "combinations", "random:40"])
@pytest.mark.parametrize("kind", [kind for kind in cases.BASES if kind not in ("standard", "plusminus", "rotated")])
@pytest.mark.parametrize("way", ["scan", "search"])
def test_angles_between_vectors_that_do_not_fit_as_matrices_are_the_same(way, kind, planes, monkeypatch, rng):
    monkeypatch.setattr(basis, "SEARCH_FROM", 2 if way == "search" else 1 << 30)
    monkeypatch.setattr(basis, "_TEST", 1e12)
    monkeypatch.setattr(sys.modules["srmfast.engine.prepare"], "GEOMETRY_SHARE", 0)
    x, b = 3 * rng.normal(size=(N, 16)), cases.basis(kind, 16, rng)
    x[:9, 1] = 40 * (1 + x[:9, 0])
    result = srmfast.run(x, b, epsilon=(0.3, 0.5, 0.9), angles=24, planes=planes, keep="all")
    assert method(result) == ("scan" if planes == "random:40" else way)
    assert_right(x, result)


@pytest.mark.parametrize(
    "dtype, kind, centre",
    cases.pairwise(
        ["float16", "bfloat16", "float32", "float64", "int8", "float8_e4m3fn", "float8_e5m2"],
        ["standard", "plusminus", "rotated", "oblique"],
        [False, True],
    ),
)
def test_wide_layers_of_every_type_are_searched_and_right(dtype, kind, centre, rng):
    d = 96
    x = 3 * rng.normal(size=(N, d))
    x[:40, 7] *= 30
    x[40] = 0
    if dtype == "bfloat16" or dtype.startswith("float8"):
        import ml_dtypes

        x = np.clip(x, -200, 200).astype(np.float32).astype(getattr(ml_dtypes, dtype))
    else:
        x = x.astype(dtype)
    values = x.astype(np.float64)
    b = cases.basis(kind, d, rng) if kind != "plusminus" else "plusminus"
    mean = rng.normal(size=d) if centre else False
    result = srmfast.run(x, b, epsilon=(0.3, 0.6), angles=24, keep="all", centre=mean)
    assert method(result) == "search" and result.total.sum()
    assert_right(values - mean if centre else values, result)


@pytest.mark.parametrize(
    "way, kind, planes",
    cases.pairwise(
        ["scan", "search"],
        ["standard", "rotated", "oblique", "parallel"],
        ["permutations", "combinations", "random:50", "neighbours"],
    ),
)
def test_threads_that_share_planes_in_stripes_change_nothing(way, kind, planes, monkeypatch, rng):
    """Small buffers that fill up everywhere, planes kept by hit, and seven threads on one ledger."""
    d = 40
    x = rng.normal(size=(3001, d)).astype(np.float32)
    x[::3, 4] *= 9
    b = cases.basis(kind, d, rng)
    labels = rng.integers(0, 3, len(x))
    options = dict(epsilon=(0.4, 0.7), angles=20, planes=planes, labels=labels)
    monkeypatch.setattr(basis, "SEARCH_FROM", 2 if way == "search" else 10**9)
    monkeypatch.setattr(basis, "_TEST", 1e12)
    alone = srmfast.run(x, b, threads=1, keep="all", **options)
    assert method(alone) == ("search" if way == "search" and planes[0] in "pc" else method(alone))
    monkeypatch.setattr(block, "ROOM", scan.STRIP + 2)
    monkeypatch.setattr(block, "LARGE", 1)
    monkeypatch.setattr(plan, "_DENSE_SHARE", 0.0)
    hit = srmfast.run(x, b, threads=7, keep="hit", block_rows=64, **options)
    assert hit.attrs["provenance"]["threads"] == 7
    everything = srmfast.run(x, b, threads=7, keep="all", block_rows=64, **options)
    summary = srmfast.run(x, b, threads=3, keep="summary", block_rows=100, **options)
    assert (everything.counts == alone.counts).all()
    seen = alone.counts.any(axis=(0, 1, 3))
    assert (hit.plane_i == alone.plane_i[seen]).all() and (hit.plane_j == alone.plane_j[seen]).all()
    assert (hit.counts == alone.counts[:, :, seen]).all() and hit.attrs["planes_hit"] == seen.sum()
    for other in (hit, everything, summary):
        assert (other.fold_total == alone.fold_total).all()
        assert other.attrs["provenance"]["arcs"] == alone.attrs["provenance"]["arcs"]


def test_planes_kept_in_full_are_shared_when_there_are_too_many_threads_for_copies():
    def make(threads, memory=1 << 30):
        size = plan.BasisSize(256, 65280, 0, 0, "search")
        return plan.make_plan(
            n=10**6, d=64, itemsize=2, format="npy", unit_rows=1, readers=4, bases=[size], c=1, e=1, a=360, keep="all",
            resources=Resources(threads, memory),
        )  # fmt: skip

    assert make(4).stripes == 1
    assert make(64, 2 << 30).stripes > 64 and make(64, 2 << 30).nbytes <= 2 << 30


@pytest.mark.parametrize("a", [2, 3, 4, 7, 8, 12, 10])
@pytest.mark.parametrize("kind", ["standard", "rotated", "oblique"])
def test_grids_too_coarse_to_guess_are_decided_by_the_line(a, kind, searching, rng):
    x = rng.normal(size=(N, 6))
    result = srmfast.run(x, cases.basis(kind, 6, rng), epsilon=(0.3, 0.8), angles=a, keep="all")
    assert_right(x, result)


@pytest.mark.parametrize("kind", ["standard", "rotated", "oblique"])
@pytest.mark.parametrize("scale", [1.0, 2.0**-460, 2.0**-520, 1e-155, 1e150])
def test_rows_whose_squares_underflow_are_not_lost_by_a_search(scale, kind, searching, rng):
    x = rng.normal(size=(N, 20))
    x[::5] *= scale
    x[3] = 0
    x[3, 2] = scale
    result = srmfast.run(x, cases.basis(kind, 20, rng), epsilon=(0.3, 0.8), angles=24, keep="all")
    assert method(result) == "search"
    assert_right(x, result)


def test_pairs_too_near_to_parallel_for_the_search_are_tried_on_every_row(searching, rng):
    b = rng.normal(size=(40, 30))
    b[20:] = b[:20] + 0.02 * rng.normal(size=(20, 30))
    x = np.concatenate([rng.normal(size=(N, 30)), b + 0.3 * rng.normal(size=b.shape), b[:20] - b[20:]])
    result = srmfast.run(x, b, epsilon=(0.35, 0.9), angles=36, keep="all")
    assert method(result) == "search" and result.total.sum()
    assert_right(x, result, 2000)


def test_the_choice_between_scan_and_search_is_said(rng):
    from srmfast.engine.prepare import prepare
    from srmfast.engine.request import Request

    def lines(d, **options):
        request, resources = Request(**options), Resources(1, 1 << 30)
        (member,) = prepare([("x", rng.normal(size=(9, d)))], [("", "standard")], request, resources)
        return member.describe(resources)

    assert "scan     every pair on every row: there are fewer than 64 vectors" in lines(8)
    assert "search   only near large coordinates: a row in a plane has |cos| >= 0.354" in lines(128, epsilon=0.5)
    assert "scan     every pair on every row: with this epsilon" in lines(128, epsilon=-0.5)
    assert "too many to search" in lines(128, epsilon=0.01)
    assert "scan     every listed plane on every row" in lines(128, planes="random:7")


@functools.cache
def thompson():
    return srmfast.load_basis("thompson:90", 70)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int8", "float8_e5m2"])
@pytest.mark.parametrize("centred", ["no", "found", "given"])
def test_whatever_a_run_needs_is_compiled_before_it(dtype, centred, rng):
    """A kernel missed by `warm` would be compiled in the midst of a run, unannounced."""
    import ml_dtypes
    from numba.core.dispatcher import Dispatcher

    from srmfast.kernels import arcs, count, decode, ends, expand, frames, moments, pairs, rows, scan, search

    def compiled():
        modules = (arcs, count, decode, ends, expand, frames, moments, pairs, rows, scan, search)
        kernels = {f"{m.__name__}.{n}": f for m in modules for n, f in vars(m).items() if isinstance(f, Dispatcher)}
        return {name: len(kernel.signatures) for name, kernel in kernels.items()}

    d = 70
    x = (3 * rng.normal(size=(200, d))).astype(getattr(ml_dtypes, dtype, dtype))
    mean = {"no": False, "found": True, "given": rng.normal(size=d)}[centred]
    kinds = "standard", srmfast.load_basis("random:70", 70), thompson()
    warm(dtype, centred=centred != "no")
    before = compiled()
    rules = {}, {"labels": rng.integers(0, 3, 200), "mask": rng.random(200) < 0.9}
    for kind, planes, rule in cases.pairwise(kinds, ("permutations", "random:9", "active:9"), rules):
        srmfast.run(x, kind, epsilon=0.4, planes=planes, centre=mean, angles=12, **rule)
    assert compiled() == before
