"""Turn spotlights through the neurons of language models, and through two controls.

    python tools/measure_models.py acts/ -o docs/language-models.json \
        --vectors "Qwen2.5-0.5B layer 12=qwen.npz::vectors" --vectors "Mistral-7B layer 16=mistral.npz::vectors"

`acts/` is a folder written by `tools/smollm2_activations.py`. Every layer is measured under six conditions (`CONDITIONS`):

    standard    all rows, in the basis of the neurons
    random      a sample of the rows, in random orthonormal bases
    surrogate   Gaussian rows with the mean and the covariance of the rows, in the basis of the neurons
    directions  the same for the rows at unit length: long rows weigh no more than others, as in the method itself

Each curve is the mean over all ordered planes of a basis. What is told of it: its mean at the four angles of basis
vectors (0, 90, 180, 270 degrees) and at the four midpoints, the contrast (on − midway)/(on + midway) with a
delete-one-fold jackknife error over 64 folds of whole sequences, and how many of the 2k directions ±b_i lie in the cone
around a row. `--vectors` measures small arrays as well, all rows in each basis. `tools/draw_models.py` makes the
tables and the figure.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import zarr

import srmfast

EPSILONS = (0.9, 0.7, 0.5, 0.3, 0.2)
VECTOR_EPSILONS = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1)
DRAWN = 0.3  # the epsilon of the curves, of the planes hit and of the neurons
ANGLES = 360
COARSE = 24  # angles where every plane is kept; 45 degrees are among them
RANDOM_BASES = 3
RANDOM_VECTORS = 1024  # of a random basis, at most; wider layers take an orthonormal part of one
NORM = 10.0  # a vector whose norm exceeds the median this many times is left out of "ordinary rows"
_GAUSS = ("surrogate", "directions")
_ALL = ("random", *_GAUSS)
CONDITIONS = {  # name: store, mask, centred, controls
    "all rows": ("acts.zarr", None, False, ("random", "directions")),
    "no first tokens": ("acts.zarr", "not_first.npy", False, ()),
    "ordinary rows": ("acts.zarr", "ordinary_rows.npy", False, _GAUSS),
    "ordinary rows, centred": ("acts.zarr", "ordinary_rows.npy", True, _ALL),
    "ordinary rows and coordinates": ("acts_ordinary.zarr", "ordinary_rows.npy", False, _GAUSS),
    "ordinary rows and coordinates, centred": ("acts_ordinary.zarr", "ordinary_rows.npy", True, _ALL),
}


def main(argv=None):
    """Parse, measure, write; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("acts", type=Path, metavar="ACTS", help="folder of tools/smollm2_activations.py")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="F.json")
    parser.add_argument(
        "--sample", type=int, default=28_160, metavar="N", help="rows of each control (default 28160; 0: all)"
    )
    parser.add_argument(
        "--vectors", action="append", default=[], metavar="NAME=F", help="a small array too; may be repeated"
    )
    options = parser.parse_args(argv)
    if not (options.acts / "about.json").is_file():
        parser.error(f"the folder must hold about.json, got {options.acts}; make it with tools/smollm2_activations.py")
    if wrong := [text for text in options.vectors if "=" not in text]:
        parser.error(f"--vectors must be NAME=F, got {wrong[0]}")
    about = json.loads((options.acts / "about.json").read_text())
    numbers = {"model": about["model"], "text": about["text"], "shape": about["shape"], "drawn": DRAWN}
    numbers["vectors"] = {}
    for text in options.vectors:
        name, _, path = text.partition("=")
        numbers["vectors"][name] = measure_vectors(path)
    numbers["layers"] = {}
    for layer, found in about["layers"].items():
        numbers["layers"][layer] = {
            "massive": [int(c) for c in found["massive"]],
            "conditions": {name: measure_layer(options, layer, name) for name in CONDITIONS},
        }
        options.out.write_text(json.dumps(rounded(numbers), separators=(",", ":")) + "\n")  # a layer may take minutes
    return 0


# ---- a layer of the big store ------------------------------------------------------------------------


