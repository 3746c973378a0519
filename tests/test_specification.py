"""A specification curve: every reading is that of a run, and what is planted decides what it should."""

import csv
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import srmfast
from srmfast.analyses.specification import make_plan
from srmfast.bases import load_basis
from srmfast.deciding import explained_share, in_common, smallest_deciding
from srmfast.engine import Request, prepare
from srmfast.engine.choices import halves
from srmfast.engine.identity import null_sizes
from srmfast.engine.planes_drawn import PlanesDrawn
from srmfast.errors import InputError
from srmfast.family import Family
from srmfast.geometry import Geometry
from srmfast.spec import Resources

D = 8
QUICK = dict(null=39, epsilon=(0.5, 0.8))
ALL = dict(QUICK, planes="permutations")


def on_vectors(rng, n, noise=0.1):
    """Rows near ± one basis vector each."""
    return np.eye(D)[rng.integers(0, D, n)] * rng.choice([-1.0, 1.0], (n, 1)) + noise * rng.normal(size=(n, D))


@pytest.fixture
def sequences(rng):
    """Rows (40, 6, D): isotropic, the first of each sequence on a vector, and three long ones."""
    x = rng.normal(size=(40, 6, D))
    x[:, 0] = on_vectors(rng, 40)
    x[:3, 2] *= 100.0
    return x


# ---- every reading is that of a run --------------------------------------------------------------------


def test_each_reading_is_what_the_same_options_give_a_run(sequences):
    curve = srmfast.specification(sequences, planes=("permutations", "halves"), seed=3, **QUICK)
    first = np.ones((40, 6), bool)
    first[:, 0] = False
    pairs = halves(Geometry.of(load_basis("standard", D)), 3)
    planes = dict(
        zip(("all planes", "half A of the vectors", "half B of the vectors"), ("permutations", *pairs), strict=True)
    )
    assert len(curve) == 2 * 2 * 2 * 3 * 2 and [name for name, _ in curve.choices] == [
        "centring", "first tokens", "long rows", "planes", "ε",
    ]  # fmt: skip
    for row in curve.ranked():
        options = dict(
            centre=row["centring"] == "centred", planes=planes[row["planes"]], seed=3, null=39, epsilon=(0.5, 0.8),
            mask=None if row["first tokens"] == "with first tokens" else first,
            max_norm=None if row["long rows"] == "with long rows" else 10.0,
        )  # fmt: skip
        result = srmfast.run(sequences, **options)
        found = next(one for one in result.alignment().epsilons if one.effect.epsilon == row["ε"])
        assert (row["verdict"], row["p"]) == (found.verdict, found.p)
        for name, value in (("effect", found.effect.size), *((name, getattr(found.effect, name)) for name in ("low", "high", "detectable"))):  # fmt: skip
            assert np.array_equal(row[name], value, equal_nan=True), name
        assert (row["near"], row["far"], row["rows"]) == (found.effect.near, found.effect.far, int(result.rows[0]))


def test_a_single_epsilon_is_judged_as_the_run_is(rng):
    x = on_vectors(rng, 300)
    curve = srmfast.specification(x, null=39, epsilon=0.8, planes="permutations", centring="raw")
    found = srmfast.run(x, null=39, epsilon=0.8).alignment()
    assert len(curve) == 1 and (curve.verdict[0], curve.p[0]) == (found.verdict, found.p)
    assert curve.deciding() == () and "no choice: every reading is aligned" in curve.summary()


def test_rows_with_labels_and_lengths(rng, sequences):
    lengths = rng.integers(2, 7, 40)
    options = dict(lengths=lengths, padding="left", labels=rng.integers(0, 2, 40))
    curve = srmfast.specification(sequences, centring="raw", long_rows="with", **ALL, **options)
    first = np.arange(6) == (6 - lengths)[:, None]  # of those that the padding on the left leaves
    for name, mask in (("with first tokens", None), ("without first tokens", ~first)):
        found = srmfast.run(sequences, mask=mask, **QUICK, **options).alignment()
        rows = [row for row in curve.ranked() if row["first tokens"] == name]
        by_epsilon = {row["ε"]: (row["verdict"], row["p"], row["effect"]) for row in rows}
        assert by_epsilon == {one.effect.epsilon: (one.verdict, one.p, one.effect.size) for one in found.epsilons}
        assert all(one.effect.label == "all labels" for one in found.epsilons)


