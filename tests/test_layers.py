"""Imports point down. The table is the architecture; a new arrow is a decision, not an accident."""

import ast
from pathlib import Path

import pytest

import srmfast

ROOT = Path(srmfast.__file__).parent

# What each part may import from the package, at module level or inside functions.
ALLOWED = {
    "errors": set(),
    "sound": {"errors"},
    "heap": set(),
    "interrupts": set(),
    "whole": set(),
    "angles": {"errors"},
    "spec": {"errors", "angles"},
    "naive": {"angles"},
    "kernels": {"kernels"},
    "threads": set(),
    "bases": {"errors", "kernels", "spec", "thompson", "threads"},
    "thompson": {"errors"},
    "controls": {"bases"},
    "sidebyside": {"controls", "excerpts"},
    "coherence": {"errors", "kernels", "threads"},
    "geometry": {"bases", "coherence", "kernels", "threads"},
    "planes": {"errors", "bases", "geometry"},
    "geometry_cost": {"coherence", "geometry", "planes", "threads"},
    "nulls": {"errors"},
    "tally": {"errors", "spec"},
    "norms": set(),
    "drawn": set(),
    "family": set(),
    "coverage": {"excerpts", "nulls"},
    "alignment": {"errors", "coverage", "family", "verdicts"},
    "verdicts": {"coverage", "excerpts", "family"},
    "strata": {"errors", "excerpts", "family"},
    "repeats": set(),
    "graph": {"errors", "sound", "threads", "graph"},
    "stores": {"errors", "sound", "stores", "graph"},
    "results": {
        "errors",
        "nulls",
        "alignment",
        "archive",
        "engine",
        "plots",
        "report",
        "selectivity",
        "strata",
        "whole",
    },
    "enrichment": {"errors"},
    "archive": {"errors", "projection", "selectivity", "results", "spec", "whole"},
    "selectivity": {"errors", "excerpts", "results", "classmaps"},
    "projection": {"errors", "excerpts", "results", "discs"},
    "engine": {
        "whole",
        "interrupts",
        "errors",
        "angles",
        "spec",
        "bases",
        "controls",
        "geometry",
        "geometry_cost",
        "threads",
        "planes",
        "nulls",
        "tally",
        "norms",
        "drawn",
        "repeats",
        "kernels",
        "stores",
        "results",
        "projection",
        "selectivity",
        "enrichment",
        "engine",
    },
    "analyses": {
        "",
        "graph",
        "whole",
        "archive",
        "stores",
        "tally",
        "errors",
        "spec",
        "bases",
        "thompson",
        "norms",
        "nulls",
        "engine",
        "results",
    },
    "excerpts": {"results"},
    "report": {"errors", "coverage", "nulls", "results", "spec", "excerpts", "sidebyside", "strata", "verdicts"},
    "_panels": {"errors", "nulls", "results", "excerpts"},
    "plots": {"errors", "nulls", "results", "excerpts", "_panels"},
    "classmaps": {"errors", "results", "excerpts", "plots", "selectivity"},
    "discs": {"errors", "results", "excerpts", "plots", "projection"},
    "training": {"", "bases", "errors", "graph", "spec", "stores", "training", "whole"},
    "progress": {"engine", "training"},
    "compat": {"errors", "bases", "planes", "engine"},
    "commands": {
        "whole",
        "archive",
        "errors",
        "heap",
        "spec",
        "engine",
        "graph",
        "results",
        "plots",
        "projection",
        "classmaps",
        "report",
        "progress",
        "analyses",
        "training",
        "commands",
        "",
    },
    "cli": {"", "commands", "errors", "interrupts"},
    "__main__": {"cli"},
    "__init__": set(),
}
INSIDE_FUNCTIONS_ONLY = {
    ("results", "alignment"),
    ("alignment", "verdicts"),
    ("results", "archive"),
    ("results", "engine"),
    ("results", "whole"),
    ("results", "plots"),
    ("results", "report"),
    ("archive", "projection"),
    ("archive", "selectivity"),
    ("results", "selectivity"),
    ("results", "strata"),
    ("selectivity", "classmaps"),
    ("projection", "discs"),
    ("bases", "thompson"),
}
HEAVY = {"numba", "zarr", "h5py", "matplotlib", "pyarrow", "onnx", "onnxruntime", "scipy", "pandas", "dask"}


def part(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(tree):
    """Yield (module, whether at module level) of every import."""
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "srmfast":
                for alias in node.names:
                    known = (ROOT / f"{alias.name}.py").exists() or (ROOT / alias.name).is_dir()
                    yield f"srmfast.{alias.name}" if known else "srmfast", id(node) in top
            else:
                yield node.module, id(node) in top


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    here = part(path)
    for module, top in imports(ast.parse(path.read_text())):
        if module.split(".")[0] != "srmfast":
            continue
        target = module.split(".")[1] if "." in module else ""
        assert target in ALLOWED[here], f"{here} must not import {target or 'srmfast'}"
        assert not (top and (here, target) in INSIDE_FUNCTIONS_ONLY), (
            f"{here} may import {target} inside functions only"
        )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_analysis_imports_another(path):
    if part(path) == "analyses":
        targets = {
            module for module, _ in imports(ast.parse(path.read_text())) if module.startswith("srmfast.analyses.")
        }
        assert not targets


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_are_imported_where_they_are_used(path):
    if (
        part(path) in ("kernels", "plots", "_panels", "discs", "classmaps") or path.stem == "_zarr_roots"
    ):  # made of it; imported lazily
        return
    heavy = {module.split(".")[0] for module, top in imports(ast.parse(path.read_text())) if top} & HEAVY
    assert not heavy


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_concept(path):
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in ("utils", "core", "common", "helpers")