def measure_layer(options, layer, name):
    """Return the numbers of one layer under one condition."""
    began = time.perf_counter()
    file, mask, centre, controls = CONDITIONS[name]
    store = f"{options.acts / file}::{layer}"
    group = zarr.open_group(str(options.acts / file), mode="r")
    columns = group[layer].attrs.get("ordinary_columns") or list(range(group[layer].shape[-1]))
    keep = None if mask is None else np.load(options.acts / mask)
    groups = np.arange(group[layer].shape[0])  # a fold holds whole sequences
    given = {"mask": keep, "centre": centre, "groups": groups}
    full = srmfast.run(store, "standard", epsilon=EPSILONS, angles=ANGLES, keep="summary", **given)
    numbers = {
        "rows": int(full.rows[0]),
        "width": len(columns),
        "offset": full.offset,
        "standard": describe(full),
        **planes_and_neurons(store, columns, given),
    }
    if "random" in controls:
        numbers["random"] = [
            describe(
                srmfast.run(store, f"random:{len(columns)}", epsilon=EPSILONS, angles=ANGLES, keep="summary", seed=seed,
                            sample=options.sample, **given)
            )
            for seed in range(RANDOM_BASES)
        ]  # fmt: skip
    rows = group[layer][...].reshape(-1, len(columns))
    rows = rows if keep is None else rows[keep.reshape(-1)]
    for kind in (kind for kind in controls if kind != "random"):
        numbers[kind] = measure_twin(rows, kind, options.sample or len(rows), centre, EPSILONS)
    say(f"{layer}, {name}: {time.perf_counter() - began:.0f} s")
    return numbers


