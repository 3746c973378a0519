"""Progress of a run on standard error: a bar on a terminal and in a notebook, otherwise one plain line a minute."""

import sys
import time

from srmfast.engine.events import (
    BlockDone,
    CheckpointLost,
    CheckpointUnwritten,
    ComparingVectors,
    KernelsMissing,
    KernelsReady,
    PassFinished,
    PassStarted,
    PlanesOutgrown,
    ReadingResumed,
    ReadingsStarted,
    Rotating,
    StoresFound,
    StoresLeftOut,
)
from srmfast.training.events import EpochDone, StepsDone, TrainingStarted, VersionsDiffer

MODES = ("auto", "bar", "plain", "none")
_WARNINGS = CheckpointLost, CheckpointUnwritten, PlanesOutgrown, StoresFound, StoresLeftOut  # told whatever the mode is
_WIDTH = 28  # characters of the bar
_EVERY = {"bar": 0.1, "plain": 60.0}  # seconds between updates


def _mode(mode, stream):
    """Return a mode with auto decided: a bar where a line can be written over."""
    if mode != "auto":
        return mode
    notebook = type(stream).__module__.partition(".")[0] == "ipykernel"
    return "bar" if notebook or stream.isatty() else "plain"


class _Overwritten:
    """A line of a stream that is written again and again; notebooks know no code that erases one."""

    def __init__(self, stream):
        self._stream, self._length = stream, 0

    def write(self, text):
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{text}")
        else:
            self._stream.write("\r" + text.ljust(self._length))
        self._stream.flush()
        self._length = len(text)

    def end(self):
        self._stream.write("\n")
        self._stream.flush()
        self._length = 0


class Progress:
    """A callback for `on_event` that tells how far a run is.

    Parameters
    ----------
    mode : str
        One of `MODES`; auto is a bar on a terminal and in a notebook, and plain lines elsewhere.
    stream : file, optional
        Standard error when omitted.

    Examples
    --------
    >>> import numpy as np
    >>> import srmfast
    >>> rows = np.random.default_rng(0).normal(size=(1000, 8))
    >>> result = srmfast.run(rows, "standard", epsilon=0.6, on_event=srmfast.Progress())
    """

    def __init__(self, mode="auto", stream=None):
        self.stream = stream or sys.stderr
        self.mode = _mode(mode, self.stream)
        self._bar = _Overwritten(self.stream)
        self._rows = self._nbytes = self._before = 0
        self._pass = None
        self._problem = ""
        self._began = self._told = 0.0

    def __call__(self, event):
        if self.mode == "none" and not isinstance(event, _WARNINGS):
            return
        if isinstance(event, KernelsMissing):
            self._line(f"compiling kernels, once for this version and type of rows: about {event.seconds:.0f} s")
        elif isinstance(event, ComparingVectors):
            self._line(
                f"comparing the {event.vectors:,} vectors of {event.basis} with each other: about {event.seconds:.0f} s"
            )
        elif isinstance(event, KernelsReady):
            self._began = self._told = time.monotonic()  # compiling is not counting
            if event.problem != self._problem:
                self._problem = event.problem
                self._line(
                    f"compiled kernels should be kept for the next run, but {event.problem}; "
                    "set NUMBA_CACHE_DIR to a folder that can be written"
                )
        elif isinstance(event, StoresFound):
            self._line(found(event))
        elif isinstance(event, StoresLeftOut):
            self._line(f"left out, as wide as no basis: {', '.join(event.names)} ({event.why})")
        elif isinstance(event, Rotating):
            self._line(f"comparing {event.basis} with {event.rotations:,} random rotations of it")
        elif isinstance(event, ReadingsStarted):
            self._line(f"readings {event.first} to {event.last} of {event.of}: {event.options}")
        elif isinstance(event, PlanesOutgrown):
            self._line("the planes that are hit outgrow the memory: two more readings find the highest")
        elif isinstance(event, CheckpointLost):
            self._line(f"this reading begins again, because {event.why}")
        elif isinstance(event, CheckpointUnwritten):
            self._line(f"no checkpoint was written to {event.why}; the run goes on")
        elif isinstance(event, ReadingResumed):
            self._before = event.rows
            self._line(f"going on after {event.rows:,} rows that had been counted")
        elif isinstance(event, PassStarted):
            self._pass, self._rows, self._nbytes, self._before = event, 0, 0, 0
            self._began = self._told = time.monotonic()
        elif isinstance(event, BlockDone):
            self._rows += event.rows
            self._nbytes += event.nbytes
            if time.monotonic() - self._told >= _EVERY[self.mode]:
                self._told = time.monotonic()
                self._tell()
        elif isinstance(event, PassFinished) and self.mode == "bar":
            self._tell()
            self._bar.end()

    def _tell(self):
        seconds = max(time.monotonic() - self._began, 1e-9)
        total, counted = max(self._pass.rows, 1), self._before + self._rows
        share = min(1.0, counted / total)
        left = seconds * max(total - counted, 0) / self._rows if self._rows else float("inf")
        what = {
            "norms": "norms of",
            "mean": "mean of",
            "choose": "planes of",
            "count": "counting",
            "export": "exporting",
        }[self._pass.purpose]
        numbers = (
            f"{counted:,} of {self._pass.rows:,} rows, {self._rows / seconds:,.0f} rows/s, "
            f"{self._nbytes / seconds / 1e6:,.0f} MB/s, {_clock(left)} left"
        )
        if self.mode == "bar":
            filled = round(share * _WIDTH)
            bar = "█" * filled + "·" * (_WIDTH - filled)
            self._bar.write(f"{what} {self._pass.store} {bar} {share:4.0%}  {numbers}")
        else:
            self._line(f"{what} {self._pass.store}: {numbers}")

    def _line(self, text):
        print(text, file=self.stream, flush=True)


