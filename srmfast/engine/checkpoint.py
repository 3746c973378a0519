"""A folder in which a run leaves what it has counted, so that it can be killed and gone on with."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
import time
from pathlib import Path

from srmfast.engine.events import CheckpointLost, CheckpointUnwritten, ReadingResumed, ignore
from srmfast.engine.tallyfile import TallyFile, write
from srmfast.errors import InputError
from srmfast.spec import differing
from srmfast.whole import whole_file

EVERY = 10.0  # seconds between checkpoints
_SHARE = 0.05  # of the time, at most, that writing them may take
_RUN, _LOCK, _SUFFIX = "run.json", "srmfast.lock", ".tally"
_OURS = re.compile(r"srmfast\.lock|run\.json(\..*\.wip)?|\d+-\w+-[0-9a-f]{12}\.tally(\..*\.wip)?")


class Checkpoint:
    """The folder of one run, locked while this object is open.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist.
    every : float, optional
        Seconds between checkpoints, at least; `EVERY` when omitted.
    resume : bool
        Whether a run that the folder holds is gone on with; otherwise it is refused.

    Raises
    ------
    InputError
        Another process uses the folder, it holds something else, or it cannot be written.
    """

    def __init__(self, folder, *, every=None, resume=False):
        every = EVERY if every is None else every
        self.folder, self.every, self._resume = Path(folder), every, resume
        self._lock = None
        if not 0 < every < float("inf"):
            raise InputError(f"seconds between checkpoints must be above 0, got {every:g}; the default is {EVERY:g}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._look()
            self._take_lock()
            self._look()  # another run may have begun or ended meanwhile
        except OSError as error:
            self.close()
            raise InputError(
                f"the checkpoint folder must be writable, got {folder}: {error.strerror or error}"
            ) from None
        except BaseException:
            self.close()
            raise

    def _take_lock(self):
        while True:
            self._lock = open(self.folder / _LOCK, "a+")  # noqa: SIM115 - held until `close`
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.seek(0)
                holder = self._lock.read(200).strip() or "another process"
                raise InputError(
                    f"one run at a time may use a checkpoint folder, and {self.folder} is in use by {holder}; "
                    "wait for it, or use another folder"
                ) from None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._lock.fileno()), os.stat(self.folder / _LOCK)):
                    break
            self._lock.close()  # the run that held it has just ended and taken its file away
            self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._lock.flush()

    def _look(self):
        """Refuse a folder of something else, and what is left of a run that is not to be gone on with."""
        names = sorted(path.name for path in self.folder.iterdir())
        foreign = [name for name in names if not _OURS.fullmatch(name)]
        if foreign:
            raise InputError(
                f"a checkpoint folder must be empty or hold a run, but {self.folder} holds {foreign[0]}; use another folder"
            )
        if _RUN in names and not self._resume:
            raise InputError(f"{self.folder} holds an unfinished run; go on with it by --resume, or delete the folder")

    def begin(self, identity, on_event=ignore):
        """Compare what is to be run with what the folder holds, or note it there.

        Parameters
        ----------
        identity : dict
            JSON-able: everything that determines the counts and is known before reading.
        on_event : callable
            Receives `ReadingResumed`, `CheckpointUnwritten` and `CheckpointLost`.

        Raises
        ------
        InputError
            The folder is of another run, with the fields that differ.
        """
        self._on_event = on_event
        path, identity = self.folder / _RUN, json.loads(json.dumps(identity))
        for wip in self.folder.glob("*.wip"):
            wip.unlink(missing_ok=True)
        if not path.exists():
            try:
                with whole_file(path) as file:
                    file.write(json.dumps(identity).encode())
            except OSError as error:
                raise InputError(f"{self.folder} cannot be written ({error.strerror}); use another folder") from None
            return
        try:
            held = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path} is damaged ({error}); delete the folder and run again") from None
        if found := differing(held, identity):
            raise InputError(
                f"the run in {self.folder} is another one: {found}; run it as it was, or use another folder"
            )

    def reading(self, store, purpose, what):
        """Return where the state of one reading is kept.

        Parameters
        ----------
        store : int
            Number of the store in the run.
        purpose : str
        what : object
            JSON-able: whatever a state must share with this reading beyond the run.

        Returns
        -------
        Saved
        """
        what = hashlib.sha256(json.dumps([purpose, what], sort_keys=True).encode()).hexdigest()
        return Saved(self.folder / f"{store}-{purpose}-{what[:12]}{_SUFFIX}", what, self.every, self._on_event)

    def finish(self):
        """Delete what was kept: the result has been written."""
        for path in (self.folder / _RUN, *self.folder.glob(f"*{_SUFFIX}"), *self.folder.glob("*.wip")):
            path.unlink(missing_ok=True)
        (self.folder / _LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else may be in it
            self.folder.rmdir()

    def close(self):
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class Saved:
    """The state of one reading on disk."""

    def __init__(self, path, what, every, on_event):
        self._path, self._what, self._every, self._on_event = path, what, every, on_event
        self._next = time.monotonic() + every
        self.seconds = {}

    def restore(self, worker):
        """Add what was saved to a worker; return the intervals of rows it covers, [] when there is nothing.

        A damaged file counts as none: the reading begins again.
        """
        if not self._path.exists():
            return []
        file = None
        try:
            file = TallyFile(self._path)
            file.verify()
        except InputError as error:
            if file is not None:
                file.close()
            self._on_event(CheckpointLost(str(error)))
            return []
        with file, file.sound():
            if file.header["what"] != self._what:
                return []
            tally = file.tally()
            spent = {str(stage): float(value) for stage, value in file.header["seconds"].items()}
            worker.add(tally)
            self.seconds = spent
        self._on_event(ReadingResumed(sum(stop - start for start, stop in tally.intervals)))
        return tally.intervals

    @property
    def due(self):
        """Whether it is time to save."""
        return time.monotonic() >= self._next

    def save(self, tally, seconds):
        """Write a Tally and the thread seconds spent so far; a disk that is full stops no run."""
        began = time.monotonic()
        spent = {stage: seconds.get(stage, 0.0) + self.seconds.get(stage, 0.0) for stage in seconds | self.seconds}
        try:
            write(self._path, {"what": self._what, "seconds": spent}, [tally])
        except OSError as error:
            self._on_event(CheckpointUnwritten(f"{self._path.parent}: {error.strerror or error}"))
        now = time.monotonic()
        self._next = now + max(self._every, (now - began) / _SHARE)
