"""Which classes a latent neuron answers to: signed SRM of each class on the neuron, and whether any direction does that."""

import numpy as np
from paper_measure import ROTATIONS, WAYS, haar, quantiles, ranked

import srmfast

PICKED = 99  # rotations that the best cone for each class is compared with
EPSILON = 0.5  # rows of 16 columns whose mean is subtracted lie near nothing at a higher one


def classes(latents, labels, basis, *, seed=0, rotations=ROTATIONS, epsilon=EPSILON):
    """Measure how a cross-polytope's neurons tell classes apart.

    Parameters
    ----------
    latents : ndarray, (n, d)
    labels : ndarray, (n,) of 0 … c − 1
    basis : ndarray, (2d, d)
        ±q_i in any order.

    Returns
    -------
    dict
        neurons: the vectors taken, one of each ±pair; for each way `signed`, (c, d), signed SRM at the neuron's own
        angle, which no plane changes; `range` of a neuron, (d,), its highest class less its lowest; and, of the largest
        and of the mean range, the value, its p among random rotations, and what these have; and `picked`, from `best_cones`.

    Notes
    -----
    Paper 2505.13471, Eqn 4 and section B.2, which names the classes of a neuron in the order of their peaks.
    """
    latents = np.asarray(latents, np.float64)
    neurons = one_of_each_pair(basis)
    turned = [basis[neurons] @ turn for turn in haar(latents.shape[1], rotations, seed)]
    found = {"epsilon": epsilon, "neurons": neurons.tolist()}
    for way in WAYS:
        rows = latents - latents.mean(axis=0) if way == "centred" else latents
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        signed = signed_shares(unit, labels, basis[neurons], epsilon)
        mine = _ranges(signed)
        others = np.array([_summary(_ranges(signed_shares(unit, labels, one, epsilon))) for one in turned])
        value = np.array(_summary(mine))
        found[way] = {
            "signed": signed.tolist(),
            "range": mine.tolist(),
            "most_and_mean": value.tolist(),
            "p": ranked(value, others).tolist(),
            "rotated": quantiles(others),
            "picked": best_cones(rows, labels, basis[neurons], seed, epsilon),
        }
    return found


def best_cones(rows, labels, vectors, seed, epsilon):
    """Compare the best cone for each class, at the width where its F1 is highest, with those of random rotations.

    Returns
    -------
    dict
        f1: mean over classes; rotated: lowest, mean and highest of that; p: two-sided; classes: of each label (number of the
        vector, pole, F1, highest of the rotations, two-sided p), the test being one for all classes.
    """
    own = (
        srmfast.neurons(rows, vectors, epsilon=epsilon, labels=labels, permutations=0, null=PICKED, seed=seed)
        .rotation_test()
        .own
    )
    classes = {
        best.label: [best.vector, best.pole, best.f1, best.rotated[2], min(1.0, 2 * min(best.p_more, best.p_less))]
        for best in own.classes
    }
    return {"f1": own.f1, "rotated": list(own.rotated), "p": own.p, "verdict": own.verdict, "classes": classes}


def signed_shares(unit, labels, vectors, epsilon):
    """Return signed SRM at the angle 0, (c, k): the share of a class within the cone of a vector, less the opposite one's."""
    cosines = unit @ vectors.T
    side = (cosines >= epsilon).astype(float) - (cosines <= -epsilon)
    return np.array([side[labels == c].mean(axis=0) for c in range(labels.max() + 1)])


def one_of_each_pair(basis):
    """Return the indices of the first of each pair ±b of a cross-polytope, ascending."""
    partner = (basis @ basis.T).argmin(axis=1)
    return np.flatnonzero(np.arange(len(basis)) < partner)


def telling_plane(told, basis):
    """Return (i, j): the neuron with the widest range of classes and the one that comes next."""
    first, second = np.argsort(-np.asarray(told["range"]), kind="stable")[:2]
    neurons = one_of_each_pair(basis)
    return int(neurons[first]), int(neurons[second])


def order_of(told, names, neuron):
    """Return the classes from the most positive to the most negative at a neuron (a column of `signed`), in words."""
    values = np.asarray(told["signed"])[:, neuron]
    order = np.argsort(-values, kind="stable")
    return [(names[c], float(values[c])) for c in order]


def _ranges(signed):
    return signed.max(axis=0) - signed.min(axis=0)


def _summary(ranges):
    return [float(ranges.max()), float(ranges.mean())]
