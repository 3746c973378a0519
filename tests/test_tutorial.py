"""The tutorial gives what it shows, and notebooks behave: one picture a cell, progress, the stop button."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
pytest.importorskip("ipykernel")


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text())


def child(srmfast_env, *words, **options):
    environment = srmfast_env | {"JUPYTER_PLATFORM_DIRS": "1"}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=280, **options
    )


def test_the_tutorial_gives_what_it_shows(srmfast_env):
    """Every cell runs, and gives the text, the numbers and the tables that are stored with it."""
    pytest.importorskip("nbclient")
    pytest.importorskip("xarray")
    ended = child(srmfast_env, str(ROOT / "tools" / "tutorial.py"), "--check")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_tutorial_is_small_whole_and_of_no_one_machine(notebook):
    text = NOTEBOOK.read_text()
    assert len(text) < 400_000
    assert not re.search(r"/(home|tmp|root|work|usr)/|[0-9a-f]{2}:[0-9a-f]{2}:", text)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert sum("text/html" in output.get("data", {}) for output in outputs) >= 5
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3


def test_the_tutorial_links_to_pages_that_are_there(notebook):
    words = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", words)
    assert len(links) >= 5
    for link in links:
        assert (NOTEBOOK.parent / link).exists(), link


CELLS = {
    "result": """
import warnings
warnings.simplefilter("error")
import numpy as np, srmfast
rows = np.random.default_rng(0).normal(size=(500, 16))
result = srmfast.run(rows, "plusminus", epsilon=[0.5, 0.6])
result""",
    "before pyplot": "result.plot()",
    "assigned": "figure = result.plot()",
    "after pyplot": "import matplotlib.pyplot as plt; result.plot()",
    "own figure": "fig, axs = plt.subplots(1, 2); result.plot(ax=axs[0], kind='means'); result.plot(ax=axs[1], kind='heatmap');",
    "progress": "total = srmfast.run(rows, 'plusminus', epsilon=0.5, on_event=srmfast.Progress()).total.sum()",
    "stopped": """
def tell(event):
    if type(event).__name__ == "BlockDone":
        print("counting", flush=True)
many = np.tile(rows, (1000, 1))
srmfast.run(many, "plusminus", epsilon=0.3, block_rows=500, memory="256MiB", on_event=tell)
print("not stopped")""",
    "afterwards": """
import signal, threading
left = [thread.name for thread in threading.enumerate() if thread.name.startswith("srmfast")]
again = srmfast.run(rows, "plusminus", epsilon=0.5).total.sum()
bool(again == total), left, signal.getsignal(signal.SIGINT) is signal.default_int_handler""",
}  # fmt: skip


@pytest.fixture(scope="module")
def given():
    """What the cells give in one kernel."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    cells = [{"source": source} | ({"stop": "counting"} if name == "stopped" else {}) for name, source in CELLS.items()]
    ended = child(environment, str(ROOT / "tests" / "notebook_kernel.py"), input=json.dumps(cells))
    assert ended.returncode == 0, ended.stderr
    return dict(zip(CELLS, json.loads(ended.stdout), strict=True))


def test_a_result_at_the_end_of_a_cell_is_a_card(given):
    assert given["result"]["shown"] == [["text/html", "text/plain"]] and given["result"]["error"] is None


@pytest.mark.parametrize(
    ("name", "pictures"), [("before pyplot", 1), ("assigned", 0), ("after pyplot", 1), ("own figure", 1)]
)
def test_a_picture_is_shown_once(given, name, pictures):
    assert sum("image/png" in kinds for kinds in given[name]["shown"]) == pictures
    assert given[name]["error"] is None


def test_progress_is_one_line_that_is_written_over(given):
    told = given["progress"]["stderr"]
    assert told.startswith("\r") and told.count("\n") == 1 and "500 of 500 rows" in told
    assert "\x1b" not in told  # notebooks show it as it is, or not at all


def test_the_stop_button_leaves_a_kernel_that_counts_as_before(given):
    assert given["stopped"]["error"] == "KeyboardInterrupt" and "not stopped" not in given["stopped"]["stdout"]
    assert given["afterwards"]["result"] == "(True, [], True)"