@pytest.mark.parametrize("centre", [False, True])
def test_keeping_rows_of_zero_norm_changes_no_effect_and_no_p(rng, centre):
    x = on_vectors(rng, 300, noise=0.5)
    x[::7] = 0.0
    kept, dropped = (
        srmfast.run(x, centre=centre, zero_rows=rule, **QUICK).alignment() for rule in ("keep", "drop")
    )  # fmt: skip
    assert kept.effects == dropped.effects and kept.epsilons == dropped.epsilons
    assert (kept.p, kept.verdict, kept.pair) == (dropped.p, dropped.verdict, dropped.pair)
    words = srmfast.specification(x, centring="centred" if centre else "raw", **ALL).summary()
    assert ("like any others" if centre else f"the {(~x.any(axis=1)).sum()} there are have no direction") in words


# ---- what is planted -------------------------------------------------------------------------------------


def test_rows_on_the_basis_hold_in_every_reading(rng):
    curve = srmfast.specification(on_vectors(rng, 400), **QUICK)
    assert curve.holds.all() and curve.headline() == "aligned in 12 of 12 readings" and curve.deciding() == ()
    joint = curve.joint()
    assert joint.p == 2 / 40 and joint.called == joint.readings.sum() == 4 and not (joint.called_by_chance >= 4).any()
    assert "with all planes, which share their rotations" in " ".join(curve.summary().split())


def test_a_mean_along_a_vector_is_decided_by_centring(rng):
    x = 0.3 * rng.normal(size=(400, D)) + 2.0 * np.eye(D)[2]
    curve = srmfast.specification(x, **dict(ALL, null=99, epsilon=(0.8, 0.9)))
    assert curve.deciding() == ("centring",) and curve.shares()[0] == 1.0
    words = " ".join(curve.summary().split())
    assert "decided by centring: aligned in 2 of 2 raw and 0 of 2 centred" in words


def test_first_tokens_on_the_basis_are_what_decides(rng):
    x = rng.normal(size=(150, 4, D))
    x[:, 0] = on_vectors(rng, 150)
    curve = srmfast.specification(x, **dict(ALL, null=99))
    assert curve.deciding() == ("first tokens",) and "long rows" in [one["name"] for one in curve.attrs["unvaried"]]
    assert "aligned in 4 of 4 with first tokens and 0 of 4 without" in " ".join(curve.summary().split())


def test_isotropic_rows_hold_in_no_reading(rng):
    curve = srmfast.specification(rng.normal(size=(500, D)), **QUICK)
    assert not curve.holds.any() and curve.joint().p > 0.05 and "no choice: no reading is aligned" in curve.summary()


def test_rows_between_the_vectors_are_anti_aligned_where_that_may_be_said(rng):
    i, j = np.array(list(combinations(range(D), 2))).T
    pairs = rng.integers(0, i.size, 600)
    x = np.eye(D)[i[pairs]] + rng.choice([-1.0, 1.0], (600, 1)) * np.eye(D)[j[pairs]]
    x = x * rng.choice([-1.0, 1.0], (600, 1)) + 0.03 * rng.normal(size=(600, D))
    curve = srmfast.specification(x, **dict(ALL, null=99, epsilon=(0.5, 0.75, 0.8)))
    assert curve.leading == "anti-aligned" and curve.joint().p_anti == 0.01
    assert set(curve.epsilon[curve.holds]) == {0.75, 0.8} and curve.deciding() == ("ε",)
    assert "ε: anti-aligned in 0 of 2 at ε = 0.5, 2 of 2 at ε = 0.75 and 2 of 2" in " ".join(curve.summary().split())
    low = srmfast.specification(x, **dict(ALL, null=99, epsilon=(0.4, 0.5)))
    assert low.leading == "aligned" and "confirm it at ε = 0.8" in " ".join(low.summary().split())


# ---- the joint test -----------------------------------------------------------------------------------------


def test_a_rotation_is_called_what_it_would_be_called_as_the_basis(rng):
    result = srmfast.run(on_vectors(rng, 200, noise=0.6), **QUICK)
    family = Family(result.null_phase, result.null_extreme, result.epsilon)
    for e in range(2):
        score, called = family.frames(e)
        for m in range(40):
            order = np.arange(40)
            order[[0, m]] = m, 0
            swapped = Family(result.null_phase[order], result.null_extreme[order], result.epsilon)
            word = swapped.epsilon(e, 1.0, 100).verdict
            assert tuple(called[m]) == (word in ("aligned", "mixed"), word in ("anti-aligned", "mixed"))
            assert np.isclose(swapped.pooled[0, -1, e], score[m])


