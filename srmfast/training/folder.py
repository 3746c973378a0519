"""What a training leaves on the disk: every file whole, and a state to go on with."""

import contextlib
import fcntl
import io
import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srmfast.errors import InputError
from srmfast.whole import sweep, whole_file

_STATE, _LOG, _RECIPE, _LOCK = "state.npz", "log.csv", "recipe.json", ".lock"
_OURS = re.compile(r"epoch-\d{4,}\.onnx|basis(-layer\d+)?\.npy|state\.npz|log\.csv|recipe\.json")


@dataclass(frozen=True)
class State:
    """A training between two epochs.

    Attributes
    ----------
    epoch : int
        Epochs that are finished.
    values : dict of str to ndarray
        Parameters, and what the optimiser keeps.
    log : list of (int, float, float)
    identity : dict
        What it is a training of.
    bases : dict of str to ndarray
        By layer: a basis found again on another CPU could differ in its last bits.
    versions : dict
        Of the libraries that it ran under; empty in states of before they were noted.
    """

    epoch: int
    values: dict
    log: list
    identity: dict
    bases: dict
    versions: dict


class Folder:
    """The folder of one training, locked while it is open.

    Parameters
    ----------
    path : path
        Made where it is not there.
    resume : bool
        Whether a training that it holds is to be gone on with.
    force : bool
        Whether one that it holds may be deleted.
    """

    def __init__(self, path, *, resume=False, force=False):
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"the output of a training must be a folder, {path} is a file; choose another name")
        if not self.path.absolute().parent.is_dir():
            raise InputError(f"output folder must exist, got {self.path.absolute().parent}; create it first")
        self._resume, self._force = resume, force

    def __enter__(self):
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"output must be writable, got {self.path}: {error.strerror}") from None
        while not self._locked():
            pass
        try:
            self._look()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _locked(self):
        """Lock the folder; tell whether the lock is still in it: who had it before takes it away with him."""
        try:
            self._lock = open(self.path / _LOCK, "w")  # noqa: SIM115 - closed on leaving
        except OSError as error:
            raise InputError(f"output must be writable, got {self.path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise InputError(
                f"another process is training in {self.path}; wait for it, or choose another folder"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._lock.fileno()), os.stat(self.path / _LOCK)):
                return True
        self._lock.close()
        return False

    def __exit__(self, *exception):
        (self.path / _LOCK).unlink(missing_ok=True)
        self._lock.close()

    def _look(self):
        names = [entry.name for entry in self.path.iterdir() if entry.name != _LOCK]
        ours = [name for name in names if _OURS.fullmatch(name)]
        if ours and not self._holds_training():
            raise InputError(f"{self.path} holds {min(ours)}, which is of no training; choose another folder")
        if self._force:
            # The state first: half a training is none. The recipe last: without it files are anybody's.
            for name in sorted(ours, key=lambda name: (name == _RECIPE, name != _STATE)):
                (self.path / name).unlink()
        elif ours and not self._resume:
            raise InputError(f"{self.path} holds a training; go on with it by --resume, or replace it by --force")
        for name in (_STATE, _LOG, _RECIPE):
            sweep(self.path / name)
        for name in names:
            if name.endswith(".wip") and _OURS.match(name):
                (self.path / name).unlink(missing_ok=True)

    def _holds_training(self):
        try:
            recipe = json.loads((self.path / _RECIPE).read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(recipe, dict) and {"layers", "optimiser", "training"} <= recipe.keys()

    def state(self):
        """Return the state that the folder holds, None without one."""
        path = self.path / _STATE
        if not path.exists():
            return None
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
                about = json.loads(str(held["about"]))
                values, bases = (
                    {name.removeprefix(kind): held[name] for name in held.files if name.startswith(kind)}
                    for kind in ("value/", "basis/")
                )
            log = [(int(epoch), float(loss), float(test)) for epoch, loss, test in about["log"]]
            return State(about["epoch"], values, log, about["identity"], bases, about.get("versions", {}))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} cannot be gone on with ({error}); start again with --force") from None

    def begin(self, recipe, bases, behind):
        """Write what is known before the first step."""
        self._write(_RECIPE, (json.dumps(recipe.values, indent=1) + "\n").encode())
        for name, vectors in bases.items():
            own = behind is not None and np.array_equal(vectors, behind.vectors)
            stream = io.BytesIO()
            np.save(stream, vectors)
            self._write("basis.npy" if own else f"basis-{name}.npy", stream.getvalue())

    def write_model(self, epoch, model):
        """Write a checkpoint."""
        self._write(f"epoch-{epoch:04}.onnx", model.SerializeToString(deterministic=True))

    def save(self, state):
        """Write the log, then the state: what the state says has happened is on the disk."""
        lines = ["epoch,loss,test_loss", *(f"{epoch},{loss!r},{test!r}" for epoch, loss, test in state.log)]
        self._write(_LOG, ("\n".join(lines) + "\n").encode())
        about = {"epoch": state.epoch, "log": state.log, "identity": state.identity, "versions": state.versions}
        arrays = {f"value/{name}": value for name, value in state.values.items()}
        arrays |= {f"basis/{name}": vectors for name, vectors in state.bases.items()}
        stream = io.BytesIO()
        np.savez(stream, about=np.array(json.dumps(about)), **arrays)
        self._write(_STATE, stream.getvalue())

    def _write(self, name, content):
        try:
            with whole_file(self.path / name) as file:
                file.write(content)
        except OSError as error:
            raise InputError(f"output must be writable, got {self.path / name}: {error.strerror}") from None
