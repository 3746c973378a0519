"""The page of `srmfast report` as text: what it holds, how large it is, what cannot break out of it."""

import base64
import dataclasses
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import srmfast
from srmfast.page.blocks import encode, encode_rounded
from srmfast.page.ensemble import ensemble
from srmfast.report import summarise

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">&lt;"\'\u2028{{7*7}}'
WIDTH = 6


def decode(block):
    """The other half of `encode`, written for reading: differences, folded, byte by byte."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(block["data"])), np.uint8)
    planes = planes.reshape(block["width"], -1).astype(object)
    folded = sum(plane * 256**n for n, plane in enumerate(planes)) if planes.size else np.zeros(0, object)
    steps = np.array([-(f + 1) // 2 if f % 2 else f // 2 for f in folded], object).reshape(block["shape"])
    return np.cumsum(steps, axis=-1).astype(float) * block["scale"]


class Parts(HTMLParser):
    """The scripts, styles, texts and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.styles, self.tags, self.attributes, self.words, self._in = [], [], [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag in ("script", "style"):
            self._in = (self.scripts if tag == "script" else self.styles, dict(attrs))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._in = None

    def handle_data(self, data):
        if self._in:
            self._in[0].append((self._in[1], data))
        else:
            self.words.append(data)


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).normal(size=(600, WIDTH)) ** 3


@pytest.fixture(scope="module")
def result(rows):
    labels = np.array([HOSTILE, "b", "c"])[np.arange(600) % 3]
    return srmfast.run(rows, "standard", epsilon=[0.5, 0.8], labels=labels, null=39)


# ---- numbers ---------------------------------------------------------------------------------------------


@given(arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=st.integers(-(2**51), 2**51)))
def test_a_block_holds_the_integers(values):
    assert (decode(encode(values)) == values).all()


@given(arrays(float, st.integers(1, 9), elements=st.just(0.0) | st.floats(1e-300, 1e12)))
def test_a_rounded_block_is_off_by_a_millionth_of_the_largest(values):
    assert np.abs(decode(encode_rounded(values)) - values).max() <= 1e-6 * values.max()


@pytest.mark.parametrize("basis", ["standard", "plusminus", "random:9"])
def test_the_counts_of_the_page_are_those_of_the_result(rows, basis):
    result = srmfast.run(rows, basis, epsilon=[0.4, 0.7], angles=72)
    data = ensemble(result, "x", 10**7)
    where = {pair: n for n, pair in enumerate(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True))}
    (subset,) = data["subsets"]
    i, j, curve, mirrored = (decode(subset["planes"][name]).astype(int) for name in ("i", "j", "curve", "mirrored"))
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == sorted(where)
    if basis != "random:9":
        assert mirrored.sum() == i.size // 2  # the other order of a plane of orthogonal vectors costs nothing
    turned = (18 - np.arange(72)) % 72
    for e in range(2):
        counts = decode(subset["counts"][e])
        for n, pair in enumerate(zip(i.tolist(), j.tolist(), strict=True)):
            expected = result.counts[0, e, where[pair]]
            assert (counts[curve[n]][turned if mirrored[n] else slice(None)] == expected).all()
        assert (decode(subset["curves"][e]["total"]) == result.total[0, e]).all()
        mean, sd = result.fraction()[0, e].mean(axis=0), result.fraction()[0, e].std(axis=0)
        assert np.allclose(decode(subset["curves"][e]["sd"]) / 600, sd, atol=2e-6)
        assert np.allclose(decode(subset["curves"][e]["median"]) / 600, result.median()[0, e], atol=2e-6)
        assert np.allclose(result.total[0, e] / 600 / result.planes_total, mean)


def test_labels_share_the_room_and_say_what_is_left_out(result):
    data = ensemble(result, "x", 10**7)
    assert [one["name"] for one in data["subsets"]][0] == "all rows" and len(data["subsets"]) == 4
    assert [one["rows"] for one in data["subsets"]] == [600, 200, 200, 200]
    small = ensemble(srmfast.run(np.eye(24), "standard", epsilon=0.5), "x", 100)["subsets"][0]
    assert decode(small["planes"]["i"]).size == 60 and "60 planes with the highest peaks, of 552" in small["note"]


