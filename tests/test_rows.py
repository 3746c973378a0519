"""Which rows count: every rule equals filtering in NumPy, and every row left out is accounted for."""

import cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import srmfast
from srmfast import naive
from srmfast.engine.collect import SharedRepeats
from srmfast.engine.stored import DTYPES, to_floats
from srmfast.kernels.decode import USED
from srmfast.norms import NormHistogram
from srmfast.repeats import LOOKED_AT, Repeats, looked_at, stride

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)
HOW = [{"threads": threads, "block_rows": rows} for threads in (1, 2, 4) for rows in (None, 1, 7)]


def run(x, **options):
    return srmfast.run(x, "standard", epsilon=0.5, angles=12, keep="all", nonfinite="skip", **options)


def accounted(result):
    rows = result.attrs["rows"]
    assert rows["seen"] == rows["used"] + rows["zero_norm"] + rows["nonfinite"] + sum(rows["masked"].values())
    return rows


def sequences(rng, n=6, t=9, d=5, dtype=np.float32):
    """Rows (n, t, d) with zero, non-finite, long and repeated ones among them."""
    x = rng.normal(size=(n, t, d)) * 2.0 ** rng.integers(-3, 4, (n, t, 1))
    x[rng.random((n, t)) < 0.1] = 0
    x[0, 0] = x[1, 1]
    x = x.astype(dtype)
    if x.dtype.kind == "f":
        x[rng.random((n, t)) < 0.05, 0] = np.nan
    return x


def norms_of(rows):
    return np.sqrt(naive.pinned_dot(rows, rows))


@few
@given(seeds, st.sampled_from(HOW), st.booleans(), st.data())
def test_rules_equal_filtering_in_numpy(seed, how, left, data):
    rng = np.random.default_rng(seed)
    x = sequences(rng)
    lengths, mask = rng.integers(0, 10, 6), rng.random((6, 9)) < 0.8
    tokens = rng.integers(-2, 4, (6, 9))
    place = np.arange(9) >= 9 - lengths[:, None] if left else np.arange(9) < lengths[:, None]
    given_ = data.draw(st.sets(st.sampled_from(["mask", "lengths", "tokens"]), min_size=1))
    options, kept = {}, np.ones((6, 9), bool)
    if "mask" in given_:
        options["mask"], kept = mask, kept & mask
    if "lengths" in given_:
        options |= {"lengths": lengths, "padding": "left" if left else "right"}
        kept &= place
    if "tokens" in given_:
        options |= {"exclude_tokens": "0,-2", "tokens": tokens}
        kept &= ~np.isin(tokens, [0, -2])
    rows = x.reshape(-1, 5)[kept.reshape(-1)].astype(float)
    finite = rows[np.isfinite(rows).all(axis=1)]
    if not finite.any():
        return
    result = run(x, **options, **how)
    assert (result.counts[0] == cases.reference(finite, result)).all()
    found = accounted(result)
    assert sum(found["masked"].values()) == (~kept).sum() and set(found["masked"]) == given_
    assert found["nonfinite"] == len(rows) - len(finite)


def test_each_row_is_accounted_for_at_the_first_rule_that_applies(rng):
    x = rng.normal(size=(4, 6, 3))
    mask = np.ones((4, 6), bool)
    mask[0] = False
    tokens = np.zeros((4, 6), int)
    tokens[:, 0] = 7
    result = run(x, mask=mask, lengths=[6, 6, 4, 6], exclude_tokens=[7], tokens=tokens, max_norm="abs:1e9")
    assert accounted(result)["masked"] == {"mask": 6, "lengths": 2, "tokens": 3, "max-norm": 0}


