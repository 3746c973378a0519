"""The kernels of a run: loaded from the cache, or announced, compiled and left there."""

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import astuple, dataclass

import numpy as np

from srmfast.engine.events import KernelsMissing, KernelsReady
from srmfast.engine.plan import counter
from srmfast.engine.stored import DOUBLE_TYPES, FLOAT8
from srmfast.engine.warm import warm
from srmfast.kernels._cache import FOLDERS

SECONDS = 30.0  # what compiling the kernels of one type of rows takes, roughly
_loaded = set()  # by this process


@dataclass(frozen=True)
class Kernels:
    """All kernels that runs with one type of rows call.

    Attributes
    ----------
    dtype : str
        Stored type of the rows.
    centred : bool
        Whether a mean is subtracted from them.
    counter : {"int32", "int64"}
        Integer type of the plane accumulators.
    task : {"count", "project", "members"}
        What is done with the rows.
    """

    dtype: str
    centred: bool
    counter: str
    task: str = "count"

    @classmethod
    def of(cls, store, request):
        """Return those for a store and a `Request`: types that are the same to kernels share them."""
        dtype = "float64" if store.dtype in DOUBLE_TYPES else FLOAT8[0] if store.dtype in FLOAT8 else store.dtype
        return cls(dtype, request.centre is not False, np.dtype(counter(store.n)).name)

    @property
    def _mark(self):
        """Name of the file that says that the cache has them all."""
        return "all." + ".".join(map(str, astuple(self)))

    @property
    def missing(self):
        """Whether they have to be compiled, as far as the cache says."""
        return self not in _loaded and FOLDERS.read(self._mark) is None

    def announce(self, on_event, *, apart=False):
        """Say so if the kernels have to be compiled.

        Parameters
        ----------
        on_event : callable
            Receives `KernelsMissing`.
        apart : bool
            Compile them in a process that leaves them in the cache and ends: the compiler takes more memory than most
            runs. Nothing is lost if that fails.
        """
        if self.missing:
            on_event(KernelsMissing(SECONDS))
            if apart and sys.executable and FOLDERS.write("begun", b""):
                command = f"from srmfast.engine.compiling import Kernels; {self!r}.load()"
                with contextlib.suppress(OSError):
                    subprocess.run(
                        [sys.executable, "-P", "-c", command], check=False,
                        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    )  # fmt: skip

    def load(self):
        """Load or compile the kernels, in any thread.

        Returns
        -------
        KernelsReady
        """
        began, missing = time.perf_counter(), self.missing
        if not missing:
            return KernelsReady(0.0, False)  # each is loaded when it is first called: a run needs a part of them
        warm(self.dtype, centred=self.centred, counter=np.dtype(self.counter).type, task=self.task)
        _loaded.add(self)
        if missing and not FOLDERS.problem:
            FOLDERS.write(self._mark, b"")
        return KernelsReady(time.perf_counter() - began, missing, FOLDERS.problem if missing else "")
