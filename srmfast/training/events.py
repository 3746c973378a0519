"""What happens during a training, for callbacks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingStarted:
    """Training begins, or goes on behind `epoch` finished epochs.

    Attributes
    ----------
    name : str
    epoch, epochs : int
    rows, parameters : int
        Rows of one epoch, and numbers that are learnt.
    """

    name: str
    epoch: int
    epochs: int
    rows: int
    parameters: int


@dataclass(frozen=True)
class VersionsDiffer:
    """A training goes on under other versions of the libraries than it began with: its bits may differ.

    Attributes
    ----------
    why : str
        Which, there and here.
    """

    why: str


@dataclass(frozen=True)
class StepsDone:
    """Some rows of an epoch have been learnt from.

    Attributes
    ----------
    epoch : int
        The one that is under way, counted from 1.
    rows : int
        Since the epoch began.
    loss : float
        Mean over these rows.
    """

    epoch: int
    rows: int
    loss: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch is finished; epoch 0 is the untrained network.

    Attributes
    ----------
    epoch : int
    loss : float
        Mean over the epoch, while the network changed; nan for epoch 0.
    test_loss : float
        Of the network as it is now; nan without rows to test on.
    seconds : float
    """

    epoch: int
    loss: float
    test_loss: float
    seconds: float


def ignore(event):
    """Do nothing."""
