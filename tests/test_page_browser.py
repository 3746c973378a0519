"""The page of `srmfast report` in a browser: what is drawn, said and reached, by pointer and by keyboard."""

import dataclasses
import shutil
import time

import numpy as np
import pytest

import srmfast
from srmfast.excerpts import shorten

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
ANGLES = 72
TITLES = ["all rows", "b", "c"]

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).normal(size=(600, 6)) ** 3


@pytest.fixture(scope="module")
def result(rows):
    labels = np.array([HOSTILE, "b", "c"])[np.arange(600) % 3]
    return srmfast.run(rows, "standard", epsilon=[0.5, 0.65, 0.8], labels=labels, angles=ANGLES, null=39)


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """`opened(results, **options)`: the page in a tab, once its first chart is drawn; complaints are gathered."""
    tabs = []

    def call(results, **options):
        path = tmp_path_factory.mktemp("page") / "page.html"
        srmfast.report_page(results, path)
        context = browser.new_context(viewport={"width": 1100, "height": 900}, **options)
        tab = context.new_page()
        tab.complaints, tab.requests = [], []
        tab.on("console", lambda message: tab.complaints.append(message.text))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.on("request", lambda request: tab.requests.append(request.url))
        tab.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            tab.wait_for_selector(".chart[data-ready]")
        tabs.append((tab, path.as_uri()))
        return tab

    yield call
    for tab, address in tabs:
        assert tab.complaints == [] and tab.requests == [address]
        tab.context.close()


@pytest.fixture
def tab(opened, result, request):
    """One tab for all that look at the one result, reloaded so that each finds it fresh."""
    kept = request.module.__dict__
    if "_tab" not in kept:
        kept["_tab"] = opened(result)
        return kept["_tab"]
    page = kept["_tab"]
    page.evaluate("document.activeElement.blur()")
    page.requests.clear()
    page.reload()
    page.wait_for_selector(".chart[data-ready]")
    return page


def wait(tab, script):
    """Wait until a script is true; the page's policy forbids the driver's own way of asking."""
    until = time.monotonic() + 30
    while not tab.evaluate(script):
        assert time.monotonic() < until, script
        tab.wait_for_timeout(5)


def settled(tab, act):
    """Act, and wait until the chart has been drawn again."""
    before = int(tab.get_attribute(".chart", "data-ready"))
    act()
    wait(tab, f"Number(document.querySelector('.chart').dataset.ready) > {before}")


def ink(tab):
    """The picture as drawn."""
    return tab.evaluate("document.querySelector('.chart .u-wrap canvas').toDataURL()")


def state(tab):
    """What the panel says is pointed at."""
    return tab.evaluate("({...document.querySelector('.panel').dataset})")


