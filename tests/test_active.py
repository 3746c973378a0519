"""Planes "active:P": chosen by their hits on half of the rows, counted on all, judged on the other half."""

import sys

import cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import srmfast
from srmfast import archive, naive
from srmfast.bases import load_basis
from srmfast.engine import active, basis, hits, plan
from srmfast.engine.basis import PreparedBasis
from srmfast.engine.prepare import prepare
from srmfast.errors import InputError
from srmfast.geometry import Geometry

N, D, A, EPSILON = 257, 6, 24, (0.6, 0.8)


def definition(x, vectors, most, folds, epsilons=EPSILON, a=A):
    """Choose planes i < j by the rows of `folds` in the widest cone at some angle, and count on all and the other rows."""
    chosen_by = folds[np.arange(len(x)) * 64 // len(x)]
    geometry = Geometry.of(load_basis(vectors, vectors.shape[1]))
    k = len(vectors)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k) if not geometry.is_parallel(i, j)]
    some = x[chosen_by & (naive.pinned_dot(x, x) > 0)]
    found = [naive.inside(some, vectors[i], vectors[j], min(epsilons), a).any(axis=1).sum() for i, j in pairs]
    order = np.lexsort((*np.array(pairs).T[::-1], -np.array(found)))
    best = sorted(pairs[n] for n in order[:most] if found[n])
    return best, naive.counts(x, vectors, best, epsilons, a), naive.counts(x[~chosen_by], vectors, best, epsilons, a)


def folds_of(result):
    return np.isin(np.arange(64), result.attrs["active_folds"])


def pairs_of(result):
    return list(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True))


