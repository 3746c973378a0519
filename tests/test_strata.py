"""Strata: kinds of rows counted apart are those that labels made in NumPy give, to the last count."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import srmfast
from srmfast.analyses.verification import verify
from srmfast.coverage import coverage_of
from srmfast.engine import Request, checkpoint, count_part, merge, plan, prepare
from srmfast.engine.events import BlockDone, PassStarted, ReadingResumed
from srmfast.engine.strata import Massive, Norm, Position, Strata, Token, check_strata
from srmfast.naive import pinned_dot
from srmfast.spec import Resources

N, T, D = 20, 30, 12
ALL = "position,norm,token:3,massive"
WAYS = {
    "dense": dict(labels=np.arange(N * T) % 3),
    "hits": dict(keep="hit", centre=True),
    "zeros": dict(zero_rows="keep", epsilon=(-0.2, 0.5), keep="summary"),
    "highest": dict(keep="top:2", planes="combinations", centre="both"),
    "chosen": dict(planes="active:9"),
    "long": dict(max_norm=15, centre=True),
    "broken": dict(nonfinite="skip", centre=True),
    "limited": dict(max_norm="abs:30", rows="7:590:3", groups=np.arange(N * T) // T),
}


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch):
    monkeypatch.setattr(plan, "_SLAB", 1 << 12)


@pytest.fixture
def rows(rng):
    x = (rng.normal(size=(N, T, D)) + 0.2).astype(np.float32)
    x[:, 0] *= 40
    x[:, 3, 2] = 30
    x[:, 7] *= 0.01
    x[2, 5] = 0.0
    return x


@pytest.fixture
def tokens(rng):
    return np.minimum(rng.geometric(0.2, size=(N, T)), 9)


def run(x, tokens=None, **more):
    options = dict(epsilon=(0.3, 0.6), angles=24, block_rows=32, strata=ALL) | more
    return srmfast.run(x, "random:12", tokens=tokens, **options)


def kinds(rows, tokens, median, counted=slice(None)):
    """The stratum of each row in each family, by plain NumPy and the pinned dot."""
    flat = rows.reshape(-1, D).astype(np.float64)
    norm = np.array([np.sqrt(pinned_dot(x, x)) for x in flat])
    position = np.tile(np.arange(T), N)
    ids, times = np.unique(tokens.reshape(-1)[counted], return_counts=True)
    frequent = ids[np.lexsort((ids, -times))[:3]]
    with np.errstate(invalid="ignore", divide="ignore"):
        heavy = np.abs(flat).max(axis=1) ** 2 / norm**2 >= 0.5
    return {
        "position": np.select([position < 1, position < 4, position < 16], ["first", "2-4", "5-16"], "17-30"),
        "norm": np.select([norm > 10 * median, 10 * norm < median], ["over 10x", "under 1/10"], "ordinary"),
        "token": np.array([str(one) if one in frequent else "others" for one in tokens.reshape(-1)]),
        "massive": np.where(heavy, "one column", "no column"),
    }


def compare(result, found, labelled):
    """Assert that each family of `result` is what a run of its own with these labels gives."""
    for family, names in found.items():
        own = labelled(names)
        places = {name: n for n, name in enumerate(result.stratum.tolist()) if name.startswith(f"{family}: ")}
        for c, name in enumerate(own.label.tolist()):
            n = places.pop(f"{family}: {name}")
            assert np.array_equal(result.stratum_rows[:, n], own.rows_used[:, c]), (family, name)
            assert np.array_equal(result.stratum_total[n], own.total[c]), (family, name)
            assert np.array_equal(result.stratum_phase[:, n], own.phase[:, c]), (family, name)
        for n in places.values():  # strata that no row is in
            assert not result.stratum_rows[:, n].any() and not result.stratum_phase[:, n].any()


def same(a, b):
    for field in dataclasses.fields(a):
        mine, theirs = getattr(a, field.name), getattr(b, field.name)
        if field.name != "attrs":
            assert (mine is None and theirs is None) or np.array_equal(mine, theirs), field.name
    for name in ("rows", "spec", "spec_digest", "mean_over_rms"):
        assert a.attrs[name] == b.attrs[name], name


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_each_family_is_what_labels_give(rows, tokens, way, threads, monkeypatch):
    if way in ("hits", "highest"):
        monkeypatch.setattr(plan, "_DENSE_SHARE", 1e-9)
    options = dict(WAYS[way])
    if way == "broken":
        rows[3, 4, 1], rows[3, 5, 2], rows[4, 0, :2] = np.nan, np.inf, (np.inf, -np.inf)
    whole = run(rows, tokens, threads=threads, **options)
    members = list(whole.values()) if way == "highest" else [whole]
    for result, centre in zip(members, (False, True), strict=False):
        labelled = options | {
            "strata": None,
            "null": 39,
            "centre": centre if way == "highest" else options.get("centre", False),
        }
        median = result.attrs["spec"]["strata"]["norm"]["median"]
        counted = slice(7, 590, 3) if way == "limited" else slice(None)
        found = kinds(rows, tokens, median, counted)
        compare(result, found, lambda names, how=labelled: run(rows, **how | {"labels": names}))
        plain = run(rows, **labelled | {"null": 0})
        for name in ("counts", "total", "fold_total", "rows_used"):
            assert np.array_equal(getattr(result, name), getattr(plain, name)), name


def test_the_median_is_of_all_rows_that_other_rules_keep(rows, tokens):
    norms = np.sqrt((rows.reshape(-1, D).astype(float) ** 2).sum(axis=1))
    for more in ({}, dict(max_norm=15), dict(max_norm="abs:30")):
        events = []
        result = run(rows, strata="norm", on_event=events.append, **more)
        about = result.attrs["spec"]["strata"]["norm"]
        assert about["found"] and abs(about["median"] / np.median(norms[norms > 0]) - 1) < 0.01
        assert [event.purpose for event in events if isinstance(event, PassStarted)] == ["norms", "count"]
    given, events = run(rows, strata="norm:3.5", on_event=events.append), []
    assert given.attrs["spec"]["strata"]["norm"]["median"] == 3.5
    both = run(rows, strata="norm", centre="both", on_event=events.append)
    assert [event.purpose for event in events if isinstance(event, PassStarted)] == ["norms", "count", "count"]
    first, second = both.values()
    assert np.array_equal(first.stratum_rows.sum(axis=0), [N, N * T - 2 * N - 1, N])
    assert np.array_equal(second.stratum_rows.sum(axis=0), [N, N * T - 2 * N - 1, N + 1])  # the zero row is used


@pytest.mark.parametrize("dtype", ["float16", "float64", "int16"])
def test_formats_and_types_give_the_same(tmp_path, rows, tokens, dtype):
    import zarr

    x = (rows * 50).astype(dtype)
    zarr.save_array(str(tmp_path / "x.zarr"), x)
    np.save(tmp_path / "x.npy", x)
    first = run(x, tokens, centre=True)
    compare(
        first, kinds(x, tokens, first.attrs["spec"]["strata"]["norm"]["median"]),
        lambda names: run(x, strata=None, labels=names, null=39, centre=True),
    )  # fmt: skip
    for name in ("x.npy", "x.zarr"):
        found = run(str(tmp_path / name), tokens, centre=True)
        for variable in ("stratum_rows", "stratum_total", "stratum_phase"):
            assert np.array_equal(getattr(found, variable), getattr(first, variable))


@pytest.mark.parametrize("kind", ["standard", "oblique"])
def test_wide_layers_that_are_searched_give_the_same(rng, kind):
    x = rng.standard_t(2, size=(N * T, 96)).astype(np.float16)
    basis = "standard" if kind == "standard" else rng.normal(size=(150, 96))
    options = dict(epsilon=(0.5, 0.8), angles=24, planes="combinations", keep="summary", block_rows=64)
    result = srmfast.run(x, basis, strata="massive", **options)
    assert kind == "oblique" or result.attrs["provenance"]["method"] == "search"
    flat = x.astype(np.float64)
    norm = np.array([np.sqrt(pinned_dot(row, row)) for row in flat])
    found = {"massive": np.where((np.abs(flat).max(axis=1) / norm) ** 2 >= 0.5, "one column", "no column")}
    assert result.stratum_rows.sum(axis=0).all()
    compare(result, found, lambda names: srmfast.run(x, basis, labels=names, null=39, **options))


def test_shards_merge_to_the_whole_and_a_file_keeps_it(tmp_path, rows, tokens):
    options = dict(epsilon=0.4, angles=24, strata="position,norm:3.5,token:3,massive", tokens=tokens, zero_rows="keep")
    request, paths = Request(**options), []
    for number in (1, 2, 3):
        how = Resources(number, 1 << 30, 32)
        members = prepare([("x", rows)], [("", "random:12"), ("own", "standard")], request, how)
        paths.append(tmp_path / f"{number}.part")
        count_part(members, request, how, (number, 3), paths[-1])
    found = merge(paths)
    whole = srmfast.run_many({"x": rows}, {"": "random:12", "own": "standard"}, request)
    for mine, theirs in zip(found.values(), whole.values(), strict=True):
        same(mine, theirs)
    found.save(tmp_path / "o.zarr")
    for mine, theirs in zip(srmfast.load(tmp_path / "o.zarr").values(), whole.values(), strict=True):
        same(mine, theirs)
        assert str(mine.strata()) == str(theirs.strata())
        assert verify(mine, rows, tokens=tokens, resources=Resources(2, 1 << 30, 64)).holds


def test_xarray_opens_strata_unaided(tmp_path, rows):
    xarray = pytest.importorskip("xarray")
    run(rows, strata="position").save(tmp_path / "o.zarr")
    data = xarray.open_zarr(tmp_path / "o.zarr")
    assert data.stratum.values.tolist()[0] == "position: first"
    assert int(data.stratum_rows.sel(stratum="position: first").sum()) == N


def test_strata_survive_a_kill_at_every_block(tmp_path, rows, tokens, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 1e-9)
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr(checkpoint.os, "fsync", lambda descriptor: None)
    alone, kills, resumed = run(rows, tokens, centre=True), 0, 0

    def on_event(event):
        nonlocal left, resumed
        resumed += isinstance(event, ReadingResumed)
        if isinstance(event, BlockDone):
            left -= 1
            if left < 0:
                raise InterruptedError

    while True:
        left = 1
        try:
            found = run(
                rows, tokens, centre=True, checkpoint=tmp_path / "ck", threads=1 + kills % 4, on_event=on_event,
                block_rows=(16, 33)[kills % 2],
            )  # fmt: skip
            break
        except InterruptedError:
            kills += 1
    assert kills > 3 and resumed > 3
    same(found, alone)
    with pytest.raises(srmfast.InputError, match="is another one: .*strata"):
        run(rows, centre=True, checkpoint=tmp_path / "ck", strata="position")


def test_positions_begin_at_the_first_kept_row(rows):
    lengths = np.arange(N) % 7 + 4
    left = run(rows, strata="position", lengths=lengths, padding="left")
    right = run(rows, strata="position", lengths=lengths)
    mask = np.arange(T) >= T - lengths[:, None]
    masked = run(rows, strata="position", mask=mask)
    for name in ("stratum_rows", "stratum_total", "stratum_phase"):
        assert np.array_equal(getattr(left, name), getattr(masked, name)), name
    assert left.stratum_rows.sum(axis=0)[0] == N
    assert right.stratum_rows.sum(axis=0).tolist() == [N, 3 * N, int(lengths.sum()) - 4 * N - (lengths[2] > 5), 0]
    labels = np.where(mask, np.arange(T) - (T - lengths[:, None]), 0)
    labels = np.select([labels < 1, labels < 4, labels < 16], ["first", "2-4", "5-16"], "17-30")
    compare(
        left,
        {"position": labels},
        lambda names: run(rows, strata=None, labels=names, lengths=lengths, padding="left", null=39),
    )
    heads = rows.reshape(N, T // 2, 2, D)
    inner = run(heads, strata="position", lengths=np.full(N, T // 2), feature_axis=-1)
    assert inner.stratum_rows.sum(axis=0)[0] == 2 * N


def test_tokens_are_found_beside_the_store(tmp_path, rows, tokens):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["acts"], file["input_ids"] = rows, tokens
    path = f"{tmp_path / 'x.h5'}::acts"
    beside, given = run(path, strata="token:3"), run(rows, tokens, strata="token:3")
    assert np.array_equal(beside.stratum_total, given.stratum_total)
    assert any("input_ids" in note for note in beside.attrs["notes"])
    some = run(rows, tokens, strata="token:id=2+99+-1")
    assert some.stratum.tolist() == ["token: -1", "token: 2", "token: 99", "token: others"]
    assert some.stratum_rows.sum(axis=0)[[0, 2]].tolist() == [0, 0]
    left = run(rows, tokens, strata="token:2", exclude_tokens=[1])
    assert "token: 1" not in left.stratum.tolist()


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(strata="positions"), "strata are position, norm, token, massive, .*got 'positions'"),
        (dict(strata="norm,norm:3"), "each family of strata may be given once, got norm twice"),
        (dict(strata="norm:-1"), "got 'norm:-1'"),
        (dict(strata="token:id="), "got 'token:id='"),
        (dict(strata="massive:2"), "got 'massive:2'"),
        (dict(strata="token"), "--strata token needs the token of each row of .*none called"),
        (dict(strata="token:9999", tokens=np.arange(N * T)), None),
    ],
)
def test_bad_strata_are_refused_in_one_line(rows, options, said):
    if said is None:
        assert run(rows, keep="summary", **options).stratum.size == N * T - 0 + 1
        return
    with pytest.raises(srmfast.InputError, match=said):
        run(rows, **options)


def test_rows_without_sequences_have_no_position(rows, srmfast_main, tmp_path, monkeypatch):
    with pytest.raises(srmfast.InputError, match="need sequences, rows .*no axis tells positions"):
        run(rows.reshape(-1, D), strata="position")
    with pytest.raises(srmfast.InputError, match="which axis is that of positions"):
        run(rows.reshape(N, T // 2, 2, D), strata="position", feature_axis=-1)
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", rows)
    words = "run x.npy --epsilon 0.5 --angles 24 --progress none --strata norm,massive"
    ended = srmfast_main(f"{words} --shard 1/2 -o 1.part")
    assert ended.rc == 1 and "every shard takes the median M by --strata norm:M" in ended.stderr
    ended = srmfast_main(f"{words} --dry-run")
    assert ended.rc == 0 and "counts by stratum" in ended.stdout and "one for the norms" in ended.stdout
    ended = srmfast_main(f"{words} -o o.zarr")
    assert ended.rc == 0 and "\nstrata  " in ended.stdout


# ---- laws ------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 3), st.integers(1, 9), st.floats(0.01, 100), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_codes_are_one_stratum_of_each_family(size, inner, sequences, median, seed):
    rng = np.random.default_rng(seed)
    n = size * inner * sequences
    column = rng.integers(0, 4, n).astype(np.int16)
    starts = rng.integers(0, size, sequences) if seed % 2 else None
    families = (Position(size, inner, starts), Norm(median), Token((5, 6, 7), column, 1), Massive())
    strata = Strata(families)
    absolute, norms = np.sort(rng.choice(n, rng.integers(1, n + 1), replace=False)), rng.lognormal(size=n)
    norms, peaks = norms[absolute], norms[absolute] * rng.uniform(size=absolute.size)
    codes = strata.codes(absolute, norms, peaks)
    assert codes.min() >= 0 and codes.max() < strata.cells == np.prod(strata.shape)
    each = np.unravel_index(codes, strata.shape)
    position = absolute // inner % size - (0 if starts is None else starts[absolute // inner // size])
    for place, family, found in zip(position, [families[0].names] * len(position), each[0], strict=True):
        low = [0, 1, 4, 16, 64][found]
        assert (place < 1 and found == 0) or low <= place < [1, 4, 16, 64, 256][found]
        assert len(family) > found
    assert np.array_equal(each[1], np.where(norms > 10 * median, 0, np.where(10 * norms < median, 2, 1)))
    assert np.array_equal(each[2], column[absolute])
    assert np.array_equal(each[3] == 0, (peaks / norms) ** 2 >= 0.5)
    assert families[0].names[0] == "first" and len(set(families[0].names)) == len(families[0].names)


def test_every_family_adds_up_to_the_whole(rows, tokens):
    result = run(rows, tokens, null=39)
    for family in ("position", "norm", "token", "massive"):
        some = [n for n, name in enumerate(result.stratum.tolist()) if name.startswith(f"{family}: ")]
        assert np.array_equal(result.stratum_total[some].sum(axis=0), result.total[0])
        assert np.array_equal(result.stratum_rows[:, some].sum(axis=1), result.rows_used[:, 0])
        assert np.array_equal(result.stratum_phase[:, some].sum(axis=1), result.phase[:, 0])


def test_options_are_put_in_one_order():
    assert check_strata("massive, token:4 ,position") == ("position", "token:4", "massive")
    assert check_strata(("norm",)) == check_strata(["norm"]) == ("norm",) and check_strata(None) == ()


# ---- words -----------------------------------------------------------------------------------------------


def test_a_few_rows_that_make_the_pairs_are_told(rng):
    x = rng.normal(size=(4000, 24))
    x[:40] = 0.0
    x[:40, 3] = 400.0
    result = srmfast.run(x, "standard", epsilon=(0.6, 0.8), strata="norm,massive")
    assert result.strata() == result.strata(0.8)  # where these rows make most
    found = result.strata(0.6)
    long = found.strata[0]
    assert (long.family, long.name, long.rows, long.share) == ("norm", "over 10x", 40, 0.01) and long.noted
    near, far = result.stratum_phase[:, :3, 0].sum(axis=(0, 1))
    assert long.near_share == long.near / near and found.effect == (near - far) / (near + far)
    others = result.stratum_phase[:, 1:3, 0].sum(axis=(0, 1))
    assert long.without == (others[0] - others[1]) / others.sum() and long.low < long.without < long.high
    assert "1.0% of the rows (norm: over 10x) make" in result.summary() and "without them it is" in str(found)
    assert max(map(len, result.summary().split("\n"))) <= 100
    assert result.strata(0.8).epsilon == 0.8
    several = srmfast.run(x, "standard", epsilon=0.6, strata="norm", centre="both").summary()
    assert "strata  array, standard: 1.0% of the rows (norm: over 10x) make" in several
    assert max(map(len, several.split("\n"))) <= 100
    with pytest.raises(srmfast.InputError, match="epsilon must be one of 0.6, 0.8, got 0.7"):
        result.strata(0.7)
    several = srmfast.run(x[40:], "standard", epsilon=0.6, strata="norm", centre="both").summary()
    assert several.count("\nstrata  no kind of row makes 5 times its share") == 1
    plain = srmfast.run(x[40:], "standard", epsilon=0.6, strata="norm")
    assert "no kind of row (by norm) makes 5 times its share" in plain.summary()
    with pytest.raises(srmfast.InputError, match="not told apart by strata"):
        srmfast.run(x, "standard").strata()


def test_nothing_in_any_cone_makes_no_words_of_nothing(rng):
    found = srmfast.run(rng.normal(size=(50, 40)), "standard", epsilon=0.999, strata="norm").strata()
    assert np.isnan(found.effect) and all(np.isnan(one.near_share) for one in found.strata) and not found.noted
    assert "nan" not in str(found)


def test_the_vectors_that_hold_rows_are_told_without_rotations(rng):
    one = np.abs(rng.normal(size=(500, 8))) * 0.05
    one[:, 2] = 1.0
    lone = srmfast.run(one, "standard", epsilon=0.8)
    line = next(line for line in lone.summary().split("\n") if line.startswith("cover"))
    assert "1 of 8 vectors have rows in the cone about them, as if spread evenly over 1.0" in line
    assert "hold to the same one: one direction, not the basis" in lone.summary()
    assert np.isclose(lone.mean()[0, 0, 0], 1 / 8)  # the mean over planes is that of rows spread over all of them
    spread = srmfast.run(np.eye(8)[rng.integers(0, 8, 500)] + 0.01, "standard", epsilon=0.8)
    assert "at ε = 0.8 8 of 8 vectors have rows in the cone about them" in spread.summary()
    assert "one direction, not the basis" not in spread.summary()
    assert coverage_of(spread, 0.8).holding == 8
    assert "cover " not in srmfast.run(one, "standard", epsilon=0.8, keep="summary").summary()
    signed = srmfast.run(one, "plusminus", epsilon=0.8)  # no row lies about the vector opposite to it
    assert coverage_of(signed, 0.8).holding == 1 and "one direction, not the basis" in signed.summary()
    assert "cover " not in srmfast.run(one, "standard", epsilon=0.8, null=39).summary()


def test_strata_are_told_at_the_epsilon_where_they_matter(rng):
    x = rng.normal(size=(200, 30, 8))
    x[:, 0, 2] += 40  # at ε = 0.2 every row comes near some plane; at 0.8, these above all
    result = srmfast.run(x, epsilon=[0.2, 0.8], strata="position", angles=36)
    assert not result.strata(0.2).noted
    assert result.strata().epsilon == 0.8 and result.strata().noted[0].name == "first"
    assert srmfast.run(x[:, 1:], epsilon=[0.2, 0.8], strata="position", angles=36).strata().epsilon == 0.2


def test_what_holds_of_every_row_near_a_neuron_is_not_noted(rng):
    x = rng.normal(size=(3000, 16))
    found = srmfast.run(x, epsilon=[0.5, 0.8], strata="massive", angles=24)
    assert found.strata(0.8).strata[0].near_share == 1 and not found.strata(0.8).noted  # cos² > ½ is massive
    turned = srmfast.run(x, srmfast.bases.random_frame(16, 16, rng), epsilon=0.8, strata="massive", angles=24)
    assert not any(one.implied for one in turned.strata().strata)
