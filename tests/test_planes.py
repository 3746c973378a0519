"""Sets of planes: numbered by arithmetic or listed, drawn at random, chosen later by activity."""

import numpy as np
import pytest
from dictionaries import dictionary, peak_of, same
from hypothesis import given, settings
from hypothesis import strategies as st

from srmfast import planes
from srmfast.bases import load_basis
from srmfast.errors import InputError
from srmfast.geometry import Geometry, gram
from srmfast.planes import COMBINATIONS, LISTED, PERMUTATIONS, Planes, choose_planes, listed


def test_planes_of_a_dictionary_are_numbered_by_arithmetic(rng):
    k = 24576
    basis = load_basis(rng.normal(size=(k, 3)), 3)
    none, parallel = np.empty((0, 0)), np.array([[0, 1], [5, 24575]])
    geometry = Geometry(basis, none, none, parallel, False)

    def everything():
        chosen = choose_planes("permutations", basis, geometry)
        chosen.digest(), chosen.partners()
        return chosen, choose_planes("active:1000", basis, geometry), choose_planes("combinations", basis, geometry)

    everything()
    (ordered, active, half), peak = peak_of(everything)
    assert peak < 1 << 20
    assert (ordered.slots, ordered.total, ordered.skipped) == (k * (k - 1), k * (k - 1) - 4, 4)
    assert active.most == 1000 and active.numbering == COMBINATIONS and 2 * active.total == ordered.total
    assert half.numbering == COMBINATIONS and half.slots == k * (k - 1) // 2
    for chosen, both in ((ordered, True), (half, False)):
        gone = np.stack(chosen.pair(chosen.parallel_numbers), axis=1)
        expected = np.concatenate([parallel, parallel[:, ::-1]]) if both else parallel
        assert sorted(map(tuple, gone)) == sorted(map(tuple, expected))
        i, j = chosen.pair([0, chosen.slots - 1])
        assert (i[0], j[0]) == (0, 1) and (i[1], j[1]) == ((k - 1, k - 2) if both else (k - 2, k - 1))


def test_numbers_are_all_but_the_parallel_ones(rng):
    basis = dictionary("duplicates", rng)
    geometry = Geometry.of(basis)
    for kind in ("permutations", "combinations", "neighbours"):
        chosen = choose_planes(kind, basis, geometry)
        numbers = chosen.numbers()
        assert numbers.size == chosen.total and np.isin(numbers, chosen.parallel_numbers).sum() == 0
        assert (geometry.of_pairs(*chosen.pair(numbers))[1] > 0).all()


def test_random_planes_without_parallel_pairs_are_a_plain_draw(rng):
    basis = dictionary("oblique", rng)
    chosen = choose_planes("random:500", basis, Geometry.of(basis), seed=11)
    drawn = np.random.Generator(np.random.PCG64(11)).choice(150 * 149, 500, replace=False)
    everything = choose_planes("permutations", basis, Geometry.of(basis))
    assert (chosen.pairs == np.stack(everything.pair(np.sort(drawn)), axis=1)).all()


def test_random_planes_are_seeded_and_never_parallel(rng):
    basis = dictionary("duplicates", rng)
    geometry = Geometry.of(basis, limit=0)
    total = choose_planes("permutations", basis, geometry).total
    for wanted in (1, 100, total - 1, total):
        chosen = choose_planes(f"random:{wanted}", basis, geometry, seed=1)
        assert (chosen.total, chosen.skipped, chosen.numbering) == (wanted, 0, LISTED)
        assert len(np.unique(chosen.pairs, axis=0)) == wanted
        assert (geometry.of_pairs(*chosen.pairs.T)[1] > 0).all()
        assert same(chosen, choose_planes(f"random:{wanted}", basis, geometry, seed=1))
    assert not same(*(choose_planes("random:100", basis, geometry, seed=seed) for seed in (1, 2)))
    with pytest.raises(InputError, match=f"must not exceed the {total:,} planes there are, got {total + 1:,}"):
        choose_planes(f"random:{total + 1}", basis, geometry)


def test_every_plane_is_as_likely_as_any_other():
    basis = load_basis(np.array([[1.0, 0], [1, 1], [-1, 0], [0.5, 2], [2, 2]]), 2)
    geometry = Geometry.of(basis, limit=0)
    assert len(geometry.parallel) == 2
    seen = np.zeros((5, 5), int)
    for seed in range(3000):
        seen[tuple(choose_planes("random:4", basis, geometry, seed=seed).pairs.T)] += 1
    possible = gram(basis)[1] > 0
    assert possible.sum() == 16 and (seen[~possible] == 0).all()
    assert np.abs(seen[possible] - 750).max() < 5 * np.sqrt(750 * 0.75)


