"""Which classes neurons answer to: counts against the definition, planted neurons, scores that can be trusted, a calibrated test."""

import re

import numpy as np
import pytest
from cases import basis, rows

import srmfast
from srmfast import classmaps, naive
from srmfast.engine.members import neurons
from srmfast.enrichment import association, permutation_test


def planted(rng, n=600, d=12, classes=6, noise=0.3):
    """Rows near one unit per class, class c on unit c, with their classes."""
    label = rng.integers(0, classes, n)
    return np.eye(d)[label] + noise * rng.normal(size=(n, d)) / np.sqrt(d), label


@pytest.mark.parametrize("kind", ["gaussian", "relu", "one-hot", "small-integer", "half"])
@pytest.mark.parametrize("vectors", ["standard", "plusminus", "rotated", "oblique", "parallel"])
def test_counts_are_those_of_the_definition(kind, vectors, rng):
    x, b, label = rows(kind, 400, 9, rng), basis(vectors, 9, rng), rng.integers(0, 3, 400)
    x[5] = 0
    found = neurons(x, b, epsilon=0.5, labels=label, permutations=0, threads=2, block_rows=64)
    used = naive.pinned_dot(x.astype(float), x.astype(float)) > 0
    inside = naive.members(x[used], found.basis, 0.5)
    assert (found.inside.sum(axis=0) == inside.sum(axis=0)).all()
    for c in range(3):
        assert (found.counts.sum(axis=0)[c] == inside[label[used] == c].sum(axis=0)).all()
    folds = np.flatnonzero(used) * 64 // 400
    assert (found.inside[7] == inside[folds == 7].sum(axis=0)).all()
    assert found.class_rows.sum() == found.rows_used.sum() == used.sum()


@pytest.mark.parametrize("vectors", ["standard", "oblique", "plusminus"])
def test_a_result_knows_the_same_shares_in_every_plane(vectors, rng):
    x, label = rng.normal(size=(500, 8)), rng.integers(0, 4, 500)
    b = basis(vectors, 8, rng)
    result = srmfast.run(x, b, epsilon=[0.4, 0.7], labels=label, angles=12, keep="all")
    for epsilon in (0.4, 0.7):
        at = result.neurons(epsilon)
        found = neurons(x, b, epsilon=epsilon, labels=label, permutations=0)
        assert (at.counts[0] == found.counts.sum(axis=0)).all() and (at.inside[0] == found.inside.sum(axis=0)).all()
        e = [0.4, 0.7].index(epsilon)
        for pole, angle in ((0, 0), (1, 6)):  # not only in the plane that was asked
            assert (result.counts[:, e, :, angle] == at.counts[0][:, result.plane_i, pole]).all()
        assert np.allclose(at.signed()[:, result.plane_i], result.signed()[:, e, :, 0])
    assert np.isnan(at.sd()).all() and at.p is None and "a result has no rows" in at.summary()


def test_a_result_of_orthogonal_combinations_or_of_hits_is_enough_and_others_are_refused(rng):
    x, label = rng.normal(size=(300, 6)), rng.integers(0, 2, 300)
    wanted = neurons(x, "standard", epsilon=0.8, labels=label, permutations=0).counts.sum(axis=0)
    for options in (dict(planes="combinations"), dict(keep="hit")):
        result = srmfast.run(x, "standard", epsilon=0.8, labels=label, angles=8, **options)
        assert (result.neurons().counts[0] == wanted).all()
    for options, words in (
        (dict(keep="summary"), "keep=summary"),
        (dict(angles=9), "even number of angles"),
        (dict(planes=np.array([[0, 1], [1, 2]])), "none for 3 of 6"),
        (dict(epsilon=-0.2), "epsilon above 0"),
    ):
        result = srmfast.run(x, "standard", **dict(epsilon=0.8, labels=label, angles=8) | options)
        with pytest.raises(srmfast.InputError, match=words):
            result.neurons()


