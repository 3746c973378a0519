"""What the spotlight says about the latents of one network: numbers for `tools/paper.py`.

Each cloud is measured as stored and with its mean subtracted, in its privileged basis, in the standard one (±e_i) and in
rotations of the privileged one. Of each basis and ε:

    on, midway   mean SRM on the basis vectors of a plane, and midway between neighbouring ones
    A            (2/a) Σ_m f(θ_m) w(θ_m) averaged over the planes, with w = +1 on every basis vector of the plane, −1 midway
                 between neighbours and a cosine in between; for a cross-polytope that is cos 4θ. Positive: in phase with
                 self-SRM, negative: in antiphase. A row exactly on a vector counts (1/π) ½ sin(4 arccos ε) there: nothing
                 at ε = 1/√2, and less than nothing below
    phase        the mean of w at the nearest angle of the spotlight to a row, over the (row, plane) pairs in some cone: the
                 same question without the width of the cone, for every ε
    cover, top   how many basis vectors have at least 1 % of the rows in their own cone, and the largest such share
    p            of A: its rank among ROTATIONS random rotations of the basis, two-sided

and of the cloud: |mean|/rms, the cosine of the mean with its nearest basis vector, over how many vectors it is spread, and
how many of the neurons are saturated, tanh(x·b) ≥ 0.99 for 99 % of the rows.
"""

import numpy as np

import srmfast

EPSILONS = (0.5, 0.6, 0.7, 0.75, 0.85, 0.9)
TESTED = (0.7, 0.75, 0.85)  # of these, those that rotations are counted for
ANGLES = 360
ROTATIONS = 39
SHARE = 0.01  # of the rows: what attracts fewer covers nothing
PHASED = 2500  # rows, evenly spaced, that the phase is of
WAYS = ("raw", "centred")


def measure(latents, basis, *, seed=0, rotations=ROTATIONS):
    """Measure one cloud; see the head of this file.

    Parameters
    ----------
    latents : ndarray, (n, d)
    basis : ndarray, (k, d)
        The privileged one, unit vectors.
    seed : int
        Of the rotations.

    Returns
    -------
    dict
        Of the cloud, and for each basis `cosine` of the mean with its nearest vector and, under raw and centred, the
        numbers by ε.
    """
    latents = np.asarray(latents, np.float64)
    mean = latents.mean(axis=0)
    direction = mean / np.linalg.norm(mean)
    d = latents.shape[1]
    turned = [basis @ turn for turn in haar(d, rotations, seed)]
    signed = np.concatenate([np.eye(d), -np.eye(d)])
    found = {
        "rows": len(latents),
        "offset": float(np.linalg.norm(mean) / np.sqrt((latents**2).sum(axis=1).mean())),
        "mean_norm": float(np.linalg.norm(mean)),
        "saturated": int(((np.tanh(latents @ basis.T) >= 0.99).mean(axis=0) >= 0.99).sum()),
        "privileged": {"cosine": float((basis @ direction).max()), "spread": spread(basis, direction)},
        "standard": {"cosine": float((signed @ direction).max())},
    }
    if turned:
        found["rotated"] = {"cosine": quantiles([(one @ direction).max() for one in turned])}
    tested = [EPSILONS.index(epsilon) for epsilon in TESTED]
    for way in WAYS:
        rows = latents - mean if way == "centred" else latents
        for name, vectors in (("privileged", basis), ("standard", signed)):
            found[name][way] = of_cloud(rows, vectors)
        if turned:
            results = (_count(rows, vectors, TESTED) for vectors in turned)
            told = [of_planes(result) for result in results]
            others = {key: np.array([one[key] for one in told]) for key in ("A", "on")}
            for name in ("privileged", "standard"):
                mine = np.array(found[name][way]["A"])[tested]
                found[name][way]["p"] = ranked(mine, others["A"]).tolist()
            found["rotated"][way] = {key: quantiles(values) for key, values in others.items()}
    return found


def of_cloud(rows, vectors):
    """Return the numbers of rows, (n, d), in one basis."""
    result = _count(rows, vectors, EPSILONS)
    return of_planes(result) | of_rows(rows, vectors, result)


def _count(rows, vectors, epsilons):
    # The reverse of a plane is its mirror image, and w is symmetric: pairs i < j say all.
    return srmfast.run(rows, vectors, epsilon=epsilons, angles=ANGLES, planes="combinations", keep="all", threads=1)


