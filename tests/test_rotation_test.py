"""Neurons against random rotations of them: best cones by definition, an exact p, and what only looks like selectivity."""

import numpy as np
import pytest
from cases import basis, rows

import srmfast
from srmfast.engine.members import neurons


def best_by_definition(x, vectors, member, epsilon):
    """Return the highest F1 of any cone about ±b_i for each class, (c, 2): at ε, and at the width where it is highest."""
    cosines = np.stack([sign * x @ b for b in vectors for sign in (1, -1)]) / np.linalg.norm(x, axis=1)
    found = np.zeros((member.shape[1], 2))
    for c in range(member.shape[1]):
        for at in cosines:
            for kind, widths in enumerate(([epsilon], np.unique(at[at > 0]))):
                for width in widths:
                    inside = at >= width
                    f1 = 2 * (inside & member[:, c]).sum() / max(inside.sum() + member[:, c].sum(), 1)
                    found[c, kind] = max(found[c, kind], f1)
    return found


@pytest.mark.parametrize("kind", ["gaussian", "one-hot", "small-integer"])
@pytest.mark.parametrize("vectors", ["standard", "plusminus", "oblique"])
def test_the_best_cones_are_those_of_the_definition(kind, vectors, rng):
    x, b, label = rows(kind, 60, 5, rng), basis(vectors, 5, rng), rng.integers(0, 3, 60)
    x[7] = 0
    found = neurons(x, b, epsilon=0.5, labels=label, permutations=0, null=39)
    x, label = x[(x != 0).any(axis=1)].astype(float), label[(x != 0).any(axis=1)]
    # Cosines of rows at one angle are equal only as they were computed: along the vectors, then divided.
    wanted = best_by_definition(x, found.basis, label[:, None] == np.arange(3), 0.5)
    assert found.null_f1.shape == (40, 3, 2) and found.attrs["null"]["vectors"] == len(found.basis)
    np.testing.assert_allclose(found.null_f1[0], wanted, rtol=1e-12)
    assert (found.null_f1[0, :, 0] == found.f1().max(axis=(1, 2))).all()
    assert (found.null_f1[:, :, 1] >= found.null_f1[:, :, 0] - 1e-12).all()
    for c in range(3):
        again = neurons(x, b, epsilon=float(found.best_epsilon[c, 1]) - 1e-9, labels=label, permutations=0)
        i, pole = divmod(int(found.best_cone[c, 1]), 2)
        assert again.f1()[c, i, pole] == found.null_f1[0, c, 1]


def test_concepts_are_classes_that_overlap(rng):
    x, concepts = rng.normal(size=(80, 6)), rng.random((80, 4)) < 0.3
    found = neurons(x, epsilon=0.3, concepts=concepts, permutations=0, null=39, block_rows=32)
    assert (found.null_f1[0] == best_by_definition(x, np.eye(6), concepts, 0.3)).all()


def planted(rng, n=600, d=10, classes=5):
    label = rng.integers(0, classes, n)
    return 1.2 * np.eye(d)[label] + rng.normal(size=(n, d)) / np.sqrt(d), label


def test_neurons_of_one_class_each_are_more_selective_than_directions_and_rotated_ones_are_not(rng):
    x, label = planted(rng)
    found = neurons(x, epsilon=0.6, labels=label, permutations=0, null=99)
    for kind in (found.rotation_test().own, found.rotation_test().fixed):
        assert kind.verdict == "more" and kind.p == 0.02 and kind.f1 > kind.rotated[2]
        assert sorted((best.vector, best.pole, best.label) for best in kind.classes) == [
            (c, "+", str(c)) for c in range(5)
        ]
        assert kind.classes[0].p_more == 0.01 and all(
            best.f1 > best.rotated[1] and best.p_more < 0.2 for best in kind.classes
        )
    turned = x @ np.linalg.qr(rng.normal(size=(10, 10)))[0]
    assert (
        neurons(turned, epsilon=0.6, labels=label, permutations=0, null=99).rotation_test().own.verdict
        == "no different"
    )
    assert (
        "own" not in str(found.rotation_test())
        and "more selective than random directions (p = 0.02)" in found.summary()
    )