@pytest.mark.parametrize("way", ["halves", "mixed", "rotated"])
def test_a_vector_and_its_opposite_are_one_neuron(way, rng):
    x, label = planted(rng, d=6, noise=0.7)
    axes = np.eye(6) if way != "rotated" else np.linalg.qr(rng.normal(size=(6, 6)))[0]
    both = np.concatenate([axes, -axes])
    order = rng.permutation(12) if way == "mixed" else np.arange(12)
    found = neurons(x, both[order], epsilon=0.5, labels=label, permutations=99)
    alone = neurons(x, axes, epsilon=0.5, labels=label, permutations=99)
    opposite = [int(np.flatnonzero(order == (order[i] + 6) % 12)[0]) for i in range(12)]
    assert found.first.tolist() == [min(i, opposite[i]) for i in range(12)]
    assert len(found.table()) == len(alone.table()) <= 12
    for row, wanted in zip(found.table(), alone.table(), strict=True):
        assert (
            row["f1"] == wanted["f1"]
            and row["inside"] == wanted["inside"]
            and row["vector"] == found.first[row["vector"]]
        )
    assert "12 vectors of basis = 6 neurons with two poles each" in found.summary()
    assert re.search(r"\d+ cones", found.summary())[0] == re.search(r"\d+ cones", alone.summary())[0]
    assert "neuron: +i is the cone of b_i" in found.summary()
    assert len(classmaps.ranked_vectors(found, 24)) == 6
    assert alone.first.tolist() == list(range(6))


def test_one_unit_for_each_class_is_found(rng):
    x, label = planted(rng, noise=0.7)
    found = neurons(x, "standard", epsilon=0.8, labels=label, permutations=199)
    table = found.table()
    assert [(row["vector"], row["pole"], row["label"]) for row in sorted(table[:6], key=lambda row: row["vector"])] == [
        (i, "+", str(i)) for i in range(6)
    ]
    assert all(row["p"] == 1 / 200 and row["f1"] > 0.75 and 0 < row["sd"] < 0.1 for row in table[:6])
    assert found.order(2)[0][0][0] == "2" and found.label[np.argmax(found.f1()[:, 3, 0])] == "3"
    against = neurons(-x, "standard", epsilon=0.8, labels=label, permutations=0)
    assert [row["pole"] for row in against.table()[:6]] == ["−"] * 6 and against.order(4)[1][-1][0] == "4"
    assert (against.counts == found.counts[..., ::-1]).all()


def test_one_vector_that_holds_all_rows_picks_out_no_class(rng):
    label = rng.integers(0, 5, 500)
    x = np.eye(8)[0] * 5 + rng.normal(size=(500, 8)) * 0.1
    found = neurons(x, "standard", epsilon=0.9, labels=label, permutations=99)
    assert found.inside.sum(axis=0)[0, 0] == 500 and (found.share()[:, 0, 0] == 1).all()
    assert found.f1().max() < 0.4 and (found.p == 1).all()  # recall is 1 and says nothing


def test_shuffled_labels_are_no_neurons(rng):
    x, label = planted(rng)
    p = [neurons(x, epsilon=0.8, labels=rng.permutation(label), permutations=39, seed=n).p.min() for n in range(12)]
    assert min(p) > 0.025 and sum(one <= 0.05 for one in p) <= 3


def test_the_smallest_p_of_a_family_is_uniform(rng):
    hits = np.stack([np.repeat(np.arange(120), 2), rng.integers(0, 6, 240)], axis=1)
    hits = np.unique(hits, axis=0)
    label = np.repeat([0, 1, 2, 2], 30)
    p = np.array([permutation_test(hits, 6, rng.permutation(label), permutations=39, seed=n).min() for n in range(200)])
    assert 0.01 < (p <= 0.05).mean() < 0.1 and 0.4 < (p <= 0.5).mean() < 0.6


def test_a_rare_class_is_found_beside_a_common_one(rng):
    label = np.where(np.arange(2000) < 40, 1, 0)
    hits = np.concatenate(
        [np.stack([np.arange(30), np.zeros(30)], 1), np.stack([rng.permutation(2000)[:900], np.ones(900)], 1)]
    )
    hits = hits.astype(np.int64)
    p = permutation_test(hits, 3, label, permutations=199, seed=0)
    assert p[1, 0] == 1 / 200 and p[0].min() > 0.05 and (p[:, 2] == 1).all()


def test_the_statistic_is_the_likelihood_ratio_of_the_table():
    from scipy.special import rel_entr

    for inside, rows_, both in ((30, 50, 25), (4, 90, 4), (50, 50, 10)):
        table = [[both, inside - both], [rows_ - both, 200 - inside - rows_ + both]]
        expected = np.sum(table, axis=1, keepdims=True) * np.sum(table, axis=0) / 200
        wanted = 2 * rel_entr(table, expected).sum()
        assert association(inside, rows_, both, 200) == pytest.approx(wanted if both * 200 > inside * rows_ else 0.0)


def auc(score, label):
    order = np.argsort(np.argsort(score))
    positive = label.sum()
    return (order[label].sum() - positive * (positive - 1) / 2) / positive / (len(label) - positive)


