"""What notebooks show: cards of everything that public functions return, and lines everywhere else."""

import base64
import dataclasses
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

import srmfast
from srmfast import cards, verdicts
from srmfast.analyses.comparison import diff
from srmfast.analyses.difference import compare
from srmfast.analyses.inspection import inspect
from srmfast.atlas import atlas
from srmfast.excerpts import number
from srmfast.training import choices

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'
D, N = 4, 240


class Page(HTMLParser):
    """Tags in their order, the text between them, and whether every tag that was opened is closed."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.words, self.images = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"style", "alt", "src"}
        if tag == "img":
            self.images.append(dict(attrs)["src"])
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    rows = 0.2 * rng.normal(size=(N, D))
    rows[np.arange(N), rng.integers(D, size=N)] += rng.choice([-1.0, 1.0], N)
    return rows


@pytest.fixture(scope="module")
def labels():
    return np.array([EVIL, "b", "line\nbreak"])[np.arange(N) % 3]


@pytest.fixture(scope="module")
def things(rows, labels):
    store = srmfast.open_store(rows, name=EVIL.replace("/", "|"))
    basis = srmfast.load_basis("plusminus", D, name=EVIL.replace("/", "|"))
    many = srmfast.run_many(
        {"a": rows, "b": rows[::2]}, {"own": "standard", "other": "random:3"}, srmfast.Request(epsilon=0.8)
    )
    two = [srmfast.project(some, "standard", epsilon=0.5) for some in (rows, rows[::2])]
    recipe = {"layers": ["linear 2", "latent", "tanh", "linear d"], "optimiser": {"learning_rate": 0.1}}
    trained = srmfast.train(recipe, data=rows, epochs=3)
    tested = srmfast.run(rows, "standard", epsilon=[0.5, 0.8], null=39)
    return {
        "store": store,
        "basis": basis,
        "result": srmfast.run(store, basis, epsilon=[0.5, 0.8], labels=labels, angles=72),
        "tested": tested,
        "nothing hit": srmfast.run(np.ones((30, D)), "standard", epsilon=0.99),
        "results": many,
        "no results": srmfast.Results({}),
        "alignment": tested.alignment(),
        "neurons": srmfast.neurons(store, basis, epsilon=0.5, labels=labels, permutations=99),
        "projection": srmfast.project(store, basis, epsilon=0.5),
        "projections": type(two[0]).SEVERAL({("a", EVIL): two[0], ("b", "own"): two[1]}),
        "trained": trained,
        "recipe": trained.recipe,
        "choices": choices(trained.recipe),
        "inspection": inspect(store),
        "atlas": atlas(many),
        "differences": compare(many["a", "own"], many["b", "own"]),
        "difference": compare(many["a", "own"], many["b", "own"]).pairs[0],
        "comparison": diff(many["a", "own"], many["b", "own"]),
        "request": srmfast.Request(labels=labels, epsilon=0.3),
    }  # fmt: skip


@pytest.fixture(scope="module")
def shown(things):
    """The card of each."""
    return {name: thing._repr_html_() for name, thing in things.items()}


NAMES = (
    "store", "basis", "result", "tested", "nothing hit", "results", "no results", "alignment", "neurons", "projection",
    "projections", "trained", "recipe", "choices", "inspection", "comparison", "request", "atlas", "differences", "difference",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_plain_html_that_nothing_can_break_out_of(shown, name):
    page = Page(shown[name])
    assert set(page.tags) <= {"div", "strong", "table", "tr", "th", "td", "img", "pre"}
    assert all(src.startswith("data:image/png;base64,") for src in page.images)
    assert len(page.text) > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_line_is_one_line_without_arrays(things, name):
    line = repr(things[name])
    assert line.startswith(f"{type(things[name]).__name__}(") and line.isprintable()
    assert len(line) <= 230 and "array([" not in line and "\n" not in line


def test_names_and_labels_are_shown_as_they_are(shown):
    for name in ("result", "neurons", "projection", "inspection"):
        assert Page(shown[name]).text.count("<script>") >= (name in ("result", "neurons"))
    assert EVIL in Page(shown["projections"]).text


def test_a_card_says_what_was_measured(shown, things):
    result, text = things["result"], Page(shown["result"]).text
    assert f"{N} seen = {N} used + 0 zero-norm" in text
    assert f"{result.planes_total:,} counted" in text and "ε = 0.5 (60°), 0.8 (37°)" in text
    for curve in result.mean().mean(axis=0):  # labels of equal size
        assert number(curve.max()) in text
    assert all(f"{rows}" in text for rows in result.rows)


def test_the_verdict_is_said_with_what_belongs_beside_it(shown, things):
    text = " ".join(Page(shown["tested"]).text.split())
    alignment = things["tested"].alignment()
    for words in (verdicts.headline(alignment), verdicts.effect(alignment), *verdicts.beside(alignment)):
        assert words in text
    assert "verdict" not in Page(shown["result"]).text
    assert verdicts.headline(alignment) in " ".join(Page(shown["alignment"]).text.split())


def test_several_results_are_a_table(shown, things):
    page = Page(shown["results"])
    assert page.tags.count("tr") == 1 + 4
    for (store, basis), result in things["results"].items():
        assert store in page.words and basis in page.words and number(result.mean().max()) in page.words


@pytest.mark.parametrize("name", ["result", "tested", "results", "neurons", "projection", "trained"])
def test_a_picture_is_small(shown, name):
    (picture,) = Page(shown[name]).images
    raw = base64.b64decode(picture.partition(",")[2])
    assert raw.startswith(b"\x89PNG") and len(raw) <= 60_000


def test_nothing_hit_has_no_picture_and_says_so(shown):
    page = Page(shown["nothing hit"])
    assert not page.images and "no row within ε = 0.99 of any plane" in page.text


def test_without_matplotlib_there_are_cards_without_pictures(things, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"] + [
        "srmfast.axes",
        "srmfast.plots",
    ]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in NAMES:
        page = Page(things[name]._repr_html_())
        assert not page.images and len(page.text) > 10


def test_a_card_looks_at_no_count_of_a_single_plane(things):
    """A gigabyte of counts would make a card slow: here they are a thousand, each the same word of memory."""
    endless = np.broadcast_to(np.int64(0), (*things["result"].counts.shape[:2], 10**10, 72))
    result = dataclasses.replace(things["result"], counts=endless)
    assert Page(result._repr_html_()).images


def test_text_takes_the_colour_of_the_notebook(shown):
    for name in NAMES:
        assert set(re.findall(r"(?<![-\w])color:([^;\"]*)", shown[name])) <= {"inherit"}


def test_a_card_that_cannot_be_made_is_a_warning_and_a_line(things):
    attrs = {name: value for name, value in things["result"].attrs.items() if name != "basis_kind"}
    broken = dataclasses.replace(things["result"], attrs=attrs)
    with pytest.warns(RuntimeWarning, match="no card of Result.*basis_kind"):
        assert broken._repr_html_() is None
    assert repr(broken).startswith("Result(")
    with pytest.raises(KeyError, match="basis_kind"):
        cards.card(broken)


@pytest.mark.parametrize("name", ["result", "tested", "results", "neurons", "projection"])
def test_a_file_shows_what_the_result_showed(shown, things, name, tmp_path):
    things[name].save(tmp_path / "saved.zarr")
    assert srmfast.load(tmp_path / "saved.zarr")._repr_html_() == shown[name]