class TrainingProgress:
    """A callback that tells how far a training is, with its losses.

    Parameters
    ----------
    mode : str
        One of `MODES`.
    stream : file, optional
        Standard error when omitted.
    """

    def __init__(self, mode="auto", stream=None):
        self.stream = stream or sys.stderr
        self.mode = _mode(mode, self.stream)
        self._bar = _Overwritten(self.stream)
        self._training = None
        self._before = 0
        self._began = self._told = 0.0

    def __call__(self, event):
        if isinstance(event, VersionsDiffer):  # whatever the mode is
            print(f"going on under other versions, which may change bits: {event.why}", file=self.stream, flush=True)
        if self.mode == "none":
            return
        if isinstance(event, TrainingStarted):
            self._training, self._before = event, event.epoch
            self._began = self._told = time.monotonic()
            after = f", going on after epoch {event.epoch}" if event.epoch else ""
            print(
                f"training {event.name}: {event.parameters:,} parameters, {event.rows:,} rows, {event.epochs} epochs{after}",
                file=self.stream,
                flush=True,
            )
        elif isinstance(event, StepsDone) and self.mode == "bar":
            self._tell(event.epoch - 1 + event.rows / max(self._training.rows, 1), f"loss {event.loss:.5g}")
        elif isinstance(event, EpochDone) and event.epoch:
            test = "" if event.test_loss != event.test_loss else f", test {event.test_loss:.5g}"
            last = event.epoch == self._training.epochs
            self._tell(event.epoch, f"loss {event.loss:.5g}{test}", last)
            if last and self.mode == "bar":
                self._bar.end()

    def _tell(self, epochs, losses, last=False):
        now = time.monotonic()
        if now - self._told < _EVERY[self.mode] and not last:
            return
        self._told = now
        total, done = self._training.epochs, epochs - self._before
        left = _clock((now - self._began) * (total - epochs) / done) if done > 0 else "?"
        if self.mode == "bar":
            filled = round(epochs / total * _WIDTH)
            bar = "█" * filled + "·" * (_WIDTH - filled)
            self._bar.write(f"{self._training.name} {bar} {epochs / total:4.0%}  {losses}, {left} left")
        else:
            print(f"epoch {int(epochs)} of {total}: {losses}, {left} left", file=self.stream, flush=True)


def found(event):
    """Say which stores a pattern stands for, given `StoresFound` or `srmfast.stores.Several`."""
    names = [name for name in event.names if name]
    some = f" … {names[-1]}" if len(names) > 2 else f", {names[-1]}" if len(names) == 2 else ""
    said = f"{event.pattern}: {len(event.names)} store{'s' * (len(event.names) > 1)}, {names[0] if names else 'the whole'}{some}"
    if event.left_out:
        said += f"; left out, as they are no activations: {event.left_out}"
    if event.computed and len(names) > 1:
        said += (
            f"; each takes an inference of all inputs, {len(names)} in all: srmfast export computes every layer in one, and "
            "run over what it writes counts the same"
        )
    return said


def _clock(seconds):
    if seconds == float("inf"):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
