"""An atlas in words: one line a layer, and what its verdicts are corrected for."""

import math
import textwrap

from srmfast.excerpts import COLUMNS, finite, number, plural, probability, shorten, times
from srmfast.family import LEVEL

MOST = 40  # layers that have a line of their own
_SHORT = {"anti-aligned": "anti"}
# Heading, least width, text of a layer: one more opinion is one more line here.
_TESTED = (
    ("verdict", 10, lambda layer: f"{_SHORT.get(layer.verdict, layer.verdict)}{'*' * layer.explained}"),
    ("p", 6, lambda layer: probability(layer.p)),
    ("Holm", 7, lambda layer: probability(layer.p_over_layers)),
    ("effect [95 %]", 21, lambda layer: _effect(layer)),
    ("kurtosis", 13, lambda layer: _tails(layer)),
    ("mean/rms", 9, lambda layer: _offset(layer)),
    ("pair", 10, lambda layer: _SHORT.get(layer.pair, layer.pair)),
    ("vectors", 10, lambda layer: _vectors(layer)),
)
_COUNTED = (
    ("rows", 12, lambda layer: f"{layer.rows:,}"),
    ("ε", 7, lambda layer: number(layer.epsilon)),
    ("peak", 10, lambda layer: number(layer.peak)),
    ("isotropic", 10, lambda layer: number(layer.isotropic)),
    ("on/midway", 10, lambda layer: _ratio(layer)),
    ("mean/rms", 11, lambda layer: _offset(layer)),
)


def lines(atlas):
    """Return an atlas in lines of at most 100 columns.

    Parameters
    ----------
    atlas : Atlas

    Returns
    -------
    list of str
    """
    shown = clearest(atlas.layers, MOST)
    short = dict(zip(atlas.names, short_names(atlas.names), strict=True))
    heads = {one: f"{one[0]}{', centred' * one[1]}" for one in atlas.series}
    heads = heads if len(heads) > 1 else dict.fromkeys(heads, "layer")
    columns = [
        (heading, max(least, *(len(text(layer)) + 1 for layer in shown)), text)
        for heading, least, text in (_TESTED if atlas.tested else _COUNTED)
    ]
    room = COLUMNS - sum(width for _, width, _ in columns)
    width = min(room, max(10, *map(len, short.values()), *map(len, heads.values())))
    head = "".join(f"{heading:>{size}}" for heading, size, _ in columns)
    found = _title(atlas)
    for one in atlas.series:
        some = [layer for layer in shown if layer.series == one]
        found += [f"{shorten(heads[one], width):<{width}}{head}"] * bool(some)
        found += [
            f"{shorten(short[layer.name], width):<{width}}"
            + "".join(f"{text(layer):>{size}}" for _, size, text in columns)
            for layer in some
        ]
    left = len(atlas.layers) - len(shown)
    found += [f"… and {plural(left, 'less clear layer')} left out; all of them by --csv"] * bool(left)
    one = "/".join((atlas.layers[0].store, atlas.layers[0].basis))
    notes = [*(_notes(atlas) if atlas.tested else _legend()), f"one of them in full: srmfast show RESULT::{one}"]
    return found + _wrapped(notes)


def _title(atlas):
    stem = shorten(joint_name(atlas.names), 40)
    rows = {layer.rows for layer in atlas.layers}
    words = [f"layers  {len(atlas.names)}" + (f" of {stem}" if stem else "")]
    words += [f"basis {shorten(atlas.bases[0], 30)}"] if len(atlas.bases) == 1 else [f"{len(atlas.bases)} bases"]
    words += [f"{plural(rows.pop(), 'row')} each"] if len(rows) == 1 else []
    return [", ".join(words)]


