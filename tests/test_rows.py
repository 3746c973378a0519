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
from srmfast.kernels.decode import USED, ZERO
from srmfast.norms import NormHistogram
from srmfast.repeats import GROUP, LOOKED_AT, Repeats, looked_at, stride

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


def stored(x, dtype):
    """Return float64 values as a type of store, and what these stand for."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.nan_to_num(x, nan=1.0) if dtype == "bool" or "int" in dtype else x
    kind = getattr(ml_dtypes, dtype) if "bfloat" in dtype or "float8" in dtype else dtype
    with np.errstate(invalid="ignore"):
        x = (np.abs(x) if dtype.startswith("uint") else x).astype(kind)
    return x, to_floats(x.view({1: np.uint8, 2: np.uint16}[x.itemsize]) if kind != dtype else x, dtype)


def norms_of(rows):
    return np.sqrt(naive.pinned_dot(rows, rows))


@few
@given(seeds, st.sampled_from(HOW), st.sampled_from(DTYPES), st.booleans(), st.data())
def test_rules_equal_filtering_in_numpy(seed, how, dtype, left, data):
    rng = np.random.default_rng(seed)
    x, values = stored(sequences(rng, dtype=np.float64), dtype)
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
    rows = values.reshape(-1, 5)[kept.reshape(-1)]
    finite = rows[np.isfinite(rows).all(axis=1)]
    if not finite.any():
        return
    result = run(x, **options, **how)
    assert (result.counts[0] == cases.reference(finite, result)).all()
    found = accounted(result)
    assert sum(found["masked"].values()) == (~kept).sum() and set(found["masked"]) == given_
    assert found["nonfinite"] == len(rows) - len(finite)


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("column", [False, True])
def test_lengths_are_of_the_axis_behind_their_own(rank, padding, column, rng):
    x = rng.normal(size=(3, 4, 5, 6))
    lengths = rng.integers(0, (0, 5, 6)[rank], x.shape[:rank])
    position = np.arange(x.shape[rank])
    kept = position < lengths[..., None] if padding == "right" else position >= position.size - lengths[..., None]
    kept = np.broadcast_to(kept.reshape(kept.shape + (1,) * (3 - kept.ndim)), (3, 4, 5))
    lengths = lengths[..., None].astype(np.float32) if column else lengths
    for how in HOW[::2]:
        result = run(x, feature_axis=-1, lengths=lengths, padding=padding, **how)
        assert (result.counts[0] == cases.reference(x[kept], result)).all()
        assert accounted(result)["masked"] == {"lengths": (~kept).sum()}


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
    rng = np.random.default_rng(seed)
    x, rows = stored(sequences(rng, dtype=np.float64).reshape(-1, 5), dtype)
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
    joined = NormHistogram.from_arrays(*(first + second).to_arrays())
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
    assert found[0]["looked_at"] == rows.size and 0 <= n / stride(n) - rows.size < 2 * GROUP
    assert found[0]["commonest"] in ((rows >= n // 2).sum(), (rows >= n // 2).sum() + 1)


@few
@given(st.integers(1, 10**12), st.integers(0, 10**6), st.lists(st.integers(0, 3000), min_size=2, max_size=4))
def test_rows_to_look_at_do_not_depend_on_the_blocks(n, start, cuts):
    cuts = sorted(start + cut for cut in cuts)
    step = stride(n)
    parts = [looked_at(low, high, step) for low, high in zip(cuts[:-1], cuts[1:], strict=True)]
    whole = looked_at(cuts[0], cuts[-1], step)
    assert (np.concatenate(parts) == whole).all() and (np.diff(np.unique(whole // (GROUP * step))) == 1).all()
    assert whole.size <= ((cuts[-1] - cuts[0]) // (GROUP * step) + 2) * GROUP or step == 1
    assert n <= LOOKED_AT or n / step <= LOOKED_AT


def test_repeats_found_before_an_interruption_are_kept(rng):
    x = rng.integers(-1, 2, (9000, 4)).astype(np.float32)
    fate = np.where(x.any(axis=1), USED, ZERO).astype(np.uint8)
    whole, first = SharedRepeats(9000), SharedRepeats(9000)
    whole.add(x, np.arange(9000), fate, 0, 9000)
    first.add(x[:5001], np.arange(5001), fate[:5001], 0, 5001)
    found, second = first.value, SharedRepeats(9000)
    second.merge(Repeats.from_arrays(*found.to_arrays()))
    kept = np.arange(5001, 9000)[fate[5001:] == USED]  # rows that are left out change nothing for the others
    second.add(x[kept], kept, fate[kept], 5001, 9000)
    assert second.value.describe() == whole.value.describe() and whole.value.describe()["repeats"] > 1000


@few
@given(seeds, st.integers(0, 50))
def test_repeats_of_parts_add_up(seed, cut):
    hashes = np.random.default_rng(seed).integers(0, 9, 50, np.uint64)
    whole, joined = Repeats.of(hashes), Repeats.of(hashes[:cut]) + Repeats.of(hashes[cut:])
    assert (whole.hashes == joined.hashes).all() and (whole.counts == joined.counts).all()
    assert whole.describe()["repeats"] == 50 - np.unique(hashes).size


def every(values, d, dtype):
    return np.array(np.meshgrid(*[values] * d, indexing="ij"), dtype).reshape(d, -1).T.copy()


def two_bits(nbytes):
    """Rows of bytes with one or two bits set."""
    first, second = np.triu_indices(8 * nbytes)
    bits = np.zeros((first.size, 8 * nbytes), np.uint8)
    bits[np.arange(first.size), first] = bits[np.arange(first.size), second] = 1
    return np.packbits(bits, axis=1)


@pytest.mark.parametrize(
    "rows",
    [
        *(every([-1, 1], 13, dtype) for dtype in ("float16", "float32", "float64", "int8")),
        *(every([-1, 0, 1], 8, dtype) for dtype in ("float16", "float32", "float64", "int8")),
        every(np.arange(8), 4, "float32"),
        *(two_bits(nbytes) for nbytes in (5, 16, 26)),
        *(np.pad(two_bits(12), ((0, 0), (left, 140 - left))) for left in (3, 60, 100)),
    ],
    ids=lambda rows: f"{rows.dtype} {rows.shape}",
)
def test_rows_that_differ_in_a_few_bits_have_different_hashes(rows):
    shared = SharedRepeats(1)  # looks at every row
    shared.add(rows, np.arange(len(rows)), np.full(len(rows), USED, np.uint8), 0, len(rows))
    assert shared.value.describe() == {"looked_at": len(rows), "repeats": 0, "commonest": 1}


# ---- what is told ---------------------------------------------------------------------------------------


def notes(x, **options):
    return run(x, **options).attrs["notes"]


def test_constant_ends_of_sequences_are_told_with_their_counts(rng):
    x = rng.normal(size=(300, 20, 5))
    assert not any("padding" in note for note in notes(x))
    lengths = np.full(300, 20)
    lengths[::2] = 15
    right = np.where(np.arange(20)[:, None] < lengths[:, None, None], x, 0)
    (note,) = notes(right)
    found = np.unique(np.linspace(0, 299, 16).astype(int))
    padded = (found % 2 == 0).sum()
    assert note.startswith(f"{padded} of 16 sequences looked at end with rows that are zero or repeat one another")
    assert f"({5 * padded} rows)" in note and "--mask, --lengths or --exclude-tokens" in note
    assert "sequences looked at begin with" in notes(right[:, ::-1])[0]
    filled = np.where(right == 0, 3.5, right)
    assert f"({5 * padded} rows)" in notes(filled)[0]
    for rule in ({"lengths": lengths}, {"mask": np.arange(20) < lengths[:, None]}):
        assert notes(filled, **rule) == []
    assert notes(filled.reshape(-1, 5)) == [] and notes(filled, flatten=True) == []


def test_long_sequences_are_looked_at_from_both_ends(rng):
    x = rng.normal(size=(2, 1000, 3)).astype(np.float16)
    x[:, 500:] = 1
    assert "2 of 2 sequences looked at end with" in notes(x)[0] and "(at least 128 rows)" in notes(x)[0]


def test_an_axis_that_may_be_layers_is_told_unless_it_was_decided(tmp_path, rng):
    x = rng.normal(size=(500, 13, 5))
    (note,) = notes(x)
    assert "every position of array in memory is a row; if axis 1 of size 13 holds layers" in note
    assert "choose one: --index 1=I (with n_layers + 1 entries" in note
    assert "if axis 0 of size 13 holds layers" in notes(np.moveaxis(x[:100], 1, 0))[0]
    assert notes(x, index={1: 2}) == notes(x, feature_axis=2) == notes(x, lengths=np.full(500, 13)) == []
    assert notes(rng.normal(size=(300, 300, 5))) == []
    np.savez(tmp_path / "a.npz", acts=x, token_ids=np.ones((500, 13), int))
    assert notes(f"{tmp_path}/a.npz::acts") == []


def test_notes_reach_the_command_line_the_summary_and_inspect(tmp_path, rng, srmfast_main):
    x = rng.normal(size=(100, 20, 5)).astype(np.float16)
    x[:, 12:] = 0.5
    np.save(tmp_path / "x.npy", x)
    ended = srmfast_main(f"run {tmp_path}/x.npy --epsilon 0.5 --angles 8 -o {tmp_path}/o.zarr")
    assert ended.stderr.count("padding cannot be told from tokens") == 1
    words = " ".join(ended.stdout.split())
    assert "note 16 of 16 sequences looked at end with rows" in words and "use --mask, --lengths or" in words
    repeats = 100 * 8 - 1
    assert (
        f"repeats {repeats:,} of 2,000 rows looked at are exact repeats of another, one row {repeats + 1:,} times"
        in words
    )
    assert "padding? use --mask or --lengths" in words
    assert "16 of 16 sequences looked at end with" in srmfast_main(f"inspect {tmp_path}/x.npy").stdout


def test_norms_are_told(tmp_path, rng, srmfast_main):
    x = rng.normal(size=(2000, 6))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[:20] *= 50
    x[:2] *= 50
    np.save(tmp_path / "x.npy", x)
    ended = srmfast_main(f"run {tmp_path}/x.npy --max-norm 10 --epsilon 0.5 --angles 8 -o {tmp_path}/o.zarr")
    assert "1.00% of the rows over 10x, 0.10% over 100x; limit" in ended.stdout and "= 10x" in ended.stdout
    assert "SRM does not depend on norms" in ended.stdout and "max-norm: 20" in ended.stdout
    inspected = srmfast_main(f"inspect {tmp_path}/x.npy").stdout
    assert "1.00% of the sample over 10x, 0.10% of the sample over 100x: SRM does not depend on norms" in inspected
    ended = srmfast_main(f"run {tmp_path}/x.npy --max-norm abs:9 --epsilon 0.5 --angles 8 -o {tmp_path}/p.zarr")
    assert "norms   limit 9" in ended.stdout


def test_a_basis_that_fits_another_axis_names_it(tmp_path, rng, srmfast_main):
    np.save(tmp_path / "x.npy", rng.normal(size=(6, 40)))
    np.save(tmp_path / "b.npy", rng.normal(size=(3, 6)))
    ended = srmfast_main(f"run {tmp_path}/x.npy --basis {tmp_path}/b.npy --dry-run")
    assert ended.rc == 1 and "the basis is 6 wide and axis 0 of the store is: --feature-axis 0" in ended.stderr
    assert srmfast_main(f"run {tmp_path}/x.npy --basis {tmp_path}/b.npy --feature-axis 0 --dry-run").rc == 0


def test_many_things_to_tell_fit_one_screen(rng):
    x = rng.normal(size=(300, 20, 5))
    x[:, 12:] = 0.5
    result = srmfast.run(x, epsilon=[0.1, 0.3, 0.5, 0.7, 0.9, 0.95], labels=np.arange(300) % 40, max_norm=3)
    lines = result.summary().splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 100