def test_the_score_falls_with_missing_and_with_extra_labels_and_others_do_not(rng):
    x, label = planted(rng, n=4000, d=20, classes=20, noise=0.2)
    known = label == 3

    def scores(concept):
        found = neurons(x, epsilon=0.8, concepts=concept, permutations=0)
        values = found.f1(), found.iou(), found.share(), found.precision()
        return [float(value[0, 3, 0]) for value in values] + [auc(x[:, 3] / np.linalg.norm(x, axis=1), concept)]

    missing, extra = known & (rng.random(4000) < 0.5), known | (rng.random(4000) < known.mean())
    f1, iou, recall, precision, area = scores(known)
    assert min(f1, iou, recall, precision, area) > 0.95
    fewer, more = scores(missing), scores(extra)
    assert max(fewer[0], more[0]) < 0.75 and max(fewer[1], more[1]) < 0.6  # F1 and IoU pass both checks
    assert fewer[2] > 0.95 and more[3] > 0.95  # recall does not see the first, precision not the second
    assert area - fewer[4] < 0.05  # nor does the area under the curve see the first


def test_rows_may_carry_several_concepts(rng, tmp_path):
    x, label = planted(rng, n=900, d=10, classes=5)
    concepts = np.stack([label == 0, label == 1, label < 2, np.ones(900, bool), np.zeros(900, bool)], axis=1)
    np.save(tmp_path / "c.npy", concepts.astype(np.uint8))
    (tmp_path / "names.txt").write_text("zero\none\nsmall\nany\nnone\n")
    common = dict(epsilon=0.8, permutations=99, mask=rng.random(900) < 0.9)
    found = neurons(
        x, concepts=tmp_path / "c.npy", concept_names=tmp_path / "names.txt", threads=2, block_rows=32, **common
    )
    again = neurons(x, concepts=concepts, threads=1, **common)
    assert (found.counts == again.counts).all() and (found.p == again.p).all() and found.label.tolist()[2] == "small"
    labelled = neurons(x, labels=label, **common)
    assert (found.counts[:, 0] == labelled.counts[:, 0]).all() and (found.counts[:, 3] == found.inside).all()
    assert found.table()[0]["label"] in ("zero", "one") and found.p[0, 0, 0] == 0.01 and (found.p[3:] == 1).all()
    assert (found.counts[:, 2] == found.counts[:, 0] + found.counts[:, 1]).all()
    one = neurons(x, concepts=concepts[:, 0], **common)
    assert (one.counts[:, 0] == found.counts[:, 0]).all() and one.p[0, 0, 0] == 0.01
    with pytest.raises(srmfast.InputError, match="for 900 rows, got 800 x 5"):
        neurons(x, concepts=concepts[:800], epsilon=0.8)
    with pytest.raises(srmfast.InputError, match="true or false"):
        neurons(x, concepts=concepts * 2.0, epsilon=0.8)
    with pytest.raises(srmfast.InputError, match="labels or concepts, not both"):
        neurons(x, concepts=concepts, labels=label, epsilon=0.8)


def test_groups_exchange_their_classes_whole(rng):
    documents = np.repeat(np.arange(40), 25)
    where = rng.integers(0, 6, 40)[documents]  # rows of a document point the same way, whatever its class
    x = np.eye(6)[where] + 0.05 * rng.normal(size=(1000, 6))
    label = rng.integers(0, 2, 40)[documents]
    alone = neurons(x, epsilon=0.9, labels=label, permutations=99)
    whole = neurons(x, epsilon=0.9, labels=label, groups=documents, permutations=99)
    assert alone.p.min() == 0.01 and whole.p.min() > 0.05
    assert (whole.counts.sum(axis=0) == alone.counts.sum(axis=0)).all()
    mixed = neurons(x, epsilon=0.9, labels=rng.integers(0, 2, 1000), groups=documents)
    assert mixed.p is None and "share their classes" in mixed.attrs["untested"]


def test_a_part_of_the_rows_is_tested_whoever_counts_them(rng):
    x, label = planted(rng, n=3000)
    first = neurons(x, epsilon=0.8, labels=label, permutations=59, tested=500, threads=1)
    second = neurons(x, epsilon=0.8, labels=label, permutations=59, tested=500, threads=2, block_rows=64)
    assert 400 < first.attrs["tested_rows"] < 600 and (first.p == second.p).all()
    assert first.attrs["spec"] == second.attrs["spec"]


def test_leaving_out_folds_gives_the_spread_of_a_share(rng):
    x, label = planted(rng, n=6400, noise=1.2)
    found = neurons(x, epsilon=0.8, labels=label, permutations=0)
    share, rows_ = found.share()[:, :6, 0], found.class_rows.sum(axis=0)[:, None]
    seen = (share > 0.1) & (share < 0.9)
    binomial = np.sqrt(share * (1 - share) / rows_)[seen]
    assert seen.sum() == 6 and np.abs(found.sd("share")[:, :6, 0][seen] / binomial - 1).max() < 0.4