def _notes(atlas):
    layers, epsilons = atlas.corrected_for, {layer.effect_epsilon for layer in atlas.layers if layer.verdict}
    at = f"at ε = {number(epsilons.pop())}" if len(epsilons) == 1 else "at the ε where each layer is clearest"
    tested = [layer for layer in atlas.layers if layer.verdict]
    beyond = [layer for layer in tested if layer.p_over_layers <= LEVEL]
    several = ", not over what is listed apart" if len(atlas.series) > 1 else ""
    notes = [
        "verdict, p: of each layer by itself, over all its labels, epsilons and planes. Holm: that p corrected "
        f"over {plural(layers, 'layer')}{several}, valid however they depend on each other: "
        f"{len(beyond)} of {len(tested)} at {LEVEL} or below"
    ]
    if layers * atlas.least_p > LEVEL:
        notes.append(
            f"with {atlas.rotations} rotations the smallest p there is is {probability(atlas.least_p)}, and over {layers} layers "
            f"{probability(min(1.0, layers * atlas.least_p))}: none can reach {LEVEL}; --null {atlas.needed_rotations} could"
        )
    notes.append(
        f"effect: share of (row, plane) pairs nearer to a basis vector minus nearer to midway, {at}; kurtosis: mean "
        "excess kurtosis of the coordinates along the basis, and after the stroke along rotations of it; vectors: how many hold rows"
    )
    raw, centred = (any(layer.verdict and layer.centred is which for layer in atlas.layers) for which in (False, True))
    pair = {(True, False): "with the mean subtracted", (False, True): "as stored"}.get((raw, centred), "with the mean treated the other way")  # fmt: skip
    notes.append(f"pair: the verdict {pair}; mean/rms: length of the rows' mean over their root-mean-square length")
    if any(layer.explained for layer in tested):
        notes.append("*: as the mean and the covariance of these rows alone make them do")
    undecided = [layer.detectable for layer in tested if layer.verdict in ("none", "undecided")]
    if any(map(math.isfinite, undecided)):
        least = [value for value in undecided if math.isfinite(value)]
        notes.append(
            f"where nothing was found, an effect of {min(least):.2f} to {max(least):.2f} would have been, four times out of five"
        )
    return notes


def _legend():
    return [
        "peak: highest share of rows in a cone, mean of all planes; isotropic: what isotropic rows would give; on/midway: that "
        "mean on b_i and b_j over the same midway between them; -: too few rows to compare; mean/rms: length of the rows' mean "
        "over their root-mean-square length",
        "whether any of it is beyond chance: run again with --null",
    ]


def _wrapped(notes):
    return [line for note in notes for line in textwrap.wrap(note, COLUMNS, break_on_hyphens=False)]


def clearest(layers, most):
    """Return the layers that are clearest, in their order: by p, then by effect or by contrast."""

    def rank(n):
        layer = layers[n]
        size = layer.effect if layer.verdict else layer.contrast
        return (layer.p if layer.verdict else 2.0, -abs(size) if math.isfinite(size) else 0.0)

    chosen = sorted(sorted(range(len(layers)), key=rank)[:most])
    return [layers[n] for n in chosen]


def short_names(names):
    """Return names without what all begin and end with, up to marks between words."""
    begin, end = (len(part) for part in _shared(names))
    return [name[begin : len(name) - end] for name in names]


def joint_name(names):
    """Return what names have in common, with "*" for the rest, or "" when they do not begin alike."""
    begin, end = _shared(names)
    return f"{begin.rstrip('./-_')}" + (f".*{end}" if end else "") if begin else ""


def _shared(names):
    """Return what all names begin with and end with; "" of one name alone."""
    if len(set(names)) < 2:
        return "", ""
    begin = _beginning(names)
    end = _beginning([name[len(begin) :][::-1] for name in names])[::-1]
    return begin, end


def _beginning(names):
    low, high = min(names), max(names)
    same = next((n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    cut = max((low.rfind(mark, 0, same) for mark in "./-_"), default=-1) + 1
    return low[:cut] if cut < min(map(len, names)) else ""


def _effect(layer):
    if not layer.verdict or not finite(layer.effect):
        return "-"
    reach = f" [{layer.low:+.2f}, {layer.high:+.2f}]" if finite(layer.low) else ""
    return f"{layer.effect:+.2f}{reach}"


def _ratio(layer):
    if not layer.peak:
        return "no hit"
    if not finite(layer.contrast) or not finite(layer.midway):
        return "-"
    return times(layer.on / layer.midway) if layer.midway else "only on"


def _tails(layer):
    return f"{layer.kurtosis:.3g} | {layer.kurtosis_rotated:.2g}" if finite(layer.kurtosis) else "-"


def _offset(layer):
    return "subtr." if layer.centred else f"{layer.offset:.2f}" if finite(layer.offset) else "-"


def _vectors(layer):
    return f"{layer.holding:,.0f}/{layer.vectors:,.0f}" if finite(layer.holding) else "-"
