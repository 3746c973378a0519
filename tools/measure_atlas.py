"""Ask of every layer of a language model whether its rows align with the neurons beyond chance.

    python tools/smollm2_activations.py MODEL.gguf -o acts --layers all
    python tools/measure_atlas.py acts -o docs/language-models-atlas.json --results results

`acts/` is a folder written by `tools/smollm2_activations.py`. Each layer is measured by `srmfast run --centre --null M`, with
`--max-norm 10`, whole sequences as groups, and P planes drawn at random, the same in all layers; the verdict of the rows as stored comes
with it. Beside it, on part of the rows and plainly counted here (`near_and_far`):

    centred    mean subtracted, in the basis of the neurons: once more, as a check
    stored     the same as stored
    ordinary   mean subtracted, without the layer's massive coordinates
    scaled     mean subtracted, every coordinate over its standard deviation: what is left when no neuron varies more than others
    random     mean subtracted, in a random orthonormal basis
    scaled random  the scaled rows in it

with the kurtosis of a row's coordinates, d·Σx⁴/(Σx²)², mean over rows (3 for a Gaussian in any basis, up to 1/d); and by `srmfast neurons` the rows in the cones about single neurons. Results are kept, and one that is there is not made again, so that
several processes may share the layers (`--layers`); the numbers are told once all are there.

All layers of a residual stream share one basis, and with one seed one set of rotations. So M rotations of *the stream* are compared
with it: the score of a rotation is the highest of all layers, each standardised over the basis and all rotations, and a layer's p is how
many rotations reach its own score in *any* layer (Westfall and Young's single step; exact for any M, however layers depend on
one another). Holm's correction of 30 separate p would need M ≥ 1,199.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from measure_models import rounded, say

import srmfast
from srmfast.family import LEVEL, Family, jackknife

EPSILONS = (0.2, 0.3, 0.5, 0.8)
CONES = 0.3  # the epsilon of the cones about single neurons
NORM = 10.0
NEURONS = 10  # followed through the layers
ROWS, PLANES = 28_160, 2_000  # for the effects that are counted here, at most
WAYS = ("centred", "stored", "ordinary", "scaled", "random", "scaled random")
FOLDS = 64


def main(argv=None):
    """Parse, measure, tell; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("acts", type=Path, metavar="ACTS", help="folder of tools/smollm2_activations.py")
    parser.add_argument("-o", "--out", type=Path, metavar="F.json", help="tell the numbers of all layers")
    parser.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="results of the runs, kept")
    parser.add_argument("--null", type=int, default=99, metavar="M", help="rotations (default 99)")
    parser.add_argument("--planes", type=int, default=10_000, metavar="P", help="drawn at random (default 10000)")
    parser.add_argument("--layers", metavar="K[,K…]", help="measure these (default all)")
    parser.add_argument("--threads", type=int, metavar="N")
    options = parser.parse_args(argv)
    if not (options.acts / "acts.zarr").is_dir():
        parser.error(f"the folder must hold acts.zarr, got {options.acts}; make it with tools/smollm2_activations.py")
    layers = layers_of(options.acts)
    wanted = layers if options.layers is None else [f"layer{int(k):02d}" for k in options.layers.split(",")]
    options.results.mkdir(parents=True, exist_ok=True)
    for layer in wanted:
        measure(options, layer)
    if options.out:
        options.out.write_text(json.dumps(rounded(told(options, layers)), separators=(",", ":")) + "\n")
    return 0


def layers_of(folder):
    """Return the names of the layers, in their order."""
    import zarr

    return sorted(name for name, _ in zarr.open_group(str(folder / "acts.zarr"), mode="r").arrays() if "layer" in name)


# ---- runs --------------------------------------------------------------------------------------------


def measure(options, layer):
    """Measure what has not been measured of one layer."""
    began = time.process_time()
    paths = [result_path(options, layer, way) for way in ("centred", "stored-neurons", "centred-neurons")]
    beside = options.results / f"{layer}-effects.json"
    if all(path.exists() for path in (*paths, beside)):
        return
    store = f"{options.acts / 'acts.zarr'}::{layer}"
    with srmfast.open_store(store) as opened:
        sequences = opened.row_shape[0]
    given = dict(max_norm=NORM, groups=np.arange(sequences), threads=options.threads)
    if not paths[0].exists():
        result = srmfast.run(
            store,
            "standard",
            epsilon=EPSILONS,
            planes=f"random:{options.planes}",
            keep="summary",
            centre=True,
            null=options.null,
            **given,
        )
        result.save(paths[0])
    for way, path in zip(("stored", "centred"), paths[1:], strict=True):
        if not path.exists():
            srmfast.neurons(store, epsilon=CONES, permutations=0, centre=way == "centred", **given).save(path)
    if not beside.exists():
        beside.write_text(json.dumps(effects_of(options, layer)))
    say(f"{layer}: {time.process_time() - began:.0f} CPU seconds")


