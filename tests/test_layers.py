"""Imports point down. The table is the architecture; a new arrow is a decision, not an accident."""

import ast
from pathlib import Path

import pytest

import srmfast

ROOT = Path(srmfast.__file__).parent

# What each part may import from the package, at module level or inside functions.
ALLOWED = {
    "errors": set(),
    "displayed": {"cards"},
    "sound": {"errors"},
    "heap": set(),
    "interrupts": set(),
    "whole": set(),
    "angles": {"errors"},
    "spec": {"errors", "angles"},
    "naive": {"angles"},
    "kernels": {"kernels"},
    "threads": set(),
    "bases": {"displayed", "errors", "kernels", "spec", "thompson", "threads"},
    "thompson": {"errors"},
    "opposites": set(),
    "controls": {"bases", "opposites"},
    "sidebyside": {"controls", "excerpts", "oscillation", "overview"},
    "coherence": {"errors", "kernels", "threads"},
    "geometry": {"bases", "coherence", "kernels", "threads"},
    "planes": {"errors", "bases", "geometry"},
    "geometry_cost": {"coherence", "geometry", "planes", "threads"},
    "nulls": {"errors"},
    "tally": {"errors", "spec"},
    "norms": set(),
    "drawn": set(),
    "family": set(),
    "kurtosis": {"family", "jackknife"},
    "spectrum": {"family"},
    "references": {"errors", "nulls", "engine", "jackknife"},
    "opinions": {"errors", "excerpts", "family", "kurtosis", "references", "spectrum"},
    "coverage": {"excerpts", "nulls", "opposites"},
    "alignment": {"coverage", "displayed", "errors", "family", "verdicts"},
    "verdicts": {"coverage", "excerpts", "family"},
    "strata": {"errors", "excerpts", "family"},
    "repeats": set(),
    "graph": {"errors", "sound", "threads", "graph"},
    "stores": {"displayed", "errors", "sound", "stores", "graph"},
    "results": {
        "displayed",
        "errors",
        "nulls",
        "alignment",
        "archive",
        "atlas",
        "axes",
        "engine",
        "longtable",
        "norms",
        "opinions",
        "page",
        "plots",
        "references",
        "report",
        "selectivity",
        "strata",
    },
    "longtable": {"errors", "whole"},
    "jackknife": set(),
    "matching": set(),
    "atlas": {
        "displayed",
        "errors",
        "excerpts",
        "family",
        "jackknife",
        "kurtosis",
        "oscillation",
        "atlaslines",
        "whole",
    },
    "atlaslines": {"excerpts", "family"},
    "enrichment": {"errors"},
    "archive": {"errors", "projection", "robustness", "selectivity", "results", "spec", "whole"},
    "deciding": set(),
    "robustness": {"errors", "deciding", "excerpts", "family", "results", "readings", "dashboard"},
    "readings": {"deciding", "excerpts", "family"},
    "dashboard": {"errors", "_notes", "excerpts", "plots", "readings", "robustness"},
    "selectivity": {"errors", "excerpts", "opposites", "results", "axes", "classmaps", "rotation_test"},
    "rotation_test": {"errors", "excerpts", "selectivity"},
    "projection": {"errors", "excerpts", "results", "axes", "discs"},
    "engine": {
        "displayed",
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
        "displayed",
        "family",
        "robustness",
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
        "atlas",
        "matching",
        "jackknife",
        "excerpts",
        "differencelines",
        "differencefigure",
    },
    "differencelines": {"atlaslines", "excerpts"},
    "differencefigure": {"_notes", "atlaslines", "excerpts", "plots"},
    "excerpts": {"results"},
    "oscillation": {"excerpts", "results"},
    "overview": {"excerpts", "oscillation"},
    "report": {
        "coverage",
        "sidebyside",
        "strata",
        "overview",
        "opinions",
        "errors",
        "nulls",
        "results",
        "spec",
        "excerpts",
        "oscillation",
        "verdicts",
    },
    "_notes": {"excerpts"},
    "_panels": {"errors", "nulls", "results", "excerpts"},
    "plots": {"errors", "nulls", "results", "excerpts", "_notes", "_panels", "atlasfigure", "opinionfigure"},
    "opinionfigure": {"_notes", "errors", "excerpts", "plots"},
    "atlasfigure": {"_notes", "atlaslines", "excerpts", "family", "plots"},
    "classmaps": {"_panels", "errors", "results", "excerpts", "_notes", "plots", "selectivity"},
    "discs": {"errors", "results", "excerpts", "_notes", "plots", "projection"},
    "axes": {
        "errors",
        "results",
        "excerpts",
        "_notes",
        "_panels",
        "plots",
        "classmaps",
        "discs",
        "selectivity",
        "projection",
    },
    "cards": {"axes", "excerpts", "oscillation", "overview", "report", "verdicts"},
    "page": {
        "",
        "whole",
        "errors",
        "spec",
        "archive",
        "results",
        "projection",
        "selectivity",
        "robustness",
        "readings",
        "excerpts",
        "oscillation",
        "report",
        "verdicts",
        "page",
    },
    "training": {"displayed", "", "bases", "errors", "graph", "spec", "stores", "training", "whole"},
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
        "stores",
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
    ("displayed", "cards"),
    ("results", "axes"),
    ("selectivity", "axes"),
    ("projection", "axes"),
    ("cards", "axes"),
    ("results", "alignment"),
    ("results", "atlas"),
    ("atlas", "atlaslines"),
    ("plots", "atlasfigure"),
    ("plots", "opinionfigure"),
    ("analyses", "differencelines"),
    ("analyses", "differencefigure"),
    ("alignment", "verdicts"),
    ("results", "archive"),
    ("results", "opinions"),
    ("results", "references"),
    ("references", "engine"),
    ("results", "engine"),
    ("results", "longtable"),
    ("results", "page"),
    ("results", "plots"),
    ("results", "report"),
    ("results", "selectivity"),
    ("results", "strata"),
    ("selectivity", "classmaps"),
    ("selectivity", "rotation_test"),
    ("projection", "discs"),
    ("robustness", "dashboard"),
    ("robustness", "readings"),
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
        part(path)
        in (
            "kernels",
            "plots",
            "_panels",
            "discs",
            "classmaps",
            "atlasfigure",
            "differencefigure",
            "dashboard",
            "opinionfigure",
        )
        or path.stem == "_zarr_roots"
    ):  # made of it; imported lazily
        return
    heavy = {module.split(".")[0] for module, top in imports(ast.parse(path.read_text())) if top} & HEAVY
    assert not heavy


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_concept(path):
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in ("utils", "core", "common", "helpers")
