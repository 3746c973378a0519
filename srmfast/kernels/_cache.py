"""Compiled kernels between processes: one folder for all that they depend on alike, one checked file for each kernel.

Numba's own cache asks whether the file of a kernel has changed, not the files of kernels that it calls or inlines, so
that after an upgrade it may hand out code that counts by old rules. Its index can be spoiled by two processes at once,
it fails on files cut short, and without a folder to write into not even an import succeeds. Here

- the folder is named after the text of every file in this package, the versions of what compiles it, and the CPU;
- the file is named after kernel and signature, written aside and renamed, and read only when its checksum holds;
- whatever goes wrong with files is a kernel that is not there: it is compiled, at worst in every process.
"""

import contextlib
import errno
import hashlib
import os
import pickle
import re
import shutil
import sys
import time
import uuid

import llvmlite
import numba
import numpy as np
from llvmlite import binding
from numba.core import codegen, compiler, config, serialize
from numba.core.caching import NullCache
from numba.core.runtime import rtsys

_HERE = os.path.dirname(os.path.abspath(__file__))
_PREFIX = "srmfast-kernels-"
_FOLDER = re.compile(_PREFIX + "[0-9a-f]{24}")  # nothing else is ever deleted
_KEPT, _DAY = 8, 86400.0  # folders and seconds: several versions and CPUs may share a place
# Code that is only loaded needs Numba's runtime, but none of its implementations of Python and NumPy, which take longer
# to import than all else together. Both ends of this range of Numba have passed tests/test_kernel_cache.py.
_LIGHT = (0, 61) <= numba.version_info[:2] <= (0, 68)


def folder_name(sources=_HERE):
    """Return the name of the folder for the kernels in `sources`; "" when their text is not there to be read."""
    digest = hashlib.sha256()
    try:
        for name in sorted(entry for entry in os.listdir(sources) if entry.endswith(".py")):
            with open(os.path.join(sources, name), "rb") as file:
                text = file.read()
            digest.update(f"{name} {len(text)} ".encode() + text)
    except OSError:  # inside an archive, for example
        return ""
    cpu = config.CPU_NAME or binding.get_host_cpu_name()
    features = codegen.get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    ours = getattr(sys.modules[__package__.partition(".")[0]], "__version__", "")
    versions = ours, numba.__version__, llvmlite.__version__, np.__version__, sys.version
    digest.update(
        repr((versions, config.OPT, config.BOUNDSCHECK, binding.get_default_triple(), cpu, features)).encode()
    )
    return _PREFIX + digest.hexdigest()[:24]


class Folders:
    """Where files of this version are kept: in the first folder that takes them.

    Parameters
    ----------
    name : str
        From `folder_name`.
    roots : list of str

    Attributes
    ----------
    problem : str
        Why something could not be written; "" while all is well.
    """

    def __init__(self, name, roots):
        self.paths = [os.path.join(root, name) for root in roots] if name else []
        self.problem = ""
        self._used = False

    def forget_if_renamed(self):
        """Use no folder any more once the text of the kernels is another than when it was named.

        A kernel that is imported after its file was edited would be kept under the name of the text before.
        """
        if self.paths and folder_name() != os.path.basename(self.paths[0]):
            self.paths, self.problem = [], "their source was edited while it was imported"

    def read(self, name):
        """Return what was written under this name; None when it is nowhere, or damaged."""
        for path in self.paths:
            with contextlib.suppress(OSError):
                if not _trusted(path):
                    continue
                with open(os.path.join(path, name), "rb") as file:
                    content = file.read()
                if content[:32] == hashlib.sha256(content[32:]).digest():
                    self._use(path)
                    return content[32:]
        return None

    def write(self, name, body):
        """Keep bytes, whole or not at all; return False, and leave a `problem`, when no folder takes them."""
        problem = "there is no folder for them"
        for path in self.paths:
            try:
                if not os.path.isdir(path):
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(path, 0o755)
                    _prune(os.path.dirname(path))
                if not _trusted(path):
                    raise PermissionError(errno.EPERM, "others can write there")
                _replace(os.path.join(path, name), hashlib.sha256(body).digest() + body)
                return True
            except OSError as error:
                problem = f"{path}: {error.strerror or error}"
        self.problem = self.problem or problem
        return False

    def _use(self, path):
        """Tell others, once a process, that this folder is in use."""
        if not self._used:
            self._used = True
            with contextlib.suppress(OSError):
                os.utime(path)


class KernelCache(NullCache):
    """What Numba's dispatcher asks for the compiled code of one kernel.

    Parameters
    ----------
    function : function
    folders : Folders
    """

    def __init__(self, function, folders):
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self._folders = folders

    def load_overload(self, sig, target_context):
        """Return the kernel compiled for a signature; None when it has to be compiled."""
        body = self._folders.read(self._file(sig))
        if body is not None and _LIGHT:
            rtsys.initialize(target_context)
        else:
            target_context.refresh()
        if body is not None:
            with contextlib.suppress(Exception):  # whatever an unfit file may raise
                return compiler.CompileResult._rebuild(target_context, *pickle.loads(body))
            target_context.refresh()
        return None

    def save_overload(self, sig, data):
        """Keep a compiled kernel."""
        if not data.library.has_dynamic_globals:
            self._folders.write(self._file(sig), serialize.dumps(data._reduce()))

    def _file(self, signature):
        return f"{self._name}-{hashlib.sha256(repr(signature).encode()).hexdigest()[:24]}"


def _trusted(path):
    """Say whether only this user, or root, can put files there: what is read from them is run."""
    if not hasattr(os, "geteuid"):
        return True
    status = os.stat(path)
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022


def _roots():
    """Return where Numba would look, in its order."""
    if config.CACHE_DIR:
        return [config.CACHE_DIR]
    caches = "~/Library/Caches" if sys.platform == "darwin" else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    caches = os.path.expanduser(caches)
    own = [os.path.join(caches, "srmfast")] if os.path.isabs(caches) else []  # without a home, "~" stays as it is
    return [os.path.join(_HERE, "__pycache__"), *own]


def _replace(path, content):
    aside = f"{path}.{uuid.uuid4().hex[:12]}"
    try:
        with open(aside, "wb") as file:
            file.write(content)
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def _prune(root):
    """Delete the folders that were used longest ago, but none that was used within a day."""
    with contextlib.suppress(OSError):
        found = [(entry.stat().st_mtime, entry.path) for entry in os.scandir(root) if _FOLDER.fullmatch(entry.name)]
        for used, path in sorted(found, reverse=True)[_KEPT:]:
            if used < time.time() - _DAY:
                shutil.rmtree(path, ignore_errors=True)


FOLDERS = Folders(folder_name(), _roots())
_imported = set()  # modules with kernels


def keep(kernel):
    """Keep a kernel's compiled code between processes.

    Parameters
    ----------
    kernel : numba Dispatcher
        Or a plain function, which is what it is under NUMBA_DISABLE_JIT.

    Returns
    -------
    kernel
    """
    if hasattr(kernel, "py_func"):
        if kernel.py_func.__module__ not in _imported:
            _imported.add(kernel.py_func.__module__)
            FOLDERS.forget_if_renamed()
        kernel._cache = KernelCache(kernel.py_func, FOLDERS)
    return kernel