@pytest.mark.parametrize("wanted", [0, 3, 40, 60, 99, 100])
def test_large_draws_are_uniform_without_listing_all_numbers(wanted, monkeypatch):
    monkeypatch.setattr(planes, "FEW", 0)
    seen = np.zeros(100, int)
    for seed in range(2000):
        drawn = planes._draw(wanted, 100, np.random.default_rng(seed))
        assert drawn.size == wanted == np.unique(drawn).size
        seen[drawn] += 1
    assert np.abs(seen - 20 * wanted).max() <= 5 * np.sqrt(20 * wanted * (1 - wanted / 100))


def test_active_planes_are_a_base_set_and_how_many_to_keep(rng):
    basis = dictionary("oblique", rng)
    geometry = Geometry.of(basis)
    everything, some = (choose_planes(kind, basis, geometry) for kind in ("combinations", "active:50"))
    assert (some.kind, some.most, some.numbering) == ("active:50", 50, COMBINATIONS)
    assert (everything.most, some.total, some.slots) == (0, everything.total, everything.slots)
    assert some.digest() != everything.digest() != choose_planes("active:51", basis, geometry).digest()
    for more in (everything.total, everything.total + 1, 10**12):
        assert choose_planes(f"active:{more}", basis, geometry).most == everything.total
    chosen = listed("active:50", 150, np.array([[7, 3], [0, 149], [3, 7]]))
    assert chosen.pairs.tolist() == [[0, 149], [3, 7], [7, 3]] and chosen.pairs.dtype == np.int32
    assert (chosen.kind, chosen.total, chosen.slots, chosen.most) == ("active:50", 3, 3, 0)


@pytest.mark.parametrize("word", ["random", "active"])
@pytest.mark.parametrize("count", ["", "0", "-3", "x", "1.5", "2:3"])
def test_a_number_of_planes_must_be_one(word, count, rng):
    basis = dictionary("oblique", rng)
    with pytest.raises(InputError, match=rf"{word}:P needs a whole number P.*{word}:{count}'; try {word}:1000"):
        choose_planes(f"{word}:{count}", basis, Geometry.of(basis))


def test_planes_that_are_listed_twice_are_refused(rng):
    basis = dictionary("oblique", rng)
    with pytest.raises(InputError, match=r"listed once, got \(9, 2\) twice in array"):
        choose_planes(np.array([[9, 2], [2, 9], [0, 1], [9, 2]]), basis, Geometry.of(basis))


def test_listed_planes_that_span_nothing_are_skipped(rng):
    basis = dictionary("duplicates", rng)
    for geometry in (Geometry.of(basis), Geometry.of(basis, limit=0)):
        i, j = geometry.parallel[3]
        chosen = choose_planes(np.array([[i, j], [j, i], [0, 1], [1, 0]]), basis, geometry)
        assert (chosen.total, chosen.skipped) == (2, 2)
    copies = load_basis(np.ones((4, 3)) * [[1], [2], [-1], [-2]], 3)
    for kind in ("permutations", "combinations", "neighbours", "active:3"):
        with pytest.raises(InputError, match="every pair of the 4 basis vectors is parallel"):
            choose_planes(kind, copies, Geometry.of(copies))


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 30), st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_partners_are_the_unordered_pairs_of_a_list(k, p, seed):
    numbers = np.unique(np.random.default_rng(seed).integers(0, k * (k - 1), p))
    none = np.empty(0, np.int64)
    i, j = Planes("", k, PERMUTATIONS, k * (k - 1), 0, 0, none, none).pair(numbers)
    chosen = listed("file", k, np.stack([i, j], axis=1))
    first, partner, forward, reverse = chosen.partners()
    assert (first.dtype, partner.dtype, forward.dtype, reverse.dtype) == (np.int64, np.int32, np.int64, np.int64)
    low = np.repeat(np.arange(k), np.diff(first))
    pairs = {(int(a), int(b)): [int(f), int(r)] for a, b, f, r in zip(low, partner, forward, reverse, strict=True)}
    expected = {}
    for number, (a, b) in enumerate(chosen.pairs.tolist()):
        expected.setdefault((min(a, b), max(a, b)), [-1, -1])[int(a > b)] = number
    assert pairs == expected and list(pairs) == sorted(pairs)