# ---- size ------------------------------------------------------------------------------------------------


def poisson(planes, angles, e, rows):
    """A result of as much noise as independent rows make: the worst there is to compress."""
    rng = np.random.default_rng(3)
    base = srmfast.run(np.eye(4), "standard", epsilon=[0.5, 0.7, 0.8][:e], angles=angles)
    k = 1200
    steps = rng.poisson(3, (1, e, planes, angles)) - rng.poisson(3, (1, e, planes, angles))
    counts = np.abs(np.cumsum(steps, axis=-1)) + 50
    pairs = rng.permutation(k * (k - 1))[:planes]
    i, j = pairs // (k - 1), pairs % (k - 1)
    total = counts.sum(axis=2)
    folds = np.zeros((64, 1, e, angles), np.int64)
    folds[0] = total
    used = np.zeros((64, 1), np.int64)
    used[0] = rows
    return dataclasses.replace(
        base, counts=counts, total=total, fold_total=folds, rows_used=used, plane_i=i, plane_j=j + (j >= i),
        plane_angle=np.full(planes, np.pi / 2), basis=np.eye(k, 64), attrs=base.attrs | {"planes_total": planes, "kept": "all"},
    )  # fmt: skip


def test_two_thousand_planes_fit_into_two_megabytes():
    result = poisson(2000, 360, 3, 60_000)
    text = srmfast.report_page(result)
    assert len(text.encode()) <= 2_000_000
    assert "with the highest peaks" not in text  # all of them are there


# ---- what is said ----------------------------------------------------------------------------------------


def test_the_page_says_all_that_the_summary_says_of_the_verdict(result):
    words = " ".join(" ".join(Parts(srmfast.report_page(result)).words).split()).lower()
    alignment = result.alignment()
    for line in re.split(r"\n(?=\S)|; ", str(alignment)):
        said = " ".join(line[8:].split() if line[:8].strip() and line[0] != " " else line.split())
        assert said.lower() in words, said
    for head in ("seen", "used", "where the rows went", "how to cite", "2505.13471", "fingerprints", "numba"):
        assert head in words
    assert "aligned" in summarise(result)
    opinions = result.opinions()
    assert len(opinions.rows) > 1 and all(one.reading.lower() in words for one in opinions.rows)
    assert " ".join(opinions.overall.lower().split()) in words


def test_the_strata_are_a_table():
    rows = np.random.default_rng(2).normal(size=(40, 30, 6))
    rows[:, 0, 1] += 30
    result = srmfast.run(rows, epsilon=0.8, angles=24, strata="position", null=39)
    said = " ".join(" ".join(Parts(srmfast.report_page(result)).words).split())
    assert "What kind of row makes the peak" in said and "Far more of the peak" in said and "position: first" in said


