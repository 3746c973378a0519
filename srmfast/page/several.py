"""Several results on one page: their pictures side by side, a line for each, and the effect over the layers."""

import math

from srmfast.excerpts import number, plural
from srmfast.page.sections import Cell, Chart, Column, Section, Table
from srmfast.results import Results

SHOWN = 36  # pictures side by side, at most
_LAYERS = 4  # layers of a series from which their effects are a curve
_COLUMNS = (
    Column("layer", "or store"), Column("basis", ""), Column("mean", "whether the mean of the rows was subtracted"),
    Column("verdict", "explained: the mean and the covariance of the rows alone bring it about"),
    Column("p", "of the verdict", True), Column("p over layers", "the same, corrected for the layers of one basis and treatment", True),
    Column("effect", "share nearer to the basis minus share nearer midway, from −1 to 1, with its 95 % interval", True),
    Column("ε", "of the columns that follow", True), Column("peak", "highest share of rows in the cone, mean of all planes", True),
    Column("isotropic rows", "what they would give", True),
    Column("contrast", "(on − midway)/(on + midway) of that mean, from −1 to 1", True),
    Column("kurtosis", "mean excess kurtosis of the coordinates along the basis", True),
    Column("of rotations", "the same along random rotations of it", True),
    Column("|mean|/rms", "of the rows as stored; near 1, their mean makes the picture", True), Column("rows", "used", True),
)  # fmt: skip


def several(members, keys):
    """Return the section that compares results.

    Parameters
    ----------
    members : dict of (str, str) to Result
        By store and basis.
    keys : list of str
        Under which the page holds their numbers.

    Returns
    -------
    Section
    """
    atlas = Results(members).atlas()
    left = len(keys) - SHOWN
    drawn = Chart(
        "planes", {"panels": keys[:SHOWN]},
        f"{plural(len(keys), 'result')} side by side, each the share of rows inside the cone against the angle of the spotlight.",
        f"The first {SHOWN} of {len(keys)} are drawn." if left > 0 else "",
    )  # fmt: skip
    return Section(
        "Side by side",
        words=("What a picture says, it says beside others: another basis, the mean subtracted, another layer.",),
        charts=(drawn, *_effects(atlas)),
        tables=(Table("A line for each result", _COLUMNS, tuple(map(_row, atlas.layers))),),
    )


def _row(layer):
    verdict = f"{layer.verdict}, explained" if layer.explained else layer.verdict or "not tested"
    effect = Cell("")
    if not math.isnan(layer.effect):
        known = not math.isnan(layer.low)
        at = "" if layer.effect_epsilon == layer.epsilon else f" at ε = {number(layer.effect_epsilon)}"
        effect = Cell(
            f"{layer.effect:+.2f}" + (f" [{layer.low:+.2f}, {layer.high:+.2f}]" if known else "") + at, layer.effect
        )
    return (
        Cell(layer.name), Cell(layer.basis), Cell("subtracted" if layer.centred else "as stored"), Cell(verdict), _shown(layer.p),
        _shown(layer.p_over_layers), effect, _shown(layer.epsilon), _shown(layer.peak), _shown(layer.isotropic),
        _shown(layer.contrast), _shown(layer.kurtosis), _shown(layer.kurtosis_rotated), _shown(layer.offset), Cell(f"{layer.rows:,}", layer.rows),
    )  # fmt: skip


def _effects(atlas):
    """Return the chart of effects over layers, none for a few layers."""
    names = atlas.names
    if len(names) < _LAYERS or not atlas.tested:
        return ()
    series = []
    for basis, centred in atlas.series:
        found = {layer.name: layer for layer in atlas.layers if layer.series == (basis, centred)}
        if len(found) < _LAYERS:
            continue
        values = {
            key: [_known(getattr(found[name], field)) if name in found else None for name in names]
            for key, field in (("values", "effect"), ("low", "low"), ("high", "high"))
        }
        series.append({"name": f"{basis}, mean {'subtracted' if centred else 'as stored'}", **values})
    data = {
        "x": list(range(len(names))),
        "names": names,
        "series": series,
        "xlabel": "",
        "ylabel": "effect",
        "range": [-1.05, 1.05],
    }
    words = (
        "Effect of each layer, from −1 (all between the basis vectors) to +1 (all along them), with its 95 % interval."
    )
    return (Chart("curves", data, words, words),) if series else ()


def _known(value):
    return None if math.isnan(value) else value


def _shown(value):
    return Cell("") if math.isnan(value) else Cell(number(value), value)
