"""Execute docs/tutorial.ipynb in a folder of its own, and store what it gives, or compare it with what is stored.

    python tools/tutorial.py            # after editing it: executes, makes its pictures small, writes it
    python tools/tutorial.py --check    # exit code 1 when a cell fails or gives other text than is stored

Needs nbclient, nbformat and ipykernel.
"""

import argparse
import base64
import html
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "tutorial.ipynb"
_COLOURS = 64
_TAG = re.compile(r"<[^>]*>")


def main(argv=None):
    """Execute; write or compare; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args(argv)
    stored = nbformat.read(NOTEBOOK, as_version=4)
    made = executed(stored)
    if options.check:
        differing = [
            f"cell {n} gives\n{after}\nand not, as is stored,\n{before}"
            for n, (before, after) in enumerate(zip(texts(stored), texts(made), strict=True))
            if before != after
        ]
        print("\n\n".join(differing) or f"{len(made.cells)} cells give what is stored")
        return 1 if differing else 0
    nbformat.write(made, NOTEBOOK)
    return 0


def executed(notebook):
    """Return a copy with the outputs of a new kernel."""
    made = nbformat.from_dict(notebook)
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    os.environ.pop("MPLBACKEND", None)  # the kernel's own shows pictures in cells
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(made, timeout=300, kernel_name="python3", record_timing=False)
        client.execute(cwd=folder)
    made.metadata = notebook.metadata  # not the version of this Python
    for cell in made.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = small(output.data["image/png"])
    return made


def small(picture):
    """Return a PNG, as base64, in few colours."""
    stream = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.quantize(_COLOURS).save(stream, "png", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def texts(notebook):
    """Return what each cell says: its text, and that of its cards, without pictures, which fonts and versions change."""
    found = []
    for cell in notebook.cells:
        said = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            said += [output["text"]] if output.output_type == "stream" and output.name == "stdout" else []
            said += ["a picture"] if "image/png" in data else [data["text/plain"]] if "text/plain" in data else []
            said += [" ".join(html.unescape(_TAG.sub(" ", data["text/html"])).split())] if "text/html" in data else []
        found.append("\n".join(said))
    return found


if __name__ == "__main__":
    sys.exit(main())