def effects_of(options, layer):
    """Return the effects of one layer every way."""
    import zarr

    rng, found, kurtosis = np.random.default_rng(0), {}, {}
    for way in WAYS:
        file = "acts_ordinary" if way == "ordinary" else "acts"
        rows = zarr.open_group(str(options.acts / f"{file}.zarr"), mode="r")[layer][...]
        sequences, tokens, d = rows.shape
        rows = rows[:, :: max(1, -(-sequences * tokens // ROWS))].astype(np.float32)
        fold = np.repeat(np.arange(sequences) * FOLDS // sequences, rows.shape[1])
        rows = rows.reshape(-1, d)
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        keep = norms <= NORM * np.median(norms)
        rows, fold = rows[keep], fold[keep]
        if way != "stored":
            rows = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        if way.startswith("scaled"):
            rows /= rows.std(axis=0, dtype=np.float64).astype(np.float32)
        if way.endswith("random"):
            rows = rows @ np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32)
        planes = np.array([rng.choice(d, 2, replace=False) for _ in range(min(options.planes, PLANES))])
        counts = near_and_far(rows, planes, EPSILONS, fold)
        found[way] = [effect(counts[:, e], len(rows) * len(planes)) for e in range(len(EPSILONS))]
        square = rows.astype(np.float64) ** 2
        kurtosis[way] = float(np.mean(d * (square**2).sum(axis=1) / square.sum(axis=1) ** 2))
    return {"effects": found, "kurtosis": kurtosis}


def near_and_far(rows, planes, epsilons, fold):
    """Count, as `srmfast.naive.phase` but in float32, the rows near planes of two coordinates, by fold.

    Parameters
    ----------
    rows : ndarray, (n, d) float32
    planes : ndarray, (p, 2) int
    epsilons : sequence of float
        Ascending.
    fold : ndarray, (n,) int
        Below `FOLDS`.

    Returns
    -------
    ndarray, (64, e, 2) int64
        Nearer to one of the two axes, and nearer to midway between them.
    """
    unit = np.ascontiguousarray(np.abs(rows / np.linalg.norm(rows, axis=1, keepdims=True)).T)
    square, steep = unit * unit, np.float32(np.tan(np.pi / 8))
    found = np.zeros((FOLDS, len(epsilons), 2), np.int64)
    for i, j in planes:
        length = square[i] + square[j]
        (close,) = np.nonzero(length >= epsilons[0] ** 2)
        u, v, length, of = unit[i, close], unit[j, close], length[close], fold[close]
        far = np.minimum(u, v) > steep * np.maximum(u, v)
        for e, epsilon in enumerate(epsilons):
            inside = length >= epsilon**2
            for side, these in enumerate((inside & ~far, inside & far)):
                found[:, e, side] += np.bincount(of[these], minlength=FOLDS)
    return found


def result_path(options, layer, way):
    """Return where a result is kept."""
    return options.results / f"{layer}-{way}.zarr"


# ---- numbers -----------------------------------------------------------------------------------------


def told(options, layers):
    """Return the numbers of all layers."""
    about = json.loads((options.acts / "about.json").read_text())
    results = {layer: srmfast.load(result_path(options, layer, "centred")) for layer in layers}
    first = results[layers[0]]
    m = min(len(of.null_phase) for of in results.values())  # rotations are the same ones, in one order
    numbers = {
        "model": about["model"], "text": about["text"], "shape": about["shape"], "epsilons": EPSILONS, "norm": NORM,
        "rotations": m - 1, "rows_tested": first.attrs["null"]["rows"], "planes_tested": first.attrs["null"]["planes"],
        "planes": int(first.planes_total), "layers": {}, "neurons": {},
    }  # fmt: skip
    together = {
        way: jointly([families(results[layer], name, m) for layer in layers])
        for way, name in (("centred", "null"), ("stored", "pair"))
    }
    for at, layer in enumerate(layers):
        found = about["layers"][layer]
        numbers["layers"][layer] = {
            "massive": {c: [of["median"], of["max"]] for c, of in found["massive"].items()},
            "norm_first": found["norm_first"], "norm_rest": found["norm_rest"],
            **{f"beside_{key}": value for key, value in json.loads((options.results / f"{layer}-effects.json").read_text()).items()},
            **layer_numbers(results[layer], m),
            "joint": {way: {key: float(p[at]) for key, p in of.items()} for way, of in together.items()},
            "cones": {way: cones_of(srmfast.load(result_path(options, layer, f"{way}-neurons"))) for way in ("stored", "centred")},
        }  # fmt: skip
    for way in ("stored", "centred"):
        cones = [srmfast.load(result_path(options, layer, f"{way}-neurons")) for layer in layers]
        numbers["neurons"][way] = neurons_of(cones)
    return numbers


def neurons_of(cones):
    """Return the neurons that hold most rows in any layer, and what share they hold in each, about b_i and about −b_i."""
    share = np.array([one.inside.sum(axis=0) / one.rows_used.sum() for one in cones])  # (layers, k, 2)
    first = np.sort(np.argsort(-share.sum(axis=2).max(axis=0), kind="stable")[:NEURONS])
    return {"neuron": first.tolist(), "share": share[:, first].tolist()}


def layer_numbers(run, m):
    """Return the effect, the verdicts and what Gaussian rows do, of one layer."""
    verdict = run.alignment()
    gaussian = run.surrogate_phase[1:m, 0].sum(axis=0)  # (e, 2): near and far of all of them
    drawn = run.null_phase[0, 0]
    return {
        "rows": int(run.rows[0]), "seen": int(run.attrs["rows"]["seen"]), "offset": run.offset,
        "effects": [effect(run.phase[:, 0, e], int(run.rows[0]) * run.planes_total) for e in range(len(EPSILONS))],
        "verdicts": {
            "centred": {"verdict": verdict.verdict, "p": verdict.p, "explained": verdict.explained, "p_gaussian": verdict.p_surrogate,
                        "epsilons": [one.verdict for one in verdict.epsilons]},
            "stored": {"verdict": verdict.pair.verdict, "p": verdict.pair.p},
        },
        "drawn": drawn.tolist(), "gaussian": (gaussian / (m - 1)).tolist(),
        "rotated": run.null_phase[1:m, 0].mean(axis=0).tolist(),
    }  # fmt: skip


def effect(folds, pairs):
    """Return the effect with its interval, and near and far for each of the pairs of a row and a plane.

    Parameters
    ----------
    folds : ndarray, (64, 2) int64
    pairs : int
    """
    size, low, high = jackknife(folds, folds.sum(axis=1) > 0)
    near, far = folds.sum(axis=0).tolist()
    return {"size": size, "low": low, "high": high, "near": near / pairs, "far": far / pairs}


def families(result, name, m):
    """Return the Family of the basis and its first rotations: of the run, or of the other treatment of the mean."""
    phase, extreme = (getattr(result, f"{name}_{kind}")[:m] for kind in ("phase", "extreme"))
    return Family(phase, extreme, result.epsilon)


def jointly(layers):
    """Test all layers as one family.

    Parameters
    ----------
    layers : list of Family
        With the same rotations in the same order.

    Returns
    -------
    dict of ndarray
        p_aligned, p_anti and the two-sided p, each layer against the most extreme layer of every rotation; verdict follows.
    """
    highest, lowest = (
        np.array([getattr(of, side) for of in layers]) for side in ("highest", "lowest")
    )  # (layers, 1 + M)
    aligned, anti = ((1 + (of.max(axis=0)[1:] >= of[:, :1]).sum(axis=1)) / of.shape[1] for of in (highest, lowest))
    return {"p_aligned": aligned, "p_anti": anti, "p": np.minimum(1.0, 2 * np.minimum(aligned, anti))}


def cones_of(neurons):
    """Return how many neurons have rows in the cones about them, how many carry half of all, and the first of them."""
    rows = int(neurons.rows_used.sum())
    inside = neurons.inside.sum(axis=0)
    share = inside.sum(axis=1)
    order = np.argsort(-share, kind="stable")
    half = int(np.searchsorted(np.cumsum(share[order]), share.sum() / 2) + 1) if share.any() else 0
    return {
        "holding": int((share > 0).sum()), "of": len(share), "half": half, "near": float(share.sum() / rows),
        "top": [[int(c), float(inside[c, 0] / rows), float(inside[c, 1] / rows)] for c in order[:4] if share[c]],
    }  # fmt: skip


def found_in(joint, claims=LEVEL):
    """Return the word of a layer's p: aligned, anti-aligned, mixed or none."""
    aligned, anti = (2 * joint[key] <= claims for key in ("p_aligned", "p_anti"))
    return "mixed" if aligned and anti else "aligned" if aligned else "anti-aligned" if anti else "none"


if __name__ == "__main__":
    sys.exit(main())