@pytest.mark.parametrize("basis", ["standard", "plusminus", "random:12"])
def test_readings_that_are_alike_turn_the_basis_alike(rng, basis):
    x = rng.normal(size=(200, D))
    request = Request(seed=2, **QUICK)
    resources = Resources.resolve()
    kinds = ("permutations", "neighbours", "random:30", "random:5", "active:4", "halves")
    curve = srmfast.specification(x, basis, planes=kinds, centring="raw", seed=2, **QUICK)
    plan = make_plan(x, basis, request, resources, suggest=False, centring="raw", planes=kinds)
    frames = []
    for run in plan.runs:
        (member,) = prepare([("", x)], [("", basis)], plan.request_of(run), resources)
        (found,) = member.bases
        drawn = PlanesDrawn.of(found.basis, found.geometry, found.planes, null_sizes(member, found, request), 2)
        frames.append((drawn.vectors, drawn.frame))
    numbers = curve.alike[::2]
    assert len(set(numbers)) > 1 and (numbers == numbers[0]).sum() > 1
    for a, b in combinations(range(len(frames)), 2):
        same = all(np.array_equal(one, other) for one, other in zip(frames[a], frames[b], strict=True))
        assert same or numbers[a] != numbers[b], (plan.words_of(plan.runs[a]), plan.words_of(plan.runs[b]))


def test_the_joint_p_counts_rotations_with_as_high_a_median(rng):
    curve = srmfast.specification(rng.normal(size=(100, D)), **ALL)
    medians = np.median(curve.score, axis=1)
    assert curve.joint().p_aligned == (1 + (medians[1:] >= medians[0]).sum()) / 40
    for m in range(1, 40):  # the rotations have the p that their ranks say
        order = np.arange(40)
        order[[0, m]] = m, 0
        swapped = replace(curve, score=curve.score[order], called=curve.called[order])
        assert swapped.joint().p_aligned == (medians >= medians[m]).mean()


# ---- choices ------------------------------------------------------------------------------------------------


def test_halves_part_the_vectors_and_keep_parallel_ones_together():
    geometry = Geometry.of(load_basis("plusminus", D))
    a, b = (np.unique(pairs) for pairs in halves(geometry, 1))
    assert sorted([*a, *b]) == list(range(2 * D))
    opposite = {(int(i), int(j)) for i, j in geometry.parallel}
    assert all((i in a) == (j in a) for i, j in opposite) and opposite
    assert not any(geometry.is_parallel(*pairs.T).any() for pairs in halves(geometry, 1))
    assert halves(Geometry.of(load_basis("plusminus", 3)), 1) is None


@given(st.data())
def test_what_decides_is_the_smallest_set_that_tells_all(data):
    n, c = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    chosen = data.draw(arrays(np.int64, (n, c), elements=st.integers(0, 2)))
    outcome = data.draw(arrays(bool, n))

    def tells(some):
        by = {}
        for row, value in zip(chosen[:, some].tolist(), outcome.tolist(), strict=True):
            by.setdefault(tuple(row), set()).add(value)
        return all(len(values) == 1 for values in by.values())

    found = smallest_deciding(outcome, chosen)
    sizes = [size for size in range(c + 1) if any(tells(list(some)) for some in combinations(range(c), size))]
    assert len(found) == (min(sizes) if sizes else c) and (tells(list(found)) or not sizes)
    shares = [explained_share(outcome, chosen[:, at]) for at in range(c)]
    assert all(-1e-12 <= share <= 1 + 1e-12 for share in shares)
    if len(found) == 1 and sizes:
        assert np.isclose(shares[found[0]], 1.0)
    for at, option in in_common(outcome, chosen) if outcome.any() else ():
        assert (chosen[outcome, at] == option).all() and not (chosen[:, at] == option).all()


def test_epsilons_are_about_what_the_rows_suggest(rng):
    x = rng.normal(size=(300, 64))
    plan = make_plan(x, "standard", Request(null=39), Resources.resolve(), suggest=True)
    suggested = srmfast.run(x, epsilon=0.99, keep="summary").attrs["suggested_epsilon"]
    assert np.allclose(plan.request.epsilon, np.array([0.85, 1.0, 1.15]) * suggested, atol=0.03)
    far = make_plan(x + 40.0 * np.eye(64)[3], "standard", Request(null=39), Resources.resolve(), suggest=True)
    assert np.allclose(far.request.epsilon[:3], plan.request.epsilon, atol=0.03) and far.request.epsilon[3:] > (0.9,)


@pytest.mark.parametrize(
    "options, match",
    [
        (dict(centring=("raw", "scaled")), "centring must be raw or centred, or both"),
        (dict(centring=()), "centring must be .* got nothing"),
        (dict(first_tokens="without"), r"first tokens are known where rows are those of \(sequence, position\)"),
        (dict(first_tokens=("with", "with")), "first tokens must be"),
        (dict(long_rows="no"), "long rows must be with or without"),
        (dict(planes=("permutations", "combinations")), "to a verdict permutations and combinations are not"),
        (dict(planes=()), "planes must be of one kind at least"),
        (dict(planes="halves", basis=np.eye(D)[:3]), "a half needs vectors"),
        (dict(planes="all"), "planes must be permutations"),
        (dict(centre=True), "the mean is one of the choices"),
        (dict(null=0), "every reading is a verdict and needs rotations"),
        (dict(epsilon=2.0), "epsilon must lie in"),
        (dict(max_norm=-1), "max_norm must be"),
    ],
)
def test_what_cannot_be_varied_is_refused(options, match):
    with pytest.raises(InputError, match=match):
        srmfast.specification(np.eye(D), **(QUICK | options))