@few
@given(seeds, st.sampled_from(DTYPES), st.sampled_from(HOW), st.floats(0.2, 4), st.booleans(), st.booleans())
def test_long_rows_are_left_out_as_numpy_does(seed, dtype, how, multiple, centre, absolute):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(seed)
    x = sequences(rng, dtype=np.float64).reshape(-1, 5)
    x = np.nan_to_num(x, nan=1.0) if dtype in ("bool",) or "int" in dtype else x
    kind = getattr(ml_dtypes, dtype) if "bfloat" in dtype or "float8" in dtype else dtype
    with np.errstate(invalid="ignore"):
        x = x.astype(kind)
    raw = x.view({1: np.uint8, 2: np.uint16}[x.itemsize]) if kind != dtype else x
    rows = to_floats(raw, dtype)
    norms = norms_of(rows)
    usable = np.isfinite(norms) & (norms > 0)
    if not usable.any():
        return
    middle = np.sort(norms[usable])[(usable.sum() - 1) // 2]
    median = float((middle.view(np.int64) >> 40 << 40).view(np.float64))
    assert median <= middle <= median * (1 + 2**-12)
    limit = multiple * median
    kept = rows[np.isfinite(norms) & (norms <= limit)]
    if not kept.any() or (centre and len(np.unique(kept, axis=0)) < 2):
        return
    result = run(x, max_norm=f"abs:{limit!r}" if absolute else multiple, centre=centre, **how)
    found = accounted(result)
    assert found["masked"] == {"max-norm": int((usable & (norms > limit)).sum())}
    assert result.attrs["spec"]["max_norm"]["limit"] == limit
    if absolute:
        assert result.attrs["norms"] is None
    else:
        assert result.attrs["norms"]["rows"] == usable.sum() and result.attrs["norms"]["median"] == median
    # What is left is counted, centred too, as if the others had not been there.
    alone = run(x, mask=np.isfinite(norms) & (norms <= limit), centre=centre)
    assert (result.counts == alone.counts).all() and (result.rows_used == alone.rows_used).all()
    assert result.attrs["mean_over_rms"] == alone.attrs["mean_over_rms"]
    if not centre:
        assert (result.counts[0] == cases.reference(kept, result)).all()


def test_the_limit_is_of_the_rows_that_all_other_rules_keep(rng):
    x = rng.normal(size=(100, 4))
    x[:60] *= 1000
    mask = np.arange(100) >= 60
    result = run(x, mask=mask, max_norm=50)
    assert result.attrs["norms"]["rows"] == 40 and result.attrs["rows"]["masked"] == {"mask": 60, "max-norm": 0}
    assert run(x, max_norm=50).attrs["spec_digest"] != run(x, max_norm=51).attrs["spec_digest"]


@pytest.mark.parametrize("planes", ["permutations", "active:3"])
@pytest.mark.parametrize("basis", ["standard", "random:8"])
def test_long_rows_are_left_out_of_every_way_to_count(planes, basis, rng):
    x = rng.normal(size=(400, 70)).astype(np.float16)
    x[::9] *= 30
    kept = norms_of(x.astype(float)) <= 60
    options = dict(epsilon=0.2, angles=12, planes=planes)
    result, alone = (srmfast.run(x, basis, **options, **rule) for rule in ({"max_norm": "abs:60"}, {"mask": kept}))
    assert result.counts.any() and (result.counts == alone.counts).all() and (result.total == alone.total).all()
    assert result.attrs["rows"]["masked"]["max-norm"] == (~kept).sum() > 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lengths": [1, 2, 3]}, r"lengths must have one value a sequence, shape \(4,\); got shape \(3,\)"),
        ({"lengths": [1, 2, 3, 7]}, "lengths must lie in 0 … 6, got 1 to 7"),
        ({"lengths": [-1, 2, 3, 4]}, "lengths must lie in 0 … 6"),
        ({"lengths": [1.5, 2, 3, 4]}, "lengths must be whole numbers"),
        ({"lengths": np.ones((4, 6), int)}, "lengths must have one value a sequence"),
        ({"padding": "left"}, "give --lengths"),
        ({"padding": "up", "lengths": [1, 1, 1, 1]}, "padding must be one of right, left"),
        ({"exclude_tokens": "1,x"}, "token ids separated by commas"),
        ({"exclude_tokens": [1.5]}, "token ids separated by commas"),
        ({"exclude_tokens": 1}, "none called tokens, token_ids, input_ids is beside it; give --tokens"),
        ({"exclude_tokens": 1, "tokens": np.ones((4, 6))}, "tokens must be whole numbers"),
        ({"exclude_tokens": 1, "tokens": [1, 2]}, "tokens must have one value a row"),
        ({"tokens": np.ones((4, 6), int)}, "give --exclude-tokens"),
        ({"max_norm": 0}, "max_norm must be a positive multiple of the median norm"),
        ({"max_norm": "abs:-3"}, "max_norm must be a positive multiple"),
        ({"max_norm": "many"}, "max_norm must be a positive multiple"),
    ],
)
def test_rules_that_cannot_be_are_refused(options, message, rng):
    with pytest.raises(srmfast.InputError, match=message) as caught:
        run(rng.normal(size=(4, 6, 3)), **options)
    assert "\n" not in str(caught.value)


