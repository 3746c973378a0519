"""The whole way on a small trained network inside the package: ONNX models, activations, results, figures, words."""

import shutil
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from srmfast.engine import Request, run_many
from srmfast.engine.compiling import SECONDS
from srmfast.engine.events import KernelsMissing, KernelsReady, ignore
from srmfast.engine.members import neurons
from srmfast.errors import InputError
from srmfast.results import Results

DATA = "untrained.onnx", "trained.onnx", "basis.npy", "digits.npz"
OWN, NEURONS = "own basis", "neurons"
RAW, CENTRED = "as it is", "mean subtracted"
EPSILON = 0.75  # cones of 41 degrees, so that none holds two vectors at right angles
_TASKS = 1.4  # times as long as those of one run: planes and cones, each raw and with the mean subtracted
WIDE, NARROW = 0.5, 0.9  # 60 and 26 degrees


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
    began, on_event = time.perf_counter(), _Compiling(on_event)
    out = _make_folder(Path(out), force)
    for name in DATA:
        (out / name).write_bytes(files("srmfast").joinpath("data", name).read_bytes())
    images, digits = (f"{out / 'digits.npz'}::{key}" for key in ("images", "digits"))
    networks = {name: _count(out, name, images, on_event) for name in ("untrained", "trained")}
    rows = dict(inputs=images, labels=digits, on_event=on_event)
    narrow = neurons(f"{out / 'trained.onnx'}::latent", out / "basis.npy", epsilon=NARROW, permutations=0, **rows)
    own, rotated = (
        neurons(f"{out / 'trained.onnx'}::latent", basis, epsilon=WIDE, centre=True, **rows)
        for basis in (out / "basis.npy", "random:32")
    )
    for result, name in ((networks["untrained"], "untrained"), (networks["trained"], "trained"), (own, "digits")):
        result.save(out / f"{name}.zarr")
        result.plot(out / f"{name}.png")
    lines = _tell(networks, narrow, own, rotated)
    took = f"{time.perf_counter() - began:.0f} s"
    if on_event.seconds:
        took += f", {on_event.seconds:.0f} of them to compile, which the next run needs not"
    return "\n".join([*lines, "", f"{took}; everything is in {out}/. Next: srmfast show {out / 'trained.zarr'}"])


class _Compiling:
    """A callback that tells once of the kernels to be compiled, whose tasks the demo meets one by one, and adds up their time."""

    def __init__(self, on_event):
        self.on_event, self.told, self.seconds = on_event, False, 0.0

    def __call__(self, event):
        if isinstance(event, KernelsReady):
            self.seconds += event.seconds
        if isinstance(event, KernelsMissing):
            if self.told:
                return
            self.told, event = True, KernelsMissing(_TASKS * SECONDS)
        self.on_event(event)


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


def _tell(networks, narrow, own, rotated):
    raw, untrained = (networks[name][RAW, OWN] for name in ("trained", "untrained"))
    centred, untrained_centred = (networks[name][CENTRED, OWN] for name in ("trained", "untrained"))
    neurons_raw, neurons_centred = (networks["trained"][way, NEURONS] for way in (RAW, CENTRED))
    n, k = int(raw.rows.sum()), len(raw.basis)
    held = narrow.inside.sum(axis=0)[:, 0] / n
    holder = int(np.argmax(held))
    wide = own.share()[:, :, 0]
    vector = int(np.argmax(own.inside.sum(axis=0)[:, 0]))
    classes = np.argsort(-wide[:, vector], kind="stable")
    return [
        f"{n:,} handwritten digits in an autoencoder, 784 -> 16 -> 784: the tensor `latent` of trained.onnx, as it is computed.",
        f"The activation function behind it squashes along {k} vectors of its own, ± a rotated set of axes: these are privileged,",
        f"the neurons are not. {raw.planes_total} planes, {raw.angle.size} angles, counted exactly.",
        "",
        f"1. A cone of {_degrees(EPSILON)} degrees (ε = {EPSILON}) along a vector of that basis holds {_along(raw):.2%} of the digits, on average over the",
        f"   vectors; midway between two, {_along(raw, 45):.2%}; along the neurons, {_along(neurons_raw):.2%}. Before training it held {_along(untrained):.2%}. If every",
        f"   digit lay on some vector it would be {1 / k:.2%}: the picture says that training aligned them all.  -> trained.png, untrained.png",
        "",
        f"2. But it is one vector: within {_degrees(NARROW)} degrees of vector {holder} lie {held[holder]:.0%} of all digits, and near the other {k - 1} lies {_named(np.delete(held, holder).max())}.",
        f"   The cloud as a whole is off the origin, |mean|/rms = {raw.offset:.2f} (untrained {untrained.offset:.2f}), and its mean points along that vector.",
        f"   With the mean subtracted, the cone holds {_along(centred):.3%} along the basis, {_along(centred, 45):.3%} midway, {_along(neurons_centred):.3%} along the neurons,",
        f"   {_along(untrained_centred):.3%} before training, and {raw.null()[0]:.3%} of isotropic rows. What is aligned is the mean of the digits; how they",
        "   differ from each other is not. (Why that happens, and where it does not: docs/paper.md.)",
        "",
        f"3. Vectors do answer to digits, the mean subtracted: within {_degrees(WIDE)} degrees of vector {vector} lie {', '.join(f'{wide[c, vector]:.0%} of the {own.label[c]}s' for c in classes[:3])}",
        f"   and {wide[classes[3], vector]:.0%} or less of the others (p = {own.p[classes[0], vector, 0]:.3f}, by exchanging the labels). So do vectors of no meaning:",
        f"   the best score (F1) is {own.f1().max():.2f} in this basis and {rotated.f1().max():.2f} in a random one.  -> digits.png",
    ]


def _named(share):
    return "none" if share == 0 else f"{share:.0%} at most"


def _along(result, degrees=0):
    """Return the share of rows at an angle from b_i, b_j, -b_i and -b_j, the mean of all planes and labels."""
    quarter = result.angle.size // 4
    at = quarter * degrees // 90 + quarter * np.arange(4)
    return result.total[:, 0, at].sum() / (result.rows.sum() * result.planes_total * 4)


def _degrees(epsilon):
    return f"{np.degrees(np.arccos(epsilon)):.0f}"
