"""How often `srmfast neurons` finds a class where there is none, and one where there is: the test of selectivity, replicated.

    python tools/calibrate_neurons.py                      # 300 replications of each kind of data
    python tools/calibrate_neurons.py --replications 1000 --permutations 199

In the first kinds of data no class has anything to do with any vector; there 5 % of the smallest p should be ≤ .05. In the
last, two of five classes lean a little toward a vector of their own.
"""

import argparse

import numpy as np

from srmfast.engine.members import neurons

N, D, CLASSES = 400, 8, 5


def rows(rng, kind):
    """Return rows, and the options that say their classes and groups."""
    x = rng.normal(size=(N, D))
    label = rng.choice(CLASSES, N, p=[0.5, 0.25, 0.15, 0.07, 0.03])
    if kind == "covariance and mean":  # far from isotropic, and yet nothing to do with classes
        x = x * np.arange(1, D + 1) ** -1.0 + np.r_[1.0, np.zeros(D - 1)]
    elif kind == "documents":
        document = np.sort(rng.integers(0, 40, N))
        x = x * 0.2 + rng.normal(size=(40, D))[document]  # rows of a document are alike
        return x, {"labels": rng.integers(0, 2, 40)[document], "groups": document}
    elif kind == "documents as rows":
        x, options = rows(rng, "documents")
        return x, {"labels": options["labels"]}
    elif kind == "concepts":
        return x, {"concepts": rng.random((N, 6)) < [0.5, 0.2, 0.1, 0.05, 0.02, 0.01]}
    elif kind == "two selective classes":
        for c, vector in ((3, 2), (4, 5)):
            x[label == c, vector] += 1.5
    return x, {"labels": label}


KINDS = ("isotropic", "covariance and mean", "concepts", "documents", "documents as rows", "two selective classes")


def share_found(kind, replications, permutations, seed=0):
    """Return the share of replications whose smallest p is ≤ .05, and of those in which it is of a selective class."""
    found = right = 0
    for turn in range(replications):
        x, options = rows(np.random.default_rng([seed, turn, KINDS.index(kind)]), kind)
        p = neurons(x, epsilon=0.6, permutations=permutations, seed=turn, threads=1, **options).p
        found += p.min() <= 0.05
        if kind == "two selective classes":
            right += p[3, 2, 0] <= 0.05 or p[4, 5, 0] <= 0.05
    return found / replications, right / replications


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replications", type=int, default=300)
    parser.add_argument("--permutations", type=int, default=99)
    arguments = parser.parse_args()
    spread = np.sqrt(0.05 * 0.95 / arguments.replications)
    print(
        f"{arguments.replications} replications, {arguments.permutations} permutations; at 5 % the spread is ± {spread:.1%}"
    )
    for kind in KINDS:
        found, right = share_found(kind, arguments.replications, arguments.permutations)
        print(
            f"{kind:<24} p ≤ .05 in {found:6.1%}" + (f", of a selective class {right:.1%}" if right else ""), flush=True
        )


if __name__ == "__main__":
    main()
