"""The whole way on a small trained network inside the package: ONNX models, activations, results, figures, words."""

import shutil
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from srmfast.engine import Request, run, run_many
from srmfast.engine.events import ignore
from srmfast.errors import InputError

DATA = "untrained.onnx", "trained.onnx", "basis.npy", "digits.npz"
OWN, NEURONS = "own basis", "neurons"
EPSILON = 0.7  # a cone of 46 degrees
WIDE = 0.5  # and one of 60


def demo(out, *, force=False, on_event=ignore):
    """Count what the latent layer of a small autoencoder makes of 3,000 digits, and say what that shows.

    Parameters
    ----------
    out : str or Path
        Folder to be made: two models, the basis of their activation function, digits, three results and three figures.
    force : bool
        Replace the folder of an earlier demo.
    on_event : callable

    Returns
    -------
    str
        What was seen, in plain words.

    Raises
    ------
    InputError
        The folder exists or cannot be made.
    """
    began = time.perf_counter()
    out = _make_folder(Path(out), force)
    for name in DATA:
        (out / name).write_bytes(files("srmfast").joinpath("data", name).read_bytes())
    layers = {name: f"{out / name}.onnx::latent" for name in ("untrained", "trained")}
    bases = {OWN: out / "basis.npy", NEURONS: "plusminus"}
    images, labels = (f"{out / 'digits.npz'}::{key}" for key in ("images", "digits"))

    stored, centred = (
        run_many(
            layers, bases, Request(epsilon=(EPSILON, WIDE), inputs=images, labels=labels, centre=centre),
            on_event=on_event,
        )
        for centre in (False, True)
    )  # fmt: skip
    shares = _shares(stored["trained", OWN])[:, 0]
    pair = np.argsort(-np.average(shares, axis=0, weights=stored["trained", OWN].rows), kind="stable")[:2]
    digits = run(
        layers["trained"], out / "basis.npy", epsilon=EPSILON, planes=pair[None], inputs=images, labels=labels,
        on_event=on_event,
    )  # fmt: skip
    for result, name in ((stored, "as-stored"), (centred, "mean-subtracted"), (digits, "digits")):
        result.save(out / f"{name}.zarr")
        result.plot(out / f"{name}.png", **({} if result is digits else {"epsilon": EPSILON}))
    lines = _tell(stored, centred, pair)
    seconds = time.perf_counter() - began
    return "\n".join(
        [*lines, "", f"{seconds:.0f} s; everything is in {out}/. Next: srmfast show {out / 'as-stored.zarr'}"]
    )


def _make_folder(out, force):
    if out.exists():
        if not force:
            raise InputError(f"output must not exist yet, got {out}; use --force to replace it")
        if not all((out / name).is_file() for name in DATA):
            raise InputError(f"--force replaces an earlier demo only, and {out} is none; remove it yourself")
        shutil.rmtree(out)
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"output folder must be writable, got {out}: {error.strerror}") from None
    return out


def _shares(result):
    """Return the share of each label's rows within the cone around each basis vector, (c, e, k)."""
    _, first = np.unique(result.plane_i, return_index=True)  # at angle 0 every plane of a vector counts the same rows
    return result.fraction()[:, :, first, 0]


def _tell(stored, centred, pair):
    (raw, neurons), (raw_centred, neurons_centred) = (
        (found["trained", OWN], found["trained", NEURONS]) for found in (stored, centred)
    )
    untrained, untrained_centred = (found["untrained", OWN] for found in (stored, centred))
    n, k = int(raw.rows.sum()), len(raw.basis)
    shares = _shares(raw)[:, 0]
    overall = np.average(shares, axis=0, weights=raw.rows)
    first, second = pair
    wide = _shares(raw_centred)[:, 1]
    vector = int(np.argmax(np.average(wide, axis=0, weights=raw.rows)))
    classes = np.argsort(-wide[:, vector], kind="stable")
    return [
        f"{n:,} handwritten digits in the latent layer of an autoencoder, 784 -> 16 -> 784: the tensor `latent` of trained.onnx.",
        f"Its activation function squashes along {k} directions of its own, ± a rotated set of axes: that basis is privileged,",
        f"the neurons are not. {raw.planes_total} planes, {raw.angle.size} angles, counted exactly.",
        "",
        f"1. A cone of {_degrees(EPSILON)} degrees along a vector of that basis holds {_along(raw):.2%} of the digits on average; if every digit",
        f"   lay on some vector it would be {1 / k:.2%}. Midway between two vectors: {_along(raw, 45):.2%}. Before training: {_along(untrained):.2%}.",
        f"   Along the neurons: {_along(neurons):.2%}.  -> as-stored.png",
        "",
        f"2. Two of the {k} vectors hold {overall[pair].sum():.0%} of the digits. By digit, and this is how vectors pass for detectors:",
        *(f"   vector {v}: {_ranked(raw.label, shares[:, v])}" for v in pair),
        "   -> digits.png",
        "",
        f"3. But the whole cloud lies off the origin: |mean|/rms = {raw.offset:.2f}, before training {untrained.offset:.2f}. The mean points between",
        f"   these two vectors, and with it subtracted the cone holds {_along(raw_centred):.2%} along the basis, {_along(raw_centred, 45):.2%} midway,",
        f"   {_along(neurons_centred):.2%} along the neurons, and {_along(untrained_centred):.2%} before training; {raw.null()[0]:.2%} of isotropic rows.  -> mean-subtracted.png",
        "   What aligned with the basis is the mean of the digits; how they differ from each other did not.",
        f"   Single vectors still tell digits apart: within {_degrees(WIDE)} degrees of vector {vector} lie",
        f"   {', '.join(f'{wide[c, vector]:.0%} of the {raw.label[c]}s' for c in classes[:3])} and {wide[classes[3], vector]:.0%} or less of any other digit.",
        "   One network of one seed; ten, with controls and other sizes: docs/paper.md.",
    ]


def _along(result, degrees=0):
    """Return the share of rows at an angle from b_i, b_j, -b_i and -b_j, the mean of all planes and labels."""
    quarter = result.angle.size // 4
    at = quarter * degrees // 90 + quarter * np.arange(4)
    return result.total[:, 0, at].sum() / (result.rows.sum() * result.planes_total * 4)


def _ranked(labels, shares):
    order = np.argsort(-shares, kind="stable")
    high, low = order[:2], order[-2:]
    named = [f"{shares[c]:.0%} of the {labels[c]}s" for c in (*high, *low)]
    return f"{named[0]}, {named[1]}, … {named[2]}, {named[3]}"


def _degrees(epsilon):
    return f"{np.degrees(np.arccos(epsilon)):.0f}"