def share(result, found):
    """The value of the result at what is pointed at."""
    i, j = map(int, found["plane"].split(","))
    (p,) = np.flatnonzero((result.plane_i == i) & (result.plane_j == j))
    e = result.epsilon.tolist().index(float(found["epsilon"]))
    at = int(found["angle"])
    names = ["all rows", *(shorten(name, 40) for name in result.label)]
    c = names.index(found["subset"]) - 1
    counts = result.counts.sum(axis=0) if c < 0 else result.counts[c]
    count = counts[e, p, at] - (counts[e, p, (at + ANGLES // 2) % ANGLES] if found["signed"] == "true" else 0)
    return count / (result.rows.sum() if c < 0 else result.rows[c])


# ---- the picture -----------------------------------------------------------------------------------------


def test_hovering_names_the_plane_and_its_value(tab, result):
    box = tab.locator(".u-over").first.bounding_box()
    seen = set()
    for x, y in ((0.01, 0.2), (0.26, 0.3), (0.4, 0.8), (0.6, 0.9), (0.77, 0.5)):
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        found = state(tab)
        assert int(found["angle"]) == round(x * ANGLES)
        e = result.epsilon.tolist().index(float(found["epsilon"]))
        pooled = result.total.sum(axis=0)[e, int(found["angle"])] / result.planes_total / 600
        assert float(found["mean"]) == pytest.approx(pooled, rel=1e-12)
        if found["plane"]:
            seen.add(found["plane"])
            assert float(found["value"]) == share(result, found)
            i, j = found["plane"].split(",")
            assert f"Plane {i} → {j}" in tab.locator(".readout").inner_text()
    assert len(seen) > 1


def test_the_numbers_in_the_page_are_those_of_the_result(tab, result):
    planes, counts = tab.evaluate(
        """async () => {
          const member = srm.members.get("r0"), view = await member.view(0, 2), angles = member.raw.angles, all = [];
          for (let p = 0; p < view.i.length; p++) for (let m = 0; m < angles; m++) all.push(srm.countOf(view, angles, p, m));
          return [[...view.i].map((i, p) => [i, view.j[p]]), all];
        }"""
    )
    pooled = result.counts.sum(axis=0)[2]
    where = {pair: n for n, pair in enumerate(zip(result.plane_i.tolist(), result.plane_j.tolist(), strict=True))}
    order = [where[tuple(pair)] for pair in planes]
    assert sorted(order) == list(range(30))
    assert (np.array(counts).reshape(30, ANGLES) == pooled[order]).all()


def test_slider_and_toggles_change_the_picture(tab, result):
    effect = result.alignment().effect  # the picture is that of the verdict
    assert float(state(tab)["epsilon"]) == effect.epsilon
    tab.locator("input[type=range]").fill("0")
    wait(tab, "document.querySelector('.panel').dataset.epsilon === '0.5'")
    pictures = [ink(tab)]

    def changed(act):
        settled(tab, act)
        assert ink(tab) not in pictures
        pictures.append(ink(tab))

    changed(lambda: tab.locator("input[type=range]").fill("2"))
    assert state(tab)["epsilon"] == "0.8" and "0.8 (37°)" in tab.locator(".chart output").inner_text()
    for layer in ("planes", "mean", "quantiles", "folds"):
        changed(lambda layer=layer: tab.locator(f"[data-layer={layer}]").click())
    settled(tab, lambda: tab.locator("[data-layer=planes]").click())
    changed(lambda: tab.locator(".subsets button").nth(2).click())
    changed(lambda: tab.locator(".subsets button").nth(3).click())
    assert [button.get_attribute("aria-pressed") for button in tab.locator(".subsets button").all()].count("true") == 2
    settled(tab, lambda: tab.locator(".subsets button").first.click())
    changed(lambda: tab.locator("[data-switch=signed]").check())
    tab.locator(".find input").first.fill("2")
    tab.locator(".find input").nth(1).fill("5")
    tab.locator(".find button").click()
    found = state(tab)
    assert found["plane"] == "2,5" and found["signed"] == "true"
    assert float(found["value"]) == pytest.approx(share(result, found), abs=1e-15)
    tab.locator(".find input").first.fill("77")
    tab.locator(".find button").click()
    assert "not among those drawn" in tab.locator(".readout").inner_text()


def test_light_dark_and_narrow_have_pictures_of_their_own(tab):
    light = ink(tab)
    tab.emulate_media(color_scheme="dark")
    wait(tab, "srm.colour('paper') === '#14171c'")
    assert ink(tab) != light
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size({"width": 400, "height": 800})
    wait(tab, "document.querySelector('.u-wrap').clientWidth < 400")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    tab.set_viewport_size({"width": 1100, "height": 900})


# ---- tables ----------------------------------------------------------------------------------------------


def test_tables_sort_and_filter_and_show_planes(tab, result):
    table = tab.locator(".table", has_text="Planes by their peak")

    def column(n):
        return [
            float(value)
            for value in table.locator(f"tbody tr:not([hidden]) td:nth-child({n})").evaluate_all(
                "all => all.map(cell => cell.dataset.value)"
            )
        ]

    peaks = column(2)
    assert len(peaks) == 15 and peaks == sorted(peaks, reverse=True)
    head = table.locator("th button").nth(1)
    head.click()
    assert column(2) == sorted(peaks, reverse=True)
    head.click()
    assert column(2) == sorted(peaks) and table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
    table.locator("th button").nth(3).click()
    assert column(4) == sorted(column(4), reverse=True)
    table.locator("input[type=search]").fill("2 →")
    assert 0 < len(column(1)) < 15
    shown = table.locator("tbody tr:not([hidden]) td button").first
    i, j = shown.inner_text().split(" → ")
    shown.click()
    found = state(tab)
    assert found["plane"] == f"{i},{j}"
    (p,) = np.flatnonzero((result.plane_i == int(i)) & (result.plane_j == int(j)))
    e = result.epsilon.tolist().index(float(found["epsilon"]))
    assert float(found["value"]) == result.counts.sum(axis=0)[e, p].max() / 600


# ---- keyboard and safety ---------------------------------------------------------------------------------


def test_the_keyboard_reaches_and_operates_everything(tab, result):
    wanted = {"range", "plot", "layer", "subset", "switch", "find", "head", "filter", "plane", "summary", "scroll"}
    kinds = """() => { const e = document.activeElement, is = (s) => e.matches(s);
      return is('[type=range]') ? 'range' : is('.plot') ? 'plot' : is('[data-layer]') ? 'layer' : is('.subsets button[aria-pressed=false]') ? 'subset' :
      is('[data-switch]') ? 'switch' : is('.find *') ? 'find' : is('th button') ? 'head' : is('[type=search]') ? 'filter' :
      is('td button') ? 'plane' : is('summary') ? 'summary' : is('.scroll') ? 'scroll' : e.tagName; }"""
    reached, operated = set(), set()
    for _ in range(120):
        tab.keyboard.press("Tab")
        kind = tab.evaluate(kinds)
        if kind in wanted - reached:
            outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", kind
        reached.add(kind)
        if kind == "range" and kind not in operated:
            tab.keyboard.press("Home")
            wait(tab, "document.querySelector('.panel').dataset.epsilon === '0.5'")
            settled(tab, lambda: tab.keyboard.press("ArrowRight"))
            assert state(tab)["epsilon"] == "0.65"
        elif kind == "plot" and kind not in operated:
            tab.keyboard.press("ArrowUp")
            lowest = state(tab)
            tab.keyboard.press("ArrowUp")
            tab.keyboard.press("ArrowRight")
            found = state(tab)
            assert lowest["plane"] and found["plane"] != lowest["plane"] and found["angle"] == "1"
            assert float(found["value"]) == share(result, found)
            tab.keyboard.press("Escape")
            assert state(tab)["plane"] == ""
        elif kind in ("layer", "subset", "switch") and kind not in operated:
            before = ink(tab)
            settled(tab, lambda: tab.keyboard.press("Space"))
            assert ink(tab) != before
        elif kind == "head" and kind not in operated:
            tab.keyboard.press("Enter")
            assert tab.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')")
        elif kind == "plane" and kind not in operated:
            tab.keyboard.press("Enter")
            assert state(tab)["plane"].replace(",", " → ") == tab.evaluate("document.activeElement.textContent")
        elif kind == "summary" and kind not in operated:
            tab.keyboard.press("Enter")
            assert tab.evaluate("document.activeElement.parentElement.open")
        operated.add(kind)
        if wanted <= reached:
            break
    assert wanted <= reached


def test_hostile_names_are_shown_and_not_run(tab, opened, result):
    assert tab.locator(".subsets button", has_text="hacked").count() == 1
    bad = dataclasses.replace(
        result, attrs=result.attrs | {"store_name": HOSTILE, "basis_name": HOSTILE, "store_location": HOSTILE}
    )
    page = opened({HOSTILE: bad, "other": bad})
    for one in (tab, page):
        assert one.evaluate("window.hacked") is None and one.locator("img").count() == 0
    for shown in ("h4", "details h2", "dd"):
        assert any("</script><script>win" in text for text in page.locator(shown).all_text_contents()), shown


def test_words_and_tables_need_no_scripts(opened, result):
    tab = opened(result, java_script_enabled=False)
    text = tab.locator("body").inner_text()
    for said in ("What was found", "Planes by their peak", "Where the rows went", "arXiv:2505.13471"):
        assert said in text
    assert tab.locator("svg.still path").count() >= 1


# ---- several, and many -----------------------------------------------------------------------------------


def test_several_results_stand_side_by_side_on_one_scale(opened, rows):
    results = srmfast.run_many(
        {"a": rows, "b": rows**2},
        {"own": "standard", "other": "random:6"},
        srmfast.Request(epsilon=[0.6], angles=ANGLES),
    )
    tab = opened(results)
    assert tab.locator(".panels.many .panel").count() == 4
    peaks = [one.fraction().max() for one in results.values()]
    box = tab.locator("[data-switch=same]")
    for want in (False, True):
        if box.is_checked() != want:
            settled(tab, box.click)
        assert tab.get_attribute(".chart", "data-same") == str(want).lower()
    assert float(tab.get_attribute(".chart", "data-top")) == pytest.approx(max(peaks), rel=1e-12)
    tab.locator("details.section > summary").first.click()
    tab.wait_for_selector("details.section[open] .chart[data-ready]")


def test_projections_have_a_disc_and_neurons_a_table(opened, rows):
    labels = np.arange(600) % 3
    neurons = srmfast.neurons(rows, epsilon=0.5, labels=labels, permutations=39)
    tab = opened([srmfast.project(rows, "standard", epsilon=0.6), neurons])
    box = tab.locator("canvas.disc").bounding_box()
    tab.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2)
    assert tab.locator(".readout").inner_text().startswith("At 0°, distance")
    tab.locator("main > details > summary").click()
    table = tab.locator(".table", has_text="Basis vectors by the class")
    assert table.locator("tbody tr").count() == len(neurons.table())
    table.locator("th button", has_text="recall").click()
    recalls = [
        float(value)
        for value in table.locator("tbody td:nth-child(7)").evaluate_all("all => all.map(cell => cell.dataset.value)")
    ]
    assert recalls == sorted((row["recall"] for row in neurons.table()), reverse=True)


def test_a_hundred_thousand_planes_load_and_the_page_says_what_it_left_out(opened):
    rows = np.random.default_rng(2).normal(size=(200, 320)) ** 3
    result = srmfast.run(rows, "standard", planes="random:100000", epsilon=0.4, angles=36, keep="all")
    began = time.monotonic()
    tab = opened(result)
    assert time.monotonic() - began < 60
    member = "srm.members.get('r0').raw"
    assert (
        tab.evaluate(f"{member}.subsets[0].planes.i.shape[0]") == 2000
        and tab.evaluate(f"{member}.planesTotal") == 100_000
    )
    assert "2,000 planes with the highest peaks, of 100,000" in tab.locator(".chart > .note").inner_text()
    assert tab.locator("[data-layer=quantiles]").get_attribute("aria-pressed") == "true"
    assert tab.evaluate("document.documentElement.outerHTML.length") < 2_000_000
    found = tab.evaluate(
        "srm.members.get('r0').view(0, 0).then((view) => ({high: [...view.high], total: [...view.total]}))"
    )
    assert np.array(found["high"]) / 200 == pytest.approx(result.quantiles(0.95)[0, 0, 0], abs=2e-6)
    assert (np.array(found["total"]) == result.total[0, 0]).all()