def of_planes(result):
    """Return on, midway and A of a result, each (e,) as a list."""
    weight, on, midway = templates(result)
    f = result.fraction()[0]
    plane = np.arange(f.shape[1])[:, None]
    return {
        "on": _mean(f[:, plane, on], on >= 0),
        "midway": _mean(f[:, plane, midway], midway >= 0),
        "A": (2 * (f * weight).mean(axis=(1, 2))).tolist(),
    }


def of_rows(rows, vectors, result):
    """Return phase, the share of rows in the cone of some vector, cover and top of a basis, each (e,) as a list."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ vectors.T
    some = cosines[:: max(1, len(cosines) // PHASED)]
    sums, pairs = np.zeros((2, len(EPSILONS)))
    for i, j, w in zip(result.plane_i, result.plane_j, templates(result)[0], strict=True):
        u, g = some[:, i], vectors[i] @ vectors[j]
        v = (some[:, j] - g * u) / np.sqrt(1 - g * g)
        square = u * u + v * v
        near = square >= min(EPSILONS) ** 2
        at = np.rint(np.arctan2(v[near], u[near]) * (ANGLES / (2 * np.pi))).astype(int) % ANGLES
        for e, epsilon in enumerate(EPSILONS):
            inside = square[near] >= epsilon**2
            sums[e] += w[at[inside]].sum()
            pairs[e] += inside.sum()
    share = np.array([(cosines >= epsilon).mean(axis=0) for epsilon in EPSILONS])
    return {
        "phase": [float(s / n) if n else None for s, n in zip(sums, pairs, strict=True)],
        "near": [float((cosines >= epsilon).any(axis=1).mean()) for epsilon in EPSILONS],
        "cover": (share >= SHARE).sum(axis=1).tolist(),
        "top": share.max(axis=1).tolist(),
    }


def templates(result):
    """Return the weight w, (p, a), and the grid angles on the basis vectors and midway, (p, 4), −1 where there are fewer."""
    opposite = (result.basis @ result.basis.T).min(axis=1) < -1 + 1e-9
    phi = result.plane_angle
    kinds = np.stack([np.rint(phi * 1e6), opposite[result.plane_i], opposite[result.plane_j]], axis=1)
    kinds, first, which = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    made = [_template(phi[n], bool(kind[1]), bool(kind[2]), result.angle) for n, kind in zip(first, kinds, strict=True)]
    return tuple(np.array(parts)[which.ravel()] for parts in zip(*made, strict=True))


def _template(phi, minus_i, minus_j, angle):
    """Return the weight and the grid angles of a plane whose vectors are `phi` apart."""
    members = np.sort([0.0, phi, *([np.pi] * minus_i), *([np.pi + phi] * minus_j)])
    gaps = np.diff(np.append(members, 2 * np.pi))
    which = np.searchsorted(members, angle, side="right") - 1
    weight = np.cos(2 * np.pi * (angle - members[which]) / gaps[which])
    on, midway = np.full((2, 4), -1)
    on[: members.size] = np.rint(members / angle[1]).astype(int) % angle.size
    midway[: members.size] = np.rint((members + gaps / 2) / angle[1]).astype(int) % angle.size
    return weight - weight.mean(), on, midway


def spread(basis, direction):
    """Return over how many basis vectors a direction is spread: (Σ c²)² / Σ c⁴ of its positive cosines c."""
    square = np.maximum(basis @ direction, 0.0) ** 2
    return float(square.sum() ** 2 / (square**2).sum())


def haar(d, count, seed):
    """Draw rotations of R^d (with reflections), uniformly."""
    rng = np.random.default_rng([seed, d])
    for _ in range(count):
        q, r = np.linalg.qr(rng.standard_normal((d, d)))
        yield q * np.sign(np.diag(r))


def ranked(value, others):
    """Return the two-sided p of values (e,) among others (m, e), by rank."""
    above, below = ((others >= value).sum(axis=0), (others <= value).sum(axis=0))
    return np.minimum(1.0, 2 * (1 + np.minimum(above, below)) / (1 + len(others)))


def quantiles(values):
    """Return mean, standard deviation, lowest and highest of values over the first axis."""
    return {name: getattr(np.asarray(values), name)(axis=0).tolist() for name in ("mean", "std", "min", "max")}


def _mean(values, valid):
    return ((values * valid).sum(axis=(1, 2)) / valid.sum()).tolist()
