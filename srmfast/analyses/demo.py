"""The whole way on real activations inside the package: store, results, figures and what they say."""

import shutil
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from srmfast.engine import run
from srmfast.engine.events import ignore
from srmfast.errors import InputError
from srmfast.results import Results

STORE = "qwen2.5-0.5b.zarr"
DATA = "qwen2.5-0.5b-layer12.npz"
WIDE, NARROW = 0.3, 0.9  # epsilons: 72.5 and 25.8 degrees
MASSIVE = 10.0  # a row whose norm exceeds the median this many times carries a massive activation


def demo(out, *, force=False, on_event=ignore):
    """Analyse 500 word vectors of a language model and say what Spotlight Resonance shows.

    Parameters
    ----------
    out : str or Path
        Folder to be made: a Zarr store, three results and three figures.
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
    activations, categories = _write_store(out / STORE)
    rows = f"{out / STORE}::layer12"
    common = dict(keep="hit", epsilon=(NARROW, 0.5, WIDE), on_event=on_event)
    everything = run(rows, "standard", **common)
    ordinary = run(rows, "standard", mask="ordinary", **common)
    centred = run(rows, "standard", mask="ordinary", centre=True, **common)
    neuron = _busiest(everything)
    partner = 0 if neuron else 1
    by_category = run(rows, "standard", labels="categories", planes=np.array([[neuron, partner]]), on_event=on_event)
    for name, result in (("all-rows", everything), ("ordinary-rows", ordinary), ("ordinary-rows-centred", centred)):
        result.save(out / f"{name}.zarr")
    everything.plot(out / "all-rows.png", epsilon=NARROW)
    by_category.plot(out / "categories.png")
    Results({("as stored", "standard"): ordinary, ("mean subtracted", "standard"): centred}).plot(
        out / "raw-and-centred.png", epsilon=WIDE
    )
    lines = _tell(activations, everything, ordinary, centred, by_category, neuron)
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
    """Write the embedded vectors as a Zarr group and return them with their categories."""
    import zarr

    with files("srmfast").joinpath("data", DATA).open("rb") as file, np.load(file) as archive:
        activations, categories = archive["activations"], archive["categories"]
    norms = np.linalg.norm(activations, axis=1)
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    ordinary = norms < MASSIVE * np.median(norms)
    for name, values in (("layer12", activations), ("categories", categories), ("ordinary", ordinary)):
        group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(100, *values.shape[1:]))[...] = values
    return activations, categories


def _busiest(result):
    """Return the basis vector whose own direction holds the most rows in the narrow cone."""
    return int(result.plane_i[np.argmax(result.counts[0, 0, :, 0])])


def _tell(activations, everything, ordinary, centred, by_category, neuron):
    n, d = activations.shape
    narrow = everything.counts[0, 0, everything.plane_i == neuron, 0].max()
    share = by_category.fraction()[:, 0, 0, 0]
    order = np.argsort(-share, kind="stable")
    full = [str(by_category.label[c]) for c in order if share[c] == 1.0]
    last = order[-1]
    typical = np.median(np.linalg.norm(activations, axis=1))
    axis = np.abs(activations).max()
    return [
        f"{n} words, as Qwen2.5-0.5B holds them after layer 12: vectors of width {d}, {len(by_category.label)} categories.",
        f"Basis: the {d} neurons. {everything.planes_total:,} planes, 360 angles, three cones, counted exactly.",
        "",
        f"1. One neuron holds {narrow / n:.0%} of all words. Within {np.degrees(np.arccos(NARROW)):.0f} degrees of neuron {neuron} "
        f"lie {narrow} of {n} rows;",
        f"   in most planes no row is that close to anything. By category: {', '.join(full)}: every word;",
        f"   {by_category.label[last]}: {share[last]:.0%}. These rows carry one massive entry, {axis:,.0f} where a typical row",
        f"   has norm {typical:.0f}: a mark of the position in the text rather than of a meaning.  -> categories.png",
        "",
        f"2. Without them, {ordinary.rows[0]} rows are left, and their cloud sits off the origin: |mean|/rms = {ordinary.offset:.2f}.",
        "   As stored, the picture shows where that mean points.",
        "",
        f"3. With the mean subtracted, {_contrast(centred)} (cone of {np.degrees(np.arccos(WIDE)):.0f} degrees;",
        f"   as stored {_contrast(ordinary, short=True)}): the rows still keep to the neurons.  -> raw-and-centred.png",
        "   Whether that is beyond chance is a question for a test, not for a picture.",
    ]


def _contrast(result, *, short=False):
    """Compare the mean at the basis directions with the mean midway between them, at the wide cone."""
    curve = result.mean()[0, -1]
    quarter = curve.size // 4
    on, between = curve[::quarter].mean(), curve[quarter // 2 :: quarter].mean()
    ratio = f"{on / between:.1f}x" if between else "infinitely many times"
    return ratio if short else f"directions of neurons hold {ratio} the rows of directions midway between two"
