"""The whole way on real activations inside the package: store, results, figures and what they say."""

import shutil
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from srmfast.engine import Request, run, run_many
from srmfast.engine.events import ignore
from srmfast.errors import InputError

STORE = "qwen2.5-0.5b.zarr"
DATA = "qwen2.5-0.5b-layer12.npz"
WIDE, NARROW = 0.15, 0.9  # epsilons: 81 and 26 degrees
MASSIVE = 10.0  # a row whose norm exceeds the median this many times carries a massive activation


def demo(out, *, force=False, on_event=ignore):
    """Analyse 500 word vectors of a language model and say what Spotlight Resonance shows.

    Parameters
    ----------
    out : str or Path
        Folder to be made: a Zarr store, two results and three figures.
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
    activations, categories, ordinary = _write_store(out / STORE)
    rows = f"{out / STORE}::layer12"
    everything = run(rows, "standard", epsilon=(NARROW, 0.5), keep="hit", on_event=on_event)
    neuron = _busiest(everything)
    plane = np.array([[neuron, 0 if neuron else 1]])
    by_category = run(rows, "standard", labels="categories", planes=plane, on_event=on_event)
    request = Request(epsilon=WIDE, angles=360, planes="random:20000", mask="ordinary", centre=True, keep="hit")
    bases = {"neurons": "standard", "random rotation": f"random:{activations.shape[1]}"}
    controlled = run_many({"": rows}, bases, request, on_event=on_event)
    everything.save(out / "all-rows.zarr")
    controlled.save(out / "ordinary-rows-centred.zarr")
    everything.plot(out / "all-rows.png", epsilon=NARROW)
    by_category.plot(out / "categories.png")
    controlled.plot(out / "neurons-and-rotation.png")
    lines = _tell(activations, ordinary, everything, controlled, by_category, neuron)
    seconds = time.perf_counter() - began
    return "\n".join(
        [*lines, "", f"{seconds:.0f} s; everything is in {out}/. Next: srmfast show {out / 'all-rows.zarr'}"]
    )


def _make_folder(out, force):
    if out.exists():
        if not force:
            raise InputError(f"output must not exist yet, got {out}; use --force to replace it")
        if not (out / STORE).is_dir():
            raise InputError(f"--force replaces an earlier demo only, and {out} is none; remove it yourself")
        shutil.rmtree(out)
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"output folder must be writable, got {out}: {error.strerror}") from None
    return out


def _write_store(path):
    """Write the embedded vectors as a Zarr group; return them, their categories and which are ordinary."""
    import zarr

    with files("srmfast").joinpath("data", DATA).open("rb") as file, np.load(file) as archive:
        activations, categories = archive["activations"], archive["categories"]
    norms = np.linalg.norm(activations, axis=1)
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    ordinary = norms < MASSIVE * np.median(norms)
    for name, values in (("layer12", activations), ("categories", categories), ("ordinary", ordinary)):
        group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(100, *values.shape[1:]))[...] = values
    return activations, categories, ordinary


def _busiest(result):
    """Return the basis vector whose own direction holds the most rows in the narrow cone."""
    return int(result.plane_i[np.argmax(result.counts[0, 0, :, 0])])


def _tell(activations, ordinary, everything, controlled, by_category, neuron):
    n, d = activations.shape
    narrow = everything.counts[0, 0, everything.plane_i == neuron, 0].max()
    share = by_category.fraction()[:, 0, 0, 0]
    order = np.argsort(-share, kind="stable")
    full = ", ".join(str(by_category.label[c]) for c in order if share[c] == 1.0)
    last = order[-1]
    typical = np.median(np.linalg.norm(activations, axis=1))
    neurons, rotated = controlled.values()
    rows = activations[ordinary].astype(np.float64)
    rows -= rows.mean(axis=0)
    near = np.abs(rows) >= WIDE * np.linalg.norm(rows, axis=1, keepdims=True)
    on, against, isotropic = (value.mean() for value in (neurons.mean(), rotated.mean(), neurons.null()))
    return [
        f"{n} words, as Qwen2.5-0.5B holds them after layer 12: vectors of width {d}, {len(by_category.label)} categories.",
        f"Basis: the {d} neurons. {everything.planes_total:,} planes, 360 angles, counted exactly.",
        "",
        f"1. One neuron holds {narrow / n:.0%} of all words: within {_degrees(NARROW)} degrees of neuron {neuron} lie {narrow} of {n} rows,",
        "   and in most planes no row is that close to anything. By category:",
        f"   {full}: every word; {by_category.label[last]}: {share[last]:.0%}.",
        f"   These rows carry one massive entry, up to {np.abs(activations).max():,.0f} where a typical row has norm {typical:.0f}.",
        "   -> all-rows.png, categories.png",
        "",
        f"2. Without them {neurons.rows[0]} rows are left. Their cloud lies off the origin, |mean|/rms = {neurons.offset:.2f}:",
        "   as stored, a picture would show where that mean points. It is subtracted for what follows.",
        "",
        f"3. A cone of {_degrees(WIDE)} degrees turned through planes of neurons holds {on:.2%} of these rows on average,",
        f"   {on / isotropic:.0f} times what isotropic rows give; through planes of a random rotation of the neurons it holds",
        f"   {against:.4%}. {near.any(axis=1).sum()} of the rows come so close to one of {near.any(axis=0).sum()} neurons.  -> neurons-and-rotation.png",
        "   Whether that is beyond chance, or beyond the covariance of the rows, is a question for a test.",
    ]


def _degrees(epsilon):
    return f"{np.degrees(np.arccos(epsilon)):.0f}"