def test_neurons_that_share_what_directions_tell_are_less_selective(rng):
    label = rng.integers(0, 16, 800)
    hadamard = np.array([[(-1) ** bin(i & j).count("1") for j in range(16)] for i in range(16)]) / 4
    x = hadamard[label] + 0.05 * rng.normal(size=(800, 16))
    found = neurons(x, epsilon=0.2, labels=label, permutations=0, null=99).rotation_test()
    assert found.own.verdict == "less" and found.own.f1 < found.own.rotated[0]


def test_long_axes_look_selective_at_one_epsilon_and_not_at_the_best_of_each(rng):
    # Few coordinates are long now and then; the classes have nothing to do with anything.
    x = rng.standard_t(2, size=(400, 40))
    label = rng.integers(0, 8, 400)
    found = neurons(x, epsilon=0.6, labels=label, permutations=99, null=99).rotation_test()
    assert found.fixed.verdict == "more" and found.fixed.f1 > 2 * found.fixed.rotated[1]
    assert found.own.verdict == "no different"


def test_p_is_exact(rng):
    found = []
    for n in range(60):
        label = rng.integers(0, 3, 60)
        means = rng.normal(size=(3, 4))  # classes lie anywhere: nothing of it is a neuron's
        x = means[label] + 0.5 * rng.normal(size=(60, 4))
        test = neurons(x, epsilon=0.7, labels=label, permutations=0, null=39, seed=n, threads=1).rotation_test()
        found.append((test.own.p_more, test.fixed.p_more, min(best.p_more for best in test.own.classes)))
        assert test.own.p_more <= min(best.p_more for best in test.own.classes)
    for p in np.array(found).T[:2]:
        assert (p <= 0.1).mean() <= 0.22 and 0.3 < (p <= 0.5).mean() < 0.7


def test_it_is_the_same_for_any_threads_and_in_a_file(rng, tmp_path):
    x, label = planted(rng, n=300)
    found = neurons(x, epsilon=0.6, labels=label, permutations=0, null=39, centre=True, threads=1)
    other = neurons(x, epsilon=0.6, labels=label, permutations=0, null=39, centre=True, threads=2, block_rows=64)
    by_hand = neurons(x - x.mean(axis=0), epsilon=0.6, labels=label, permutations=0, null=39)
    found.save(tmp_path / "n.zarr")
    loaded = srmfast.load(tmp_path / "n.zarr")
    for one in (other, loaded, by_hand):
        assert (one.null_f1 == found.null_f1).all() and (one.best_cone == found.best_cone).all()
    assert loaded.summary() == found.summary() and loaded.rotation_test() == found.rotation_test()


def test_many_rows_and_vectors_are_drawn(rng, monkeypatch):
    from srmfast.engine import contest

    monkeypatch.setattr(contest, "_ROWS", 100)
    monkeypatch.setattr(contest, "_SIDE", 30 * 30 * 40)
    x, label = rng.normal(size=(500, 40)), rng.integers(0, 3, 500)
    b = rng.normal(size=(60, 40))
    found = neurons(x, b, epsilon=0.2, labels=label, permutations=0, null=39)
    assert found.attrs["null"] == {"rotations": 39, "rows": 100, "vectors": 30}
    assert found.rotation_test().rows == 100 and found.best_cone.max() < 120


def test_too_few_rotations_and_results_without_are_refused(rng, tmp_path, srmfast_main):
    np.save(tmp_path / "x.npy", rng.normal(size=(60, 4)))
    np.save(tmp_path / "l.npy", rng.integers(0, 2, 60))
    words = f"neurons {tmp_path}/x.npy --labels {tmp_path}/l.npy --epsilon 0.5 --progress none"
    ended = srmfast_main(f"{words} --null 5")
    assert ended.rc == 1 and "at least 39 rotations" in ended.stderr
    ended = srmfast_main(f"{words} --null 39 --permutations 0")
    assert ended.rc == 0 and "39 random rotations of the basis (4 vectors, 60 rows)" in ended.stdout
    with pytest.raises(srmfast.InputError, match="run again with --null 99"):
        neurons(rng.normal(size=(60, 4)), epsilon=0.5, permutations=0).rotation_test()
