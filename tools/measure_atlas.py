"""Ask of every layer of a language model whether its rows align with the neurons beyond chance.

    python tools/smollm2_activations.py MODEL.gguf -o acts --layers all
    python tools/measure_atlas.py acts -o docs/language-models-atlas.json --results results

`acts/` is a folder written by `tools/smollm2_activations.py`. Each layer is measured by `srmfast run` with `--max-norm 10`, whole
sequences as groups, `--null M`, on P planes drawn at random, the same in all layers:

    centred    mean subtracted, in the basis of the neurons; with the verdict of the rows as stored beside it
    stored     the same as stored, for its effect
    ordinary   centred, without the layer's massive coordinates, for its effect
    random     centred, in a random orthonormal basis, a sample of the rows, for its effect

Results are kept, and one that is there is not made again, so that several processes may share the layers (`--layers`); the numbers
are told once all are there.

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
from srmfast.family import LEVEL, Family

EPSILONS = (0.2, 0.3, 0.5, 0.8)
CONES = 0.3  # the epsilon of the cones about single neurons
NORM = 10.0
SAMPLE = 28_160
WAYS = ("centred", "stored", "ordinary", "random")


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
    parser.add_argument("--ways", default=",".join(WAYS), metavar="W[,W…]", help=f"of {', '.join(WAYS)} (default all)")
    parser.add_argument("--threads", type=int, metavar="N")
    options = parser.parse_args(argv)
    if not (options.acts / "acts.zarr").is_dir():
        parser.error(f"the folder must hold acts.zarr, got {options.acts}; make it with tools/smollm2_activations.py")
    ways = options.ways.split(",")
    if unknown := [way for way in ways if way not in WAYS]:
        parser.error(f"--ways must be of {', '.join(WAYS)}, got {unknown[0]}")
    layers = layers_of(options.acts)
    wanted = layers if options.layers is None else [f"layer{int(k):02d}" for k in options.layers.split(",")]
    options.results.mkdir(parents=True, exist_ok=True)
    for layer in wanted:
        for way in ways:
            measure(options, layer, way)
    if options.out:
        options.out.write_text(json.dumps(rounded(told(options, layers)), indent=None, separators=(",", ":")) + "\n")
    return 0


def layers_of(folder):
    """Return the names of the layers, in their order."""
    import zarr

    return sorted(name for name, _ in zarr.open_group(str(folder / "acts.zarr"), mode="r").arrays() if "layer" in name)


# ---- runs --------------------------------------------------------------------------------------------


def measure(options, layer, way):
    """Run one layer one way, unless its result is there."""
    path, began = result_path(options, layer, way), time.process_time()
    if path.exists():
        return
    store = f"{options.acts / ('acts_ordinary.zarr' if way == 'ordinary' else 'acts.zarr')}::{layer}"
    with srmfast.open_store(store) as opened:
        sequences, d = opened.row_shape[0], opened.d
    given = dict(max_norm=NORM, centre=way != "stored", groups=np.arange(sequences), threads=options.threads)
    basis, more = "standard", {}
    if way == "centred":
        more = dict(null=options.null)
    if way == "random":
        basis, more = f"random:{d}", dict(sample=min(SAMPLE, opened.n))
    result = srmfast.run(
        store, basis, epsilon=EPSILONS, planes=f"random:{options.planes}", keep="summary", **given, **more
    )
    result.save(path)
    if way in ("centred", "stored"):
        cones = srmfast.neurons(store, epsilon=CONES, permutations=0, **given)
        cones.save(result_path(options, layer, f"{way}-neurons"))
    say(f"{layer}, {way}: {time.process_time() - began:.0f} CPU seconds")


def result_path(options, layer, way):
    """Return where a result is kept."""
    return options.results / f"{layer}-{way}.zarr"


# ---- numbers -----------------------------------------------------------------------------------------


def told(options, layers):
    """Return the numbers of all layers."""
    about = json.loads((options.acts / "about.json").read_text())
    results = {layer: {way: srmfast.load(result_path(options, layer, way)) for way in WAYS} for layer in layers}
    first = results[layers[0]]["centred"]
    m = min(len(of["centred"].null_phase) for of in results.values())  # rotations are the same ones, in one order
    numbers = {
        "model": about["model"], "text": about["text"], "shape": about["shape"], "epsilons": EPSILONS, "norm": NORM,
        "rotations": m - 1, "rows_tested": first.attrs["null"]["rows"], "planes_tested": first.attrs["null"]["planes"],
        "planes": int(first.planes_total), "layers": {},
    }  # fmt: skip
    together = {
        way: jointly([families(results[layer]["centred"], name, m) for layer in layers])
        for way, name in (("centred", "null"), ("stored", "pair"))
    }
    for at, layer in enumerate(layers):
        found = about["layers"][layer]
        numbers["layers"][layer] = {
            "massive": {c: [of["median"], of["max"]] for c, of in found["massive"].items()},
            "norm_first": found["norm_first"], "norm_rest": found["norm_rest"],
            **layer_numbers(results[layer], m),
            "joint": {way: {key: float(p[at]) for key, p in of.items()} for way, of in together.items()},
            "cones": {way: cones_of(srmfast.load(result_path(options, layer, f"{way}-neurons"))) for way in ("stored", "centred")},
        }  # fmt: skip
    return numbers


def layer_numbers(results, m):
    """Return the effects, the verdicts and what Gaussian rows do, of one layer."""
    run = results["centred"]
    verdict = run.alignment()
    gaussian = run.surrogate_phase[1:m, 0].sum(axis=0)  # (e, 2): near and far of all of them
    drawn = run.null_phase[0, 0]
    return {
        "rows": int(results["stored"].rows[0]), "seen": int(run.attrs["rows"]["seen"]), "offset": run.offset,
        "effects": {way: [effect(one.phase[:, 0, e], one) for e in range(len(EPSILONS))] for way, one in results.items()},
        "verdicts": {
            "centred": {"verdict": verdict.verdict, "p": verdict.p, "explained": verdict.explained, "p_gaussian": verdict.p_surrogate,
                        "epsilons": [one.verdict for one in verdict.epsilons]},
            "stored": {"verdict": verdict.pair.verdict, "p": verdict.pair.p},
        },
        "drawn": drawn.tolist(), "gaussian": (gaussian / (m - 1)).tolist(),
        "rotated": run.null_phase[1:m, 0].mean(axis=0).tolist(),
    }  # fmt: skip


def effect(folds, result):
    """Return the effect with its interval, and near and far pairs for each (row, plane)."""
    from srmfast.family import jackknife

    size, low, high = jackknife(folds, result.rows_used[:, 0] > 0)
    pairs = int(result.rows[0]) * result.planes_total
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