def planes_and_neurons(store, columns, given):
    """Return the share of planes with a row in their cone, the highest planes and the neurons that carry the peaks."""
    every = srmfast.run(store, "standard", epsilon=DRAWN, angles=COARSE, keep="hit", **given)
    planes = [
        {
            "i": columns[plane["plane_i"]],
            "j": columns[plane["plane_j"]],
            "degrees": round(float(np.degrees(plane["angle"]))),
            "fraction": plane["fraction"],
        }
        for plane in every.top_planes(5)
    ]
    # The cone at 0 is the one around b_i, whatever the partner: one plane for each vector tells of all of them.
    k = len(columns)
    ring = np.stack([np.arange(k), (np.arange(k) + 1) % k], axis=1)
    near = srmfast.run(store, "standard", epsilon=DRAWN, angles=COARSE, planes=ring, keep="all", **given).fraction()
    sides = near[0, 0][:, [0, COARSE // 2]]  # (k, 2): the share of rows around b_i and around −b_i
    share = sides.sum(axis=1)
    order = np.argsort(-share, kind="stable")
    top = [
        {"neuron": columns[c], "plus": sides[c, 0], "minus": sides[c, 1], "carried": share[c] / share.sum()}
        for c in order[:8].tolist()
        if share[c]
    ]
    half = int(np.searchsorted(np.cumsum(share[order]), share.sum() / 2) + 1) if share.any() else 0
    return {
        "planes": int(every.planes_total),
        "planes_hit": int(every.attrs["planes_hit"]),
        "top_planes": planes,
        "neurons_hit": int((share > 0).sum()),
        "neurons_half": half,  # so few of them carry half of what all carry
        "top_neurons": top,
    }


# ---- small arrays ------------------------------------------------------------------------------------


def measure_vectors(path):
    """Return the numbers of a small (n, d) array: as stored, without outlying rows, and centred."""
    rows = np.asarray(srmfast.open_store(path).read(0, srmfast.open_store(path).shape[0]), np.float32)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    ordinary = norms <= NORM * np.median(norms)
    kinds = {"all rows": (rows, False), "all rows, centred": (rows, True)}
    if not ordinary.all():
        kinds["ordinary rows"] = (rows[ordinary], False)
        kinds["ordinary rows, centred"] = (rows[ordinary], True)
    found = {}
    for name, (kept, centre) in kinds.items():
        began = time.perf_counter()
        given = {"epsilon": VECTOR_EPSILONS, "angles": ANGLES, "keep": "summary"}
        full = srmfast.run(kept, "standard", centre=centre, **given)
        found[name] = {
            "rows": len(kept),
            "width": kept.shape[1],
            "offset": full.offset,
            "standard": describe(full),
            "random": [
                describe(
                    srmfast.run(kept, f"random:{min(kept.shape[1], RANDOM_VECTORS)}", centre=centre, seed=seed, **given)
                )
                for seed in range(RANDOM_BASES)
            ],
            **{
                kind: measure_twin(kept, kind, len(kept), centre, VECTOR_EPSILONS)
                for kind in ("surrogate", "directions")
            },
        }
        say(f"{path}, {name}: {time.perf_counter() - began:.0f} s")
    return found


# ---- numbers -----------------------------------------------------------------------------------------


def describe(result):
    """Return what is told of a mean curve, for each epsilon, and every fifth degree of the curve that is drawn."""
    mean = result.mean()[0]
    k = len(result.basis)
    on, midway = at_angles(mean)
    folds, used = result.fold_total[:, 0], result.rows_used[:, 0]
    told = {
        "epsilon": result.epsilon.tolist(),
        "on": on.tolist(),
        "midway": midway.tolist(),
        "contrast": contrast(on, midway).tolist(),
        "error": jackknife(folds, used).tolist(),
        "near": (2 * k * on).tolist(),  # directions ±b_i within the cone of a row, on average
        "pairs": (mean.mean(axis=1) * result.planes_total).tolist(),  # planes that hold a row at one angle, on average
        "rows": int(result.rows[0]),
    }
    drawn = np.flatnonzero(np.abs(result.epsilon - DRAWN) < 1e-9)
    return told | {"curve": mean[drawn[0], :: ANGLES // 72].tolist()}


def at_angles(curves):
    """Return the mean of curves (…, a) at the angles of ±b_i and ±b_j, and midway between them."""
    a = curves.shape[-1]
    quarters = np.arange(4) * (a // 4)
    return curves[..., quarters].mean(axis=-1), curves[..., quarters + a // 8].mean(axis=-1)


def contrast(on, midway):
    """Return (on − midway)/(on + midway), NaN where no row is near either."""
    both = on + midway
    return np.divide(on - midway, both, out=np.full(np.shape(both), np.nan), where=both > 0)


def jackknife(folds, used):
    """Return the delete-one-fold standard error of the contrast, (e,), from fold totals (64, e, a)."""
    filled = used > 0
    left = folds.sum(axis=0)[None] - folds[filled]
    values = contrast(*at_angles(left))
    m = filled.sum()
    return np.sqrt((m - 1) / m * ((values - values.mean(axis=0)) ** 2).sum(axis=0))


def measure_twin(rows, kind, m, centre, epsilons):
    """Return the numbers of m Gaussian rows with the moments of the rows, or of their directions."""
    if kind == "directions":
        rows = rows.astype(np.float32)
        rows -= rows.mean(axis=0, dtype=np.float64) if centre else 0
        rows /= np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        centre = False  # the mean of the directions is one of their moments
    twin = surrogate(rows, m, centre)
    return describe(srmfast.run(twin, "standard", epsilon=epsilons, angles=ANGLES, keep="summary"))


def surrogate(rows, m, centre, seed=0):
    """Return m Gaussian rows with the covariance of the rows (n, d), and their mean unless centred, float32."""
    n, d = rows.shape
    mean = rows.mean(axis=0, dtype=np.float64)
    rng = np.random.default_rng(seed)
    if n <= d:  # the covariance has the rank of the rows: mix the rows themselves
        made = rng.standard_normal((m, n)) @ (rows.astype(np.float64) - mean) / np.sqrt(n)
    else:
        square = np.zeros((d, d))
        for start in range(0, n, 16_384):
            part = rows[start : start + 16_384].astype(np.float64) - mean
            square += part.T @ part
        values, vectors = np.linalg.eigh(square / n)
        root = vectors * np.sqrt(np.maximum(values, 0))
        made = rng.standard_normal((m, d)) @ root.T
    return (made if centre else made + mean).astype(np.float32)


def rounded(value):
    """Return nested numbers with five significant digits, NaN as None."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value


def say(line):
    """Print progress on standard error."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
