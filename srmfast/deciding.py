"""Which choice decides an outcome: how far knowing the option that was taken tells what comes out."""

from itertools import combinations

import numpy as np


def explained_share(outcome, options):
    """Return the share of the variance of an outcome that lies between the options of a choice: η², from 0 to 1.

    Parameters
    ----------
    outcome : ndarray, (n,) bool
    options : ndarray, (n,) int
        The option that each reading takes.

    Returns
    -------
    float
        1 where the option tells the outcome, 0 where it says nothing or every outcome is the same.

    Notes
    -----
    For two outcomes this is Goodman and Kruskal's τ (J. Am. Stat. Assoc. 49, 1954).
    """
    outcome = np.asarray(outcome, float)
    whole = outcome.var()
    if not whole:
        return 0.0
    between = sum(
        (options == option).mean() * (outcome[options == option].mean() - outcome.mean()) ** 2
        for option in np.unique(options)
    )
    return float(between / whole)


def smallest_deciding(outcome, chosen):
    """Return the smallest set of choices whose options together tell every outcome.

    Parameters
    ----------
    outcome : ndarray, (n,) bool
    chosen : ndarray, (n, c) int
        Option of each reading in each choice.

    Returns
    -------
    tuple of int
        Positions of choices; () when every outcome is the same, all of them when nothing less tells it. Of several sets of
        one size, that whose single choices explain most.
    """
    outcome = np.asarray(outcome, bool)
    if outcome.all() or not outcome.any():
        return ()
    shares = [explained_share(outcome, chosen[:, c]) for c in range(chosen.shape[1])]
    for size in range(1, chosen.shape[1] + 1):
        sets = [some for some in combinations(range(chosen.shape[1]), size) if _tells(outcome, chosen[:, some])]
        if sets:
            return max(sets, key=lambda some: sum(shares[c] for c in some))
    return tuple(range(chosen.shape[1]))  # two readings that chose alike came out differently


def _tells(outcome, chosen):
    _, cell = np.unique(chosen, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    held = np.bincount(cell, outcome)
    return bool(((held == 0) | (held == np.bincount(cell))).all())


def in_common(some, chosen):
    """Return the (choice, option) that all of some readings share, and not all readings do.

    Parameters
    ----------
    some : ndarray, (n,) bool
    chosen : ndarray, (n, c) int

    Returns
    -------
    list of (int, int)
    """
    found = []
    for c in range(chosen.shape[1]):
        options = np.unique(chosen[some, c])
        if options.size == 1 and np.unique(chosen[:, c]).size > 1:
            found.append((c, int(options[0])))
    return found