def test_long_rows_by_a_given_length(sequences):
    given, none = (
        make_plan(sequences, "standard", Request(max_norm=limit, **QUICK), Resources.resolve(), suggest=False)
        for limit in ("abs:50", "abs:1e6")
    )
    assert "long rows" in [choice.name for choice in given.choices]
    assert ("long rows", "no row is longer than 1000000.0") in none.unvaried


# ---- elsewhere -----------------------------------------------------------------------------------------------


def test_a_curve_from_the_command_line_and_back(tmp_path, rng, srmfast_main, sequences):
    np.save(tmp_path / "x.npy", sequences)
    listed = srmfast_main(f"specification {tmp_path}/x.npy --epsilon 0.5,0.8 --null 39 --dry-run")
    assert (
        listed.rc == 0
        and "48 readings in 24 runs" in listed.stdout
        and "long     rows are looked for" in listed.stdout
        and "time" in listed.stdout
    )
    line = f"specification {tmp_path}/x.npy --epsilon 0.5,0.8 --null 39 --centring raw --planes permutations"
    ended = srmfast_main(f"{line} -o {tmp_path}/c.zarr --csv {tmp_path}/c.csv --plot {tmp_path}/c.png --progress plain")
    assert ended.rc == 0 and "readings 1 to 2 of 8: with first tokens, with long rows" in ended.stderr, ended
    curve = srmfast.load(tmp_path / "c.zarr")
    assert curve.summary() in ended.stdout and max(map(len, curve.summary().splitlines())) <= 100
    assert (tmp_path / "c.png").stat().st_size > 10_000
    again = srmfast.specification(sequences, centring="raw", **ALL)
    for name in curve.VARIABLES:
        assert np.array_equal(
            getattr(curve, name), getattr(again, name), equal_nan=name in ("effect", "low", "high")
        ), name
    shown = srmfast_main(f"show {tmp_path}/c.zarr --csv {tmp_path}/d.csv")
    assert shown.rc == 0 and shown.stdout.startswith(curve.summary())
    assert (tmp_path / "c.csv").read_bytes() == (tmp_path / "d.csv").read_bytes()
    with open(tmp_path / "c.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and [float(row["effect"]) for row in rows] == sorted((float(row["effect"]) for row in rows), reverse=True)  # fmt: skip
    assert srmfast_main(f"plot {tmp_path}/c.zarr -o {tmp_path}/c.svg").rc == 0
    refused = srmfast_main(f"plot {tmp_path}/c.zarr -o {tmp_path}/e.png --signed")
    assert refused.rc == 1 and "a specification curve takes no signed" in refused.stderr
    refused = srmfast_main(f"{line} -o {tmp_path}/c.zarr")
    assert refused.rc == 1 and "use --force" in refused.stderr


def test_the_figure_says_the_number_and_marks_every_reading(sequences):
    curve = srmfast.specification(sequences, centring="raw", **ALL)
    figure = curve.plot()
    assert curve.headline() in figure.get_suptitle()
    above, below = figure.axes
    marked = sum(len(marks.get_offsets()) for marks in above.collections if hasattr(marks, "get_offsets") and marks.get_label()[0] != "_")  # fmt: skip
    assert marked == len(curve) - np.isnan(curve.effect).sum()
    names = [label.get_text() for label in below.get_yticklabels()]
    assert names == ["with first tokens", "without first tokens", "with long rows", "without long rows", "ε = 0.5", "ε = 0.8"]  # fmt: skip
    many = replace(curve, **{name: np.repeat(getattr(curve, name), 20, axis=curve.VARIABLES[name][0].index("reading")) for name in curve.VARIABLES})  # fmt: skip
    with pytest.raises(InputError, match="at most 128 readings"):
        many.plot()


def test_a_damaged_curve_is_refused(tmp_path, rng):
    curve = srmfast.specification(on_vectors(rng, 100), centring="raw", **ALL)
    replace(curve, verdict=np.array(["none", "none"])).save(tmp_path / "c.zarr")
    with pytest.raises(InputError, match="damaged: verdicts are not those"):
        srmfast.load(tmp_path / "c.zarr")


def test_data_frame(rng):
    pytest.importorskip("pandas")
    curve = srmfast.specification(on_vectors(rng, 100), **ALL)
    frame = curve.to_dataframe()
    assert (
        len(frame) == 4
        and list(frame["centring"].unique())
        and frame["p"].tolist() == [row["p"] for row in curve.ranked()]
    )
