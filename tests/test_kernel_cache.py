"""Compiled kernels between processes: never those of another version, whatever has happened to their files."""

import hashlib
import os
import pickle
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest

import srmfast
from srmfast.kernels import _cache, _jit
from srmfast.kernels._cache import Folders, KernelCache

NAME = "srmfast-kernels-0123456789abcdef01234567"
KERNELS = Path(srmfast.__file__).parent / "kernels"


def double(x):
    return x + x


def triple(x):
    return x + x + x


def kernel(folders, function=double):
    """A kernel as a process finds it: nothing compiled yet."""
    made = numba.njit(function)
    made._cache = KernelCache(function, folders)
    return made


def hits(made):
    return sum(made.stats.cache_hits.values())


@pytest.fixture
def folders(tmp_path):
    return Folders(NAME, [str(tmp_path / "cache")])


def files(folders):
    return sorted(Path(folders.paths[0]).iterdir())


def python(code, *arguments, env, **options):
    """Run code, which may import this file, in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{textwrap.dedent(code)}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=200, **options)


# ---- kept, and found again -------------------------------------------------------------------------------


def test_each_signature_of_each_kernel_is_kept_and_found_again(folders):
    for function in (double, triple):
        for found in (0, 2):
            made = kernel(folders, function)
            assert (made(3), made(2.5)) == (function(3), function(2.5)) and hits(made) == found
    assert len(files(folders)) == 4 and not folders.problem


def test_processes_that_fill_one_folder_at_once_do_not_mix_their_kernels(folders, srmfast_env):
    """Numba's own index lets one process file a kernel under the number of another's."""
    code = f"""
    from test_kernel_cache import Folders, hits, kernel, triple
    made = kernel(Folders({NAME!r}, [sys.argv[1]]), triple)
    print([made(value) for value in (2, 2.5, 2j, True)], hits(made))
    """
    root = os.path.dirname(folders.paths[0])
    with ThreadPoolExecutor(3) as pool:
        for done in pool.map(lambda _: python(code, root, env=srmfast_env), range(3)):
            assert done.stdout.startswith("[6, 7.5, 6j, 3]"), done.stderr
    assert len(files(folders)) == 4
    assert python(code, root, env=srmfast_env).stdout == "[6, 7.5, 6j, 3] 4\n"


def test_what_is_loaded_and_what_is_compiled_later_work_together(folders, srmfast_env):
    """Loading leaves out most of Numba, half a second of imports; compiling brings it in."""
    code = f"""
    from test_kernel_cache import Folders, hits, kernel
    import numba, numpy as np
    made, x = kernel(Folders({NAME!r}, [sys.argv[1]])), np.arange(3.0)
    assert made(x).tolist() == [0, 2, 4]
    print(hits(made), "numba.np.arraymath" in sys.modules)
    assert made(x.astype("i8")).tolist() == [0, 2, 4] and numba.njit(lambda a: a @ a)(x) == 5
    """
    root = os.path.dirname(folders.paths[0])
    first, second = (python(code, root, env=srmfast_env) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout == "0 True\n" and second.stdout == f"1 {not _cache._LIGHT}\n"


def test_kernels_that_are_not_to_be_compiled_are_plain_functions(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert _jit.jit(double) is double and _jit.jit_screen(double) is double and _jit.jit_inline(double) is double


# ---- the version -----------------------------------------------------------------------------------------


def test_any_change_of_any_kernel_is_another_folder(tmp_path):
    sources = tmp_path / "kernels"
    shutil.copytree(KERNELS, sources)
    seen = {_cache.folder_name(sources)}
    assert seen == {_cache.folder_name()} and _cache._FOLDER.fullmatch(*seen)
    os.utime(sources / "rows.py", (0, 0))
    assert _cache.folder_name(sources) in seen
    changed = sorted(sources.glob("*.py"))
    for path in changed:
        path.write_text(path.read_text() + "# changed\n")
        seen.add(_cache.folder_name(sources))
    assert len(seen) == 1 + len(changed)


@pytest.mark.parametrize(
    "place, name, value",
    [
        (srmfast, "__version__", "0.0.1"),
        (numba, "__version__", "0.0.1"),
        (_cache.llvmlite, "__version__", "0.0.1"),
        (np, "__version__", "0.0.1"),
        (numba.config, "CPU_NAME", "nehalem"),
        (numba.config, "CPU_FEATURES", "+sse2"),
        (numba.config, "BOUNDSCHECK", 1),
    ],
)
def test_whatever_else_changes_the_code_is_another_folder(place, name, value, monkeypatch):
    before = _cache.folder_name()
    monkeypatch.setattr(place, name, value)
    assert _cache.folder_name() != before


def test_without_their_source_kernels_are_compiled_and_not_kept(tmp_path):
    folders = Folders(_cache.folder_name(tmp_path / "inside.zip"), [str(tmp_path)])
    assert kernel(folders)(2.0) == 4.0 and folders.problem == "there is no folder for them"
    assert list(tmp_path.iterdir()) == []


def test_a_change_in_a_file_whose_kernel_is_called_is_seen(tmp_path):
    """Numba's own cache answers 2 again: the file of `caller` has not changed."""
    package = tmp_path / "srmfast" / "kernels"
    package.mkdir(parents=True)
    for path in (package.parent / "__init__.py", package / "__init__.py"):
        path.write_text("")
    for name in ("_jit.py", "_cache.py"):
        shutil.copy(KERNELS / name, package)
    head = "from srmfast.kernels._jit import jit, jit_inline\n"
    call = "from srmfast.kernels.callee import step\n@jit\ndef caller(x):\n    return step(x)\n"
    (package / "caller.py").write_text(head + call)
    code = "from srmfast.kernels.caller import caller as f; print(f(1), sum(f.stats.cache_hits.values()))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def answer(body):
        (package / "callee.py").write_text(f"{head}@jit_inline\ndef step(x):\n    return {body}\n")
        done = python(code, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert answer("x + 1") == ["2", "0"]
    assert answer("x + 1") == ["2", "1"]
    assert answer("x + 2") == ["3", "0"]


def test_folders_used_long_ago_are_deleted_and_nothing_else(tmp_path):
    root, now = tmp_path / "cache", time.time()
    days = {f"{_cache._PREFIX}{age:024x}": age for age in range(12)}
    for name, age in days.items():
        (root / name).mkdir(parents=True)
        (root / name / "kernel").write_bytes(b"old")
        os.utime(root / name, (now - 86400 * age, now - 86400 * age))
    for name in ("srmfast-demo", "srmfast-kernels-of-mine"):
        (root / name).mkdir()
        os.utime(root / name, (0, 0))
    assert kernel(Folders(NAME, [str(root)]))(1) == 2
    kept = {name for name, age in days.items() if age < _cache._KEPT - 1}
    assert {path.name for path in root.iterdir()} == kept | {NAME, "srmfast-demo", "srmfast-kernels-of-mine"}

    for path in root.iterdir():  # all in use: none goes
        os.utime(path)
    for number in range(12, 16):
        assert Folders(f"{_cache._PREFIX}{number:024x}", [str(root)]).write("kernel", b"")
    assert len(list(root.iterdir())) == len(kept) + 3 + 4


def test_a_folder_that_is_read_counts_as_used(folders):
    folders.write("kernel", b"code")
    os.utime(folders.paths[0], (0, 0))
    assert Folders(NAME, [os.path.dirname(folders.paths[0])]).read("kernel") == b"code"
    assert time.time() - os.stat(folders.paths[0]).st_mtime < 3600


# ---- damage ----------------------------------------------------------------------------------------------


def checked(body):
    return hashlib.sha256(body).digest() + body


DAMAGE = {
    "empty": lambda whole: b"",
    "cut in the checksum": lambda whole: whole[:20],
    "cut": lambda whole: whole[:-1],
    "one bit": lambda whole: whole[:900] + bytes([whole[900] ^ 1]) + whole[901:],
    "longer": lambda whole: whole + b"\0",
    "no pickle": lambda whole: checked(b"garbage"),
    "not a kernel": lambda whole: checked(pickle.dumps((1, 2, 3))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_compiled_again_and_mended(damage, folders):
    kernel(folders)(2.5)
    (path,) = files(folders)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    mending, after = kernel(folders), kernel(folders)
    assert mending(2.5) == 5.0 and hits(mending) == 0
    assert after(2.5) == 5.0 and hits(after) == 1
    assert files(folders) == [path] and not folders.problem


# ---- folders that take nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["open", "replace", "makedirs"])
def test_a_folder_that_takes_nothing_is_survived_and_told(call, folders, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_cache if call == "open" else _cache.os, call, fail, raising=False)
    made = kernel(folders)
    assert made(2.5) == 5.0 and made(2) == 4
    assert folders.problem == f"{folders.paths[0]}: No space left on device"
    monkeypatch.undo()
    assert not Path(folders.paths[0]).exists() or files(folders) == []


def test_a_disk_that_is_full_in_the_middle_of_a_file_leaves_nothing(folders, srmfast_env):
    code = f"""
    from test_kernel_cache import Folders, kernel
    folders = Folders({NAME!r}, [sys.argv[1]])
    print(kernel(folders)(2.5), folders.problem)
    """
    root = os.path.dirname(folders.paths[0])
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))  # noqa: E731
    done = python(code, root, env=srmfast_env | {"PYTHONDONTWRITEBYTECODE": "1"}, preexec_fn=small)
    assert done.stdout == f"5.0 {folders.paths[0]}: File too large\n", done.stderr
    assert files(folders) == []


def test_the_next_folder_takes_what_the_first_refuses(tmp_path):
    (tmp_path / "file").write_text("in the way")
    folders = Folders(NAME, [str(tmp_path / "file"), "/proc/none", str(tmp_path / "cache")])
    again = kernel(folders)
    assert kernel(folders)(2.5) == again(2.5) == 5.0
    assert not folders.problem and hits(again) == 1


def test_a_folder_that_was_filled_by_others_is_read_without_being_written(folders, monkeypatch):
    kernel(folders)(2.5)
    for name in ("makedirs", "replace", "utime"):
        monkeypatch.setattr(_cache.os, name, lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "no")))
    again = kernel(folders)
    assert again(2.5) == 5.0 and hits(again) == 1 and not folders.problem


def test_folders_are_where_numba_has_its_own_and_none_is_named_tilde(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert _cache._roots() == [str(tmp_path)]
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    own = str(KERNELS / "__pycache__")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert _cache._roots()[0] == own and len(_cache._roots()) == 2
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert _cache._roots() == [own]