def test_saved_drawn_and_listed_it_is_the_same(rng, tmp_path):
    x, label = planted(rng)
    found = srmfast.neurons(x, epsilon=0.8, labels=label, permutations=59)
    found.save(tmp_path / "n.zarr")
    again = srmfast.load(tmp_path / "n.zarr")
    assert again.summary() == found.summary() and (again.p == found.p).all()
    found.to_csv(tmp_path / "n.csv")
    frame = found.to_dataframe()
    assert (tmp_path / "n.csv").read_text().count("\n") == len(frame) + 1 and frame["label"][0] == found.table()[0][
        "label"
    ]
    assert found.plot(tmp_path / "n.svg").axes and (tmp_path / "n.svg").stat().st_size > 5000


def test_the_command_takes_a_store_or_a_result(rng, tmp_path, srmfast_main):
    x, label = planted(rng)
    np.save(tmp_path / "x.npy", x.astype(np.float16))
    np.save(tmp_path / "y.npy", label)
    words = f"neurons {tmp_path}/x.npy --labels {tmp_path}/y.npy --epsilon 0.8 --progress none --permutations 99"
    ended = srmfast_main(f"{words} -o {tmp_path}/n.zarr --csv {tmp_path}/n.csv --plot {tmp_path}/n.png --map pca")
    assert ended.rc == 0, ended.stderr
    assert "6 cones with a class at p ≤ .05" in ended.stdout and (tmp_path / "n.png").stat().st_size > 10_000
    srmfast_main(f"run {tmp_path}/x.npy --labels {tmp_path}/y.npy --epsilon 0.8 -o {tmp_path}/r.zarr --progress none")
    ended = srmfast_main(f"neurons {tmp_path}/r.zarr --plot {tmp_path}/r.png --vectors 2,3")
    assert ended.rc == 0 and "a result has no rows" in ended.stdout, ended.stderr
    ended = srmfast_main(f"neurons {tmp_path}/r.zarr --labels {tmp_path}/y.npy")
    assert ended.rc == 1 and "--labels is for the rows of a store" in ended.stderr
    assert srmfast_main(f"plot {tmp_path}/n.zarr -o {tmp_path}/m.pdf").rc == 0
    for more, told in (
        ("--map pca", "needs one: give --plot"),
        ("--epsilon -0.5", "one epsilon above 0"),
        ("--permutations 5", "at least 39 permutations"),
        ("--concepts c.npy", "not both"),
        (f"--plot {tmp_path}/q.png --vectors 99", "vectors must be numbers in"),
    ):
        ended = srmfast_main(f"{words} {more}")
        assert ended.rc == 1 and told in ended.stderr, (more, ended.stderr)


def test_umap_names_its_pip_command(rng, tmp_path, srmfast_main, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    np.save(tmp_path / "x.npy", rng.normal(size=(50, 4)))
    ended = srmfast_main(f"neurons {tmp_path}/x.npy --epsilon 0.5 --plot {tmp_path}/n.png --map umap --progress none")
    assert ended.rc == 1 and "pip install 'srmfast[umap]'" in ended.stderr


def test_the_tool_that_calibrates_the_test_works():
    from tools.calibrate_neurons import KINDS, share_found

    found = {kind: share_found(kind, 4, 39) for kind in KINDS}
    assert found["isotropic"][0] <= 0.5 and found["documents as rows"][0] == 1.0
    assert found["two selective classes"][1] >= 0.5


def test_many_vectors_are_taken_in_parts(rng, monkeypatch):
    from srmfast.engine import cones

    x, label = rng.normal(size=(300, 160)).astype(np.float32), rng.integers(0, 3, 300)
    b = rng.normal(size=(170, 160))
    b[:40] += 12 * x[:40]  # some cones hold a row, and one on the edge
    unit = b[3] / np.linalg.norm(b[3])
    edge = float(unit @ x[3] / np.linalg.norm(x[3].astype(float)))  # where float32 cannot tell
    common = dict(epsilon=edge, labels=label, permutations=59)
    whole = neurons(x, b, **common)
    monkeypatch.setattr(cones, "_TILE", 4 * 512 * 13)
    parts = neurons(x, b, block_rows=64, **common)
    assert (parts.counts == whole.counts).all() and (parts.inside == whole.inside).all() and (parts.p == whole.p).all()
    assert (
        whole.inside.sum(axis=0) == naive.members(x, whole.basis, edge).sum(axis=0)
    ).all() and whole.inside.sum() >= 5