@pytest.mark.parametrize("readings", [1, 3])
@pytest.mark.parametrize("way", ["scan", "search"])
@pytest.mark.parametrize("kind", cases.BASES)
def test_the_planes_with_most_hits_are_counted_and_judged_apart(kind, way, readings, monkeypatch, rng):
    monkeypatch.setattr(basis, "SEARCH_FROM", 2 if way == "search" else 1 << 30)
    monkeypatch.setattr(basis, "_TEST", 1e12)
    x = cases.rows("gaussian", N, D, rng)
    x[:90] += 3 * np.eye(D)[1]
    x[5] = 0
    b = cases.basis(kind, D, rng)
    if readings > 1:
        monkeypatch.setattr(active, "tiles", lambda k, room: [(0, 2), (2, k - 1), (k - 1, k)])
    events = []
    result = srmfast.run(x, b, epsilon=EPSILON, angles=A, planes="active:7", threads=3, on_event=events.append)
    best, counts, heldout = definition(x, result.basis, 7, folds_of(result))
    assert 0 < len(best) <= 7 and pairs_of(result) == best
    assert (result.counts[0] == counts).all() and (result.counts_heldout[0] == heldout).all()
    assert (result.counts.sum(axis=2) == result.total).all() and result.planes_total == len(best)
    assert [event.purpose for event in events if hasattr(event, "purpose")] == ["choose"] * readings + ["count"]
    finished = [event for event in events if type(event).__name__ == "PassFinished"]
    assert len(finished) == readings + 1
    assert result.heldout().rows.sum() == (~folds_of(result)[np.arange(N) * 64 // N]).sum() - (
        not folds_of(result)[5 * 64 // N]
    )


def test_labels_groups_and_centring_go_with_it(rng):
    x, labels, groups = rng.normal(size=(N, D)) + 2, rng.integers(0, 3, N), rng.integers(0, 9, N)
    common = dict(epsilon=0.7, angles=A, labels=labels, groups=groups, centre=True)
    result = srmfast.run(x, "standard", planes="active:5", **common)
    again = srmfast.run(x, "standard", planes=np.array(pairs_of(result)), **common)
    assert (result.counts == again.counts).all() and (result.fold_total == again.fold_total).all()
    assert (result.rows_used == again.rows_used).all() and result.attrs["rows"] == again.attrs["rows"]
    first = np.array([np.argmax(groups == group) for group in groups])
    away = ~folds_of(result)[first * 64 // N]
    assert 0 < away.sum() < N and all(np.unique(away[groups == group]).size == 1 for group in range(9))
    part = srmfast.run(
        x, "standard", planes=np.array(pairs_of(result)), mask=away, **common | {"centre": x.mean(axis=0)}
    )
    assert (result.counts_heldout == part.counts).all() and (result.heldout().rows == part.rows).all()


def test_threads_blocks_and_memory_choose_the_same_planes(rng, monkeypatch):
    x, b = rng.normal(size=(N, 9)), rng.normal(size=(90, 9))
    common = dict(epsilon=0.8, angles=A, planes="active:50")
    whole = srmfast.run(x, b, **common, threads=1)
    monkeypatch.setattr(plan, "_PAIR_SHARE", 1e-6)  # some pairs at a time
    for threads, rows in ((1, 7), (2, 64), (7, 3)):
        events = []
        result = srmfast.run(x, b, **common, threads=threads, block_rows=rows, memory="256MiB", on_event=events.append)
        assert result.attrs["spec_digest"] == whole.attrs["spec_digest"]
        assert (result.counts == whole.counts).all() and (result.counts_heldout == whole.counts_heldout).all()
        assert sum(getattr(event, "purpose", "") == "choose" for event in events) > 10


def test_the_other_half_is_another_seed(rng):
    x = rng.normal(size=(N, D))
    one, two = (srmfast.run(x, "standard", epsilon=0.7, planes="active:5", seed=seed) for seed in (0, 1))
    assert one.attrs["active_folds"] != two.attrs["active_folds"]
    for result in (one, two):
        assert abs(2 * int(result.heldout().rows.sum()) - N) <= N // 64 + 1  # as near to half as whole folds come


def test_several_bases_choose_their_own_planes(rng):
    from srmfast.engine import run_many
    from srmfast.engine.request import Request

    x = rng.normal(size=(N, D))
    bases = {"standard": "standard", "random": rng.normal(size=(30, D))}
    results = run_many({"x": x}, bases, Request(epsilon=0.7, planes="active:9"))
    for name, spec in bases.items():
        alone = srmfast.run(x, spec, epsilon=0.7, planes="active:9")
        assert pairs_of(results["x", name]) == pairs_of(alone)
        assert (results["x", name].counts_heldout == alone.counts_heldout).all()


def test_an_active_result_is_saved_shown_and_drawn(tmp_path, rng):
    result = srmfast.run(
        rng.normal(size=(N, D)), "standard", epsilon=0.7, planes="active:5", labels=rng.integers(0, 2, N)
    )
    archive.save(result, tmp_path / "out.zarr")
    loaded = archive.load(tmp_path / "out.zarr")
    assert (loaded.counts_heldout == result.counts_heldout).all()
    assert loaded.summary() == result.summary()
    assert "those with most hits on half of the rows" in loaded.summary() and "of those held out)" in loaded.summary()
    loaded.plot(tmp_path / "out.png")
    assert "judged  on the" in loaded.summary() and f"{int(loaded.heldout().rows.sum()):,} rows" in loaded.summary()
    (top,) = loaded.top_planes(1)
    assert 0 < top["fraction_heldout"] < 1
    everything = srmfast.run(rng.normal(size=(N, D)), "standard", epsilon=0.7)
    with pytest.raises(InputError, match=r"got permutations; run again with --planes active:P"):
        everything.heldout()


def test_what_cannot_be_chosen_is_said_in_one_line(rng):
    x = rng.normal(size=(N, 300))
    with pytest.raises(
        InputError, match=r"active:3 needs planes that are hit, but no row comes near one; try --epsilon"
    ):
        srmfast.run(x, "standard", epsilon=0.9, planes="active:3")
    with pytest.raises(InputError, match=r"some in two of the 64 folds, got rows in 1; use --planes permutations"):
        srmfast.run(x, "standard", epsilon=0.2, planes="active:3", groups=np.zeros(N, int))
    with pytest.raises(InputError, match=r"some in two of the 64 folds, got rows in 0"):
        srmfast.run(x, "standard", epsilon=0.2, planes="active:3", mask=np.zeros(N, bool))
    x[9:] = 0
    with pytest.raises(
        InputError, match=r"usable rows in both halves, but all those that would (choose|judge) the planes"
    ):
        srmfast.run(x[:, :6], "standard", epsilon=0.2, planes="active:3", mask=np.arange(N) >= 8)
    with pytest.raises(InputError, match=r"active:P needs a whole number"):
        srmfast.run(x, "standard", planes="active:none")


def test_the_plan_tells_of_both_passes(rng):
    from srmfast.engine.request import Request
    from srmfast.spec import Resources

    resources = Resources(2, 1 << 30)
    members = prepare([("x", rng.normal(size=(N, 99)))], [("", "standard")], Request(planes="active:3"), resources)
    text = members[0].describe(resources)
    assert "the 3 with most hits of 4,851 planes (active:3)" in text and "hits of pairs of vectors" in text


@given(st.integers(0, 1 << 62))
def test_pairs_are_numbered_by_their_larger_vector(number):
    number %= hits._pairs_below(1 << 24)
    (j,), (i,) = hits._pair_at(np.array([number]))
    assert 0 <= i < j and j * (j - 1) // 2 + i == number


@given(st.integers(2, 400), st.integers(1, 10**5))
def test_tiles_hold_every_vector_once_and_no_more_pairs_than_there_is_room_for(k, room):
    ranges = hits.tiles(k, room)
    assert [vector for low, high in ranges for vector in range(low, high)] == list(range(k))
    for low, high in ranges:
        assert high == low + 1 or hits._pairs_below(high) - hits._pairs_below(low) <= room


@pytest.mark.parametrize("together", [1 << 22, 5])
def test_the_highest_are_those_of_a_sort(together, monkeypatch, rng):
    monkeypatch.setattr(hits, "_LOOKED_AT", together)
    prepared = PreparedBasis(*_parts(rng.normal(size=(12, 4))), "none")
    best, everything = np.empty((0, 3), np.int64), []
    for low, high in ((0, 5), (5, 12)):
        ledger = hits.HitLedger(prepared, 1, 1, 8, low, high)
        ledger.hits[:] = rng.integers(0, 4, ledger.hits.size)
        j, i = hits._pair_at(hits._pairs_below(low) + np.arange(ledger.hits.size))
        everything += zip((-ledger.hits).tolist(), i.tolist(), j.tolist(), strict=True)
        best = ledger.highest(20, best)
    assert best.tolist() == [[-number, i, j] for number, i, j in sorted(everything) if number][:20]


def _parts(vectors):
    from srmfast.planes import choose_planes

    chosen = load_basis(vectors, vectors.shape[1])
    geometry = Geometry.of(chosen)
    return chosen, geometry, choose_planes("active:20", chosen, geometry)


@pytest.mark.parametrize("planes", ["permutations", "combinations"])
@pytest.mark.parametrize("kind", ["standard", "oblique"])
@pytest.mark.parametrize("k", [1, 5])
def test_the_highest_planes_are_found_when_not_all_that_are_hit_fit(k, kind, planes, monkeypatch, rng):
    x = rng.normal(size=(500, 40))
    b = cases.basis(kind, 40, rng)
    for place, pair in enumerate(((3, 5), (7, 11), (2, 1))):  # planes that some rows lie in, more than in any other
        x[place * 90 : (place + 1) * 90] += np.array([30.0, 20.0]) @ load_basis(b, 40).vectors[list(pair)]
    common = dict(epsilon=(0.6, 0.4), angles=60, planes=planes, keep=f"top:{k}", labels=rng.random(500) < 0.1)
    whole = srmfast.run(x, b, **common)
    monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    monkeypatch.setattr(sys.modules["srmfast.engine.passes"], "HIT_SHARE", 600 * 4 * 4 * 61 / (256 << 20))  # 600 planes
    for threads in (1, 3):
        events = []
        some = srmfast.run(x, b, **common, memory="256MiB", threads=threads, on_event=events.append)
        assert sum(getattr(event, "purpose", "") == "count" for event in events) == 3
        for name in ("counts", "total", "fold_total", "rows_used", "plane_i", "plane_j"):
            assert (getattr(some, name) == getattr(whole, name)).all(), name
        assert some.attrs["planes_hit"] in (None, whole.attrs["planes_hit"])
        assert some.attrs["provenance"]["arcs"] == whole.attrs["provenance"]["arcs"]
        assert some.attrs["mean_over_rms"] == whole.attrs["mean_over_rms"]


def test_highest_planes_that_are_not_certain_are_refused(monkeypatch, rng):
    monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    monkeypatch.setattr(sys.modules["srmfast.engine.passes"], "HIT_SHARE", 20 * 4 * 61 / (256 << 20))
    with pytest.raises(
        InputError, match=r"--keep top:9 must be certain, but the counts of only 20 planes .* may reach"
    ):
        srmfast.run(rng.normal(size=(500, 40)), "standard", epsilon=0.5, angles=60, keep="top:9", memory="256MiB")


@pytest.mark.parametrize("mode", ["dense", "hits"])
def test_the_highest_of_chosen_planes_are_ranked_by_all_rows(mode, monkeypatch, rng):
    if mode == "hits":
        monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    x = rng.normal(size=(640, 6))
    everything = srmfast.run(x, "standard", epsilon=0.6, planes="active:15", keep="all")
    highest = srmfast.run(x, "standard", epsilon=0.6, planes="active:15", keep="top:3")
    peaks = everything.counts.max(axis=(0, 1, 3))
    kept = np.sort(np.argsort(-peaks, kind="stable")[:3])
    assert pairs_of(highest) == [pairs_of(everything)[n] for n in kept]
    assert (highest.counts == everything.counts[:, :, kept]).all()
    assert (highest.counts_heldout == everything.counts_heldout[:, :, kept]).all()


@pytest.mark.parametrize("chosen", [dict(rows="0:900"), dict(mask=np.arange(6400) < 700), dict(sample=50)])
def test_both_halves_are_of_the_selected_rows(chosen, rng):
    x = rng.normal(size=(6400, D))
    for seed in range(4):
        result = srmfast.run(x, "standard", epsilon=0.6, planes="active:5", seed=seed, **chosen)
        away, everything = int(result.heldout().rows.sum()), int(result.rows.sum())
        assert 0 < away < everything
        if "sample" in chosen:
            assert abs(2 * away - everything) <= 10


def test_unequal_groups_are_divided_as_evenly_as_they_can(rng):
    groups = np.concatenate([np.zeros(100), np.arange(300) // 3 + 1])
    for seed in range(5):
        result = srmfast.run(
            rng.normal(size=(400, D)), "standard", epsilon=0.6, planes="active:5", groups=groups, seed=seed
        )
        assert 100 <= int(result.heldout().rows.sum()) <= 300


def test_the_memory_of_planes_that_are_hit_is_not_overshot_by_threads(monkeypatch, rng):
    """Stripes claim places before they take them: together they never take more than there are."""
    from srmfast.engine.ledger import Ledger, PlanesOverflow

    x = rng.normal(size=(4000, 200)) * (1 + 30 * (rng.random((4000, 200)) < 0.01))
    monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    taken = []
    claim = Ledger.claim

    def watched(ledger, stripe, totals, most):
        taken.append((sum(one.taken for one in ledger.stripes), ledger._places))
        return claim(ledger, stripe, totals, most)

    monkeypatch.setattr(Ledger, "claim", watched)
    monkeypatch.setattr(sys.modules["srmfast.engine.passes"], "HIT_SHARE", 500 * 4 * 361 / (256 << 20))
    with pytest.raises(PlanesOverflow, match=r"which holds 500 of the 39,800 planes"):
        srmfast.run(x, "standard", epsilon=0.5, keep="hit", memory="256MiB", threads=5, block_rows=64)
    assert taken and all(now <= places + 1 for now, places in taken)