def test_results_of_every_kind_make_one_page(tmp_path, rows, result):
    labels = np.arange(600) % 3
    result.save(tmp_path / "a.zarr")
    srmfast.run_many(
        {"one": rows, "two": rows**2}, {"own": "standard", "other": "random:6"}, srmfast.Request(epsilon=[0.6])
    ).save(tmp_path / "b.zarr")
    srmfast.neurons(rows, epsilon=0.5, labels=labels, permutations=39).save(tmp_path / "c.zarr")
    srmfast.project(rows, "standard", epsilon=0.6).save(tmp_path / "d.zarr")
    srmfast.specification(rows, "standard", epsilon=[0.5, 0.8], null=39).save(tmp_path / "e.zarr")
    text = srmfast.report_page([tmp_path / f"{name}.zarr" for name in "abcde"], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == text
    parts = Parts(text)
    words = " ".join(parts.words)
    for said in (
        "Side by side",
        "one × own",
        "two × other",
        "Basis vectors by the class they pick out",
        "seen from above",
        "reproduce",
    ):
        assert said in words or any(said in str(value) for _, _, value in parts.attributes), said


def test_a_result_without_a_hit_or_without_planes_is_a_page_too(rows):
    for options in (
        dict(epsilon=0.9999999),
        dict(epsilon=0.5, keep="summary"),
        dict(epsilon=[-0.5, 0.5], angles=45, planes="active:3"),
    ):
        assert "What was found" in srmfast.report_page(srmfast.run(rows, "standard", **options))


# ---- safety ----------------------------------------------------------------------------------------------


def test_nothing_breaks_out_of_a_name(result, rows):
    plain = Parts(
        srmfast.report_page(
            srmfast.run(
                rows, "standard", epsilon=[0.5, 0.8], labels=np.array(["a", "b", "c"])[np.arange(600) % 3], null=39
            )
        )
    )
    bad = dataclasses.replace(
        result,
        attrs=result.attrs
        | {"store_name": HOSTILE, "basis_name": HOSTILE, "store_location": HOSTILE, "notes": [HOSTILE]},
    )
    found = Parts(srmfast.report_page({HOSTILE: bad}, title=HOSTILE))
    assert [tag for tag in found.tags if tag == "script"] == [tag for tag in plain.tags if tag == "script"]
    assert "img" not in found.tags and not [
        name for _, name, _ in found.attributes if name.startswith("on") or name == "style"
    ]
    assert any(HOSTILE in words.replace("\n", "") for words in found.words)


def test_the_policy_names_every_script_and_style_and_nothing_else(result):
    found = Parts(srmfast.report_page(result))
    (policy,) = [value for tag, name, value in found.attributes if name == "content" and "default-src" in value]

    def hashes(texts):
        return {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts}

    code = [text for attrs, text in found.scripts if attrs.get("type") != "application/json"]
    assert set(re.findall(r"script-src ([^;]*)", policy)[0].replace("'sha256-", "").replace("'", "").split()) == hashes(
        code
    )
    assert set(re.findall(r"style-src ([^;]*)", policy)[0].replace("'sha256-", "").replace("'", "").split()) == hashes(
        text for _, text in found.styles
    )
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "unsafe" not in policy
    assert not [
        value
        for _, name, value in found.attributes
        if name in ("src", "action") or (name == "href" and not value.startswith("#"))
    ]
    for attrs, text in found.scripts:
        if attrs.get("type") == "application/json":
            json.loads(text)
            assert not set("<>&\u2028\u2029") & set(text)


# ---- the command -----------------------------------------------------------------------------------------


def test_the_command_writes_a_page_and_refuses_to_replace_it(tmp_path, monkeypatch, rows, srmfast_main):
    monkeypatch.chdir(tmp_path)
    srmfast.run(rows, "standard", epsilon=0.5).save("out.zarr")
    told = srmfast_main("report out.zarr -o report.html --title 'My net'")
    assert told.rc == 0 and re.fullmatch(r"written to report.html \(0\.\d MB\)\n", told.stdout)
    assert "<h1>My net</h1>" in (tmp_path / "report.html").read_text()
    again = srmfast_main("report out.zarr -o report.html")
    assert again.rc == 1 and "--force" in again.stderr
    assert srmfast_main("report out.zarr -o report.html --force").rc == 0
    for line, word in (
        ("report out.zarr -o report.pdf", "must end in .html"), ("report nothing.zarr -o a.html", "written by srmfast"),
        ("report report.html -o a.html", "written by srmfast"), ("report out.zarr -o nowhere/a.html", "must exist"),
    ):  # fmt: skip
        told = srmfast_main(line)
        assert told.rc == 1 and word in told.stderr and len(told.stderr.splitlines()) == 1, told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zarr", "report.html"]


def test_what_is_no_result_is_refused(rows):
    with pytest.raises(srmfast.InputError, match="got ndarray"):
        srmfast.report_page([rows])
    with pytest.raises(srmfast.InputError, match="1 to 60 results, got 0"):
        srmfast.report_page([])