def test_lengths_need_sequences(rng):
    with pytest.raises(srmfast.InputError, match="this one has no sequences"):
        run(rng.normal(size=(4, 3)), lengths=[1, 1, 1, 1])


# ---- tokens beside the store ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tokens", "token_ids", "input_ids"])
def test_the_tokens_beside_the_store_are_used_and_named(name, tmp_path, rng, srmfast_main):
    x, tokens = rng.normal(size=(3, 5, 4)), rng.integers(0, 3, (3, 5))
    np.savez(tmp_path / "a.npz", acts=x, **{name: tokens})
    out = tmp_path / "o.zarr"
    ended = srmfast_main(
        f"run {tmp_path}/a.npz::acts --exclude-tokens 0,2 --epsilon 0.5 --angles 8 --keep all -o {out}"
    )
    assert ended.rc == 0 and f"token ids are those of {name}" in ended.stderr
    result = srmfast.load(out)
    assert result.attrs["rows"]["used"] == (tokens == 1).sum() and any(name in note for note in result.attrs["notes"])
    assert (result.counts[0] == cases.reference(x[tokens == 1], result)).all()


def test_several_token_arrays_beside_the_store_are_refused(tmp_path, rng):
    np.savez(tmp_path / "a.npz", acts=rng.normal(size=(3, 4)), tokens=np.arange(3), input_ids=np.arange(3))
    with pytest.raises(srmfast.InputError, match="beside it are tokens, input_ids; give --tokens"):
        run(f"{tmp_path}/a.npz::acts", exclude_tokens="0")
    assert run(f"{tmp_path}/a.npz::acts", exclude_tokens="0", tokens="tokens").attrs["rows"]["used"] == 2


def test_every_rule_on_the_command_line(tmp_path, rng, srmfast_main):
    x = rng.normal(size=(6, 9, 5))
    x[2, 2] *= 1e4
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "lengths.npy", np.full(6, 7))
    np.save(tmp_path / "tokens.npy", np.tile(np.arange(9), (6, 1)))
    out = tmp_path / "o.zarr"
    rules = f"--lengths {tmp_path}/lengths.npy --padding left --tokens {tmp_path}/tokens.npy --exclude-tokens -100,3"
    ended = srmfast_main(f"run {tmp_path}/x.npy {rules} --max-norm 100 --epsilon 0.5 --angles 8 -o {out}")
    assert ended.rc == 0, ended
    assert srmfast.load(out).attrs["rows"]["masked"] == {"lengths": 12, "tokens": 6, "max-norm": 1}
    assert "lengths: 12, tokens: 6, max-norm: 1" in ended.stdout
    assert "one for the norms, one to count" in srmfast_main(f"run {tmp_path}/x.npy --max-norm 9 --dry-run").stdout


# ---- norms ----------------------------------------------------------------------------------------------


