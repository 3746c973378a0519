"""The whole way on a small trained network inside the package: ONNX models, activations, results, figures, words."""

import shutil
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from srmfast.engine import Request, run_many
from srmfast.engine.events import ignore
from srmfast.engine.members import neurons
from srmfast.errors import InputError
from srmfast.results import Results

DATA = "untrained.onnx", "trained.onnx", "basis.npy", "digits.npz"
OWN, NEURONS = "own basis", "neurons"
RAW, CENTRED = "as it is", "mean subtracted"
EPSILON = 0.71  # a cone of 45 degrees that never holds two vectors at right angles at once
WIDE = 0.5  # 60 degrees


def demo(out, *, force=False, on_event=ignore):
    """Count what the latent layer of a small autoencoder makes of 3,000 digits, and say what that shows.

    Parameters
    ----------
    out : str or Path
        Folder to be made: two models, the basis of their activation function, digits, results and figures.
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
    images, digits = (f"{out / 'digits.npz'}::{key}" for key in ("images", "digits"))
    networks = {name: _count(out, name, images, on_event) for name in ("untrained", "trained")}
    rows = dict(inputs=images, labels=digits, on_event=on_event)
    as_stored = neurons(f"{out / 'trained.onnx'}::latent", out / "basis.npy", epsilon=EPSILON, permutations=0, **rows)
    own, rotated = (
        neurons(f"{out / 'trained.onnx'}::latent", basis, epsilon=WIDE, centre=True, **rows)
        for basis in (out / "basis.npy", "random:32")
    )
    for result, name in ((networks["untrained"], "untrained"), (networks["trained"], "trained"), (own, "digits")):
        result.save(out / f"{name}.zarr")
        result.plot(out / f"{name}.png")
    lines = _tell(networks, as_stored, own, rotated)
    seconds = time.perf_counter() - began
    return "\n".join(
        [*lines, "", f"{seconds:.0f} s; everything is in {out}/. Next: srmfast show {out / 'trained.zarr'}"]
    )


def _count(out, name, images, on_event):
    """Count a network's latent layer as it is and with its mean subtracted, in its own basis and that of its neurons."""
    layer, bases = f"{out / name}.onnx::latent", {OWN: out / "basis.npy", NEURONS: "plusminus"}
    return Results(
        {
            (way, basis): result
            for way, centre in ((RAW, False), (CENTRED, True))
            for (_, basis), result in run_many(
                {name: layer}, bases, Request(epsilon=EPSILON, inputs=images, centre=centre), on_event=on_event
            ).items()
        }
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


def _tell(networks, as_stored, own, rotated):
    raw, untrained = (networks[name][RAW, OWN] for name in ("trained", "untrained"))
    centred, untrained_centred = (networks[name][CENTRED, OWN] for name in ("trained", "untrained"))
    neurons_raw, neurons_centred = (networks["trained"][way, NEURONS] for way in (RAW, CENTRED))
    n, k = int(raw.rows.sum()), len(raw.basis)
    held = as_stored.inside.sum(axis=0)[:, 0] / n
    pair = np.argsort(-held, kind="stable")[:2]
    shares = as_stored.share()[:, :, 0]
    wide = own.share()[:, :, 0]
    vector = int(np.argmax(own.inside.sum(axis=0)[:, 0]))
    classes = np.argsort(-wide[:, vector], kind="stable")
    return [
        f"{n:,} handwritten digits in an autoencoder, 784 -> 16 -> 784: the tensor `latent` of trained.onnx, as it is computed.",
        f"The activation function behind it squashes along {k} directions of its own, ± a rotated set of axes: these are privileged,",
        f"the neurons are not. {raw.planes_total} planes, {raw.angle.size} angles, counted exactly.",
        "",
        f"1. A cone of {_degrees(EPSILON)} degrees along a vector of that basis holds {_along(raw):.2%} of the digits on average; if each digit lay on",
        f"   some vector it would be {1 / k:.2%}. Midway between two vectors: {_along(raw, 45):.2%}. Before training: {_along(untrained):.2%}. Along the neurons: {_along(neurons_raw):.2%}.",
        "   -> trained.png, untrained.png",
        "",
        f"2. Two of the {k} vectors hold {held[pair].sum():.0%} of the digits, and it looks as if they told some of them apart:",
        *(f"   vector {v}: {_ranked(as_stored.label, shares[:, v])}" for v in pair),
        "",
        f"3. But the whole cloud lies off the origin, |mean|/rms = {raw.offset:.2f} (untrained {untrained.offset:.2f}), and its mean points between these two.",
        f"   With the mean subtracted, the cone holds {_along(centred):.2%} along the basis, {_along(centred, 45):.2%} midway, {_along(neurons_centred):.2%} along the neurons,",
        f"   {_along(untrained_centred):.2%} before training, and {raw.null()[0]:.2%} of isotropic rows. What aligned with the basis is the mean of the",
        "   digits; how they differ from each other did not.",
        "",
        f"4. Single vectors do answer to some digits, mean subtracted: within {_degrees(WIDE)} degrees of vector {vector} lie {', '.join(f'{wide[c, vector]:.0%} of the {own.label[c]}s' for c in classes[:3])}",
        f"   and {wide[classes[3], vector]:.0%} or less of the others (p = {own.p[classes[0], vector, 0]:.3f}, by exchanging the labels). So do vectors of no meaning: the best score (F1) is {own.f1().max():.2f}",
        f"   in this basis and {rotated.f1().max():.2f} in a random one.  -> digits.png",
        "",
        "One network, one seed. Ten seeds, other sizes and controls: docs/paper.md.",
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
