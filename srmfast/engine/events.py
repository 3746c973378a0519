"""What a run tells while it works: frozen events handed to a callback. The library itself never prints."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelsMissing:
    """Kernels are going to be compiled: once for a version of srmfast, a CPU and a type of rows."""

    seconds: float  # time that takes, roughly


@dataclass(frozen=True)
class KernelsReady:
    """The kernels are compiled or loaded from the cache."""

    seconds: float  # time it took
    compiled: bool  # whether they were compiled in this process
    problem: str = ""  # why they are not in the cache now


@dataclass(frozen=True)
class StoresFound:
    """A pattern stands for several stores."""

    pattern: str  # as it was given
    names: tuple  # of the stores, in order
    left_out: str  # arrays that match and cannot be activations
    computed: bool  # whether each is an inference of a model


@dataclass(frozen=True)
class StoresLeftOut:
    """Stores that a pattern stands for are of another width than the basis, and are not counted."""

    names: tuple
    why: str  # of the first


@dataclass(frozen=True)
class ComparingVectors:
    """The vectors of a basis are going to be compared with one another."""

    basis: str  # its name
    vectors: int  # how many
    seconds: float  # time that takes, roughly


@dataclass(frozen=True)
class PassStarted:
    """A reading of the store begins."""

    purpose: str  # "norms" (for --max-norm), "mean", "choose" (active:P), "count" or "export"
    store: str  # name of the store
    rows: int  # rows that will be read
    nbytes: int  # stored bytes of these rows, uncompressed


@dataclass(frozen=True)
class ReadingResumed:
    """Rows that had been counted before the run was interrupted are not read again."""

    rows: int


@dataclass(frozen=True)
class CheckpointLost:
    """A checkpoint cannot be used: its reading begins again."""

    why: str


@dataclass(frozen=True)
class CheckpointUnwritten:
    """A checkpoint could not be written; the run goes on, and the one before it stays."""

    why: str


@dataclass(frozen=True)
class BlockDone:
    """Some rows have been read and counted."""

    rows: int  # rows of this block
    nbytes: int  # their bytes


@dataclass(frozen=True)
class PlanesOutgrown:
    """The planes that are hit outgrew the memory: hits of all, then the highest planes, are counted in two more readings."""

    why: str  # the arithmetic


@dataclass(frozen=True)
class Rotating:
    """A basis is compared with random rotations of it, after all rows have been counted."""

    basis: str  # name
    rotations: int


@dataclass(frozen=True)
class ReadingsStarted:
    """Some readings of a specification curve, those that one run gives, begin."""

    first: int  # the first of them, from 1
    last: int  # the last of them
    of: int  # readings of the curve
    options: str  # what they have in common


@dataclass(frozen=True)
class PassFinished:
    """A reading of the store is complete, or given up."""

    seconds: float  # wall time


def ignore(event):
    """Do nothing: the default callback."""
