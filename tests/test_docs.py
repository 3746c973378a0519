"""Documentation that is wrong is a fault: README commands, docstrings, public names."""

import ast
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

import srmfast
from srmfast.cli import build_parser

ROOT = Path(srmfast.__file__).parent
README = ROOT.parent / "README.md"
PAGES = [README, *sorted((ROOT.parent / "docs").glob("*.md"))]
MODULES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__main__.py")


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            public = not node.name.startswith("_")
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and public:
                    yield f"{node.name}.{method.name}", method
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node


def documented(docstring, section):
    found = re.search(rf"{section}\n-+\n(.*?)(?:\n\w[^\n]*\n-+\n|\Z)", inspect.cleandoc(docstring), re.S)
    if not found:
        return None
    names = []
    for line in found[1].splitlines():
        if line and not line.startswith(" "):
            names += [name.strip().lstrip("*") for name in line.split(" : ")[0].split(",")]
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_and_public_function_says_what_it_does(path):
    text = path.read_text()
    if not text.strip():
        return
    assert ast.get_docstring(ast.parse(text)), path
    for name, node in functions(path):
        if not name.split(".")[-1].startswith("_") and not name.split(".")[0].startswith("_"):
            assert ast.get_docstring(node) or "." in name, name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_documented_parameters_are_those_of_the_signature(path):
    for name, node in functions(path):
        docstring = ast.get_docstring(node)
        names = documented(docstring, "Parameters") if docstring else None
        if names is None:
            continue
        arguments = node.args
        actual = [a.arg for a in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
        actual += [a.arg for a in (arguments.vararg, arguments.kwarg) if a]
        assert set(names) == set(actual) - {"self", "cls", "typingctx"}, name


@pytest.mark.parametrize("name", [name for name in srmfast.__all__ if name != "__version__"])
def test_every_public_name_resolves_and_is_documented(name):
    assert inspect.getdoc(getattr(srmfast, name))


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'spotlight'"):
        _ = srmfast.spotlight


def commands():
    parser = build_parser()
    return next(action for action in parser._actions if hasattr(action, "choices") and action.choices).choices


def test_readme_shows_every_command():
    text = README.read_text()
    for name in commands():
        assert f"srmfast {name}" in text, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_parses(page):
    lines = re.findall(r"^(?:.*&& )?(srmfast .*?)(?:\s+#.*)?$", page.read_text().replace("\\\n", ""), re.M)
    assert len(lines) >= (len(commands()) if page == README else 1)
    for line in lines:
        arguments = shlex.split(line)[1:]
        build_parser().parse_args(arguments)


def test_readme_python_runs(tmp_path, monkeypatch, rng):
    import numpy as np
    import onnx
    import onnx.parser

    monkeypatch.chdir(tmp_path)
    np.save("acts.npy", rng.normal(size=(300, 16)).astype(np.float16))
    onnx.save(
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["": 17]> f (float[N, 3] image) => (float[N, 3] logits) '
            "{ layer3 = Tanh(image) logits = Mul(layer3, layer3) }"
        ),
        "model.onnx",
    )
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_no_file_that_is_not_there(page):
    for link in re.findall(r"\]\((?!https?://|#)([^)]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_the_version_is_the_packages_version():
    setup = (README.parent / "setup.cfg").read_text()
    assert f"version = {srmfast.__version__}\n" in setup
    assert f"## {srmfast.__version__}" in (README.parent / "CHANGELOG.md").read_text()


def test_doctests_pass():
    import doctest

    for path in MODULES:
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        if ">>>" in path.read_text():
            assert doctest.testmod(importlib.import_module(module)).failed == 0, module