@few
@given(seeds, st.integers(1, 60), st.integers(0, 60))
def test_norm_histograms_add_and_give_quantiles(seed, n, cut):
    rng = np.random.default_rng(seed)
    norms = 10.0 ** rng.uniform(-160, 150, n) if seed % 2 else rng.uniform(1, 2, n)
    whole, first, second = NormHistogram(), NormHistogram(), NormHistogram()
    for part, values in ((whole, norms), (first, norms[:cut]), (second, norms[cut:])):
        part.add(values)
    joined = NormHistogram.of_arrays(*(first + second).to_arrays())
    assert joined.total == n and joined.describe() == whole.describe()
    edges = (norms.view(np.int64) >> 40 << 40).view(np.float64)
    for q in (0.0, 0.3, 0.5, 1.0):
        assert whole.quantile(q) == np.sort(edges)[int(q * (n - 1))]
    limit = float(rng.choice(norms))
    bin_ = (np.float64(limit).view(np.int64) >> 40 << 40).view(np.float64)
    assert whole.above(limit) == (edges > bin_).sum()


# ---- repeats --------------------------------------------------------------------------------------------


@few
@given(seeds, st.sampled_from(HOW), st.sampled_from([np.float16, np.float32, np.float64, np.int8]), st.integers(2, 9))
def test_repeats_are_counted_exactly_while_all_rows_are_looked_at(seed, how, dtype, d):
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, (80, d)).astype(dtype)
    if not x.any():
        return
    used = x[x.any(axis=1)]
    _, counts = np.unique(used, axis=0, return_counts=True)
    found = run(x, **how).attrs["rows"]["duplicates"]
    assert found == {"looked_at": len(used), "repeats": len(used) - counts.size, "commonest": counts.max()}


def test_repeats_of_a_large_store_are_found_in_the_same_rows_by_anyone(rng):
    n = 100_000
    x = rng.normal(size=(n, 3)).astype(np.float32)
    x[n // 2 :] = x[0]
    found = [run(x, **how).attrs["rows"]["duplicates"] for how in HOW if how["block_rows"] != 1]
    assert all(one == found[0] for one in found)
    rows = looked_at(0, n, stride(n))
    assert found[0]["looked_at"] == rows.size == -(-n // stride(n)) <= LOOKED_AT
    assert found[0]["commonest"] in ((rows >= n // 2).sum(), (rows >= n // 2).sum() + 1)


@few
@given(st.integers(1, 10**12), st.integers(0, 10**6), st.lists(st.integers(0, 3000), min_size=2, max_size=4))
def test_rows_to_look_at_do_not_depend_on_the_blocks(n, start, cuts):
    cuts = sorted(start + cut for cut in cuts)
    step = stride(n)
    parts = [looked_at(low, high, step) for low, high in zip(cuts[:-1], cuts[1:], strict=True)]
    whole = looked_at(cuts[0], cuts[-1], step)
    assert (np.concatenate(parts) == whole).all() and (np.diff(whole // step) == 1).all()
    assert -(-n // step) <= LOOKED_AT


@few
@given(seeds, st.integers(0, 50))
def test_repeats_of_parts_add_up(seed, cut):
    hashes = np.random.default_rng(seed).integers(0, 9, 50, np.uint64)
    whole, joined = Repeats.of(hashes), Repeats.of(hashes[:cut]) + Repeats.of(hashes[cut:])
    assert (whole.hashes == joined.hashes).all() and (whole.counts == joined.counts).all()
    assert whole.describe()["repeats"] == 50 - np.unique(hashes).size


def test_rows_that_differ_in_one_bit_have_different_hashes():
    rows = np.packbits(np.eye(8 * 26, dtype=np.uint8), axis=1).view(np.uint16)
    shared = SharedRepeats(len(rows))
    shared.add(rows, np.arange(len(rows)), np.full(len(rows), USED, np.uint8), 0, len(rows))
    assert shared.total().describe() == {"looked_at": len(rows), "repeats": 0, "commonest": 1}
