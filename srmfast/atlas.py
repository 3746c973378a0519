"""Several layers side by side: verdict, effect, curve and mean of each, and the verdicts corrected for how many there are."""

import csv
import dataclasses
import io
import math

import numpy as np

from srmfast.displayed import Displayed
from srmfast.errors import InputError, require
from srmfast.excerpts import SAME_ANGLE, common_epsilons, finite, first_hit, part, shared_angle
from srmfast.family import LEVEL
from srmfast.jackknife import balance, directions, interval, leave_one_out
from srmfast.kurtosis import kurtosis_of
from srmfast.oscillation import ENOUGH, rows_near
from srmfast.whole import whole_file

CENTRED = "-centred"  # ending of the name of a store whose mean was subtracted beside the store itself


@dataclasses.dataclass(frozen=True)
class Layer:
    """One line of an atlas. NaN and "" where the run tells nothing: without rotations there is no verdict.

    Attributes
    ----------
    name : str
        Of the layer: the store's, without what tells that the mean was subtracted where both are there.
    store, basis : str
    centred : bool
        Whether the mean was subtracted.
    rows : int
        Rows used.
    epsilon : float
        Of the curve, and so of the six values below.
    peak, isotropic : float
        Highest share of rows in a cone, mean of all planes, and what isotropic rows would give.
    on, midway : float
        That mean on b_i and b_j, and midway between; midway is NaN where planes differ in their angle.
    contrast, contrast_low, contrast_high : float
        (on − midway)/(on + midway) and its 95 % interval by leaving out one of 64 folds at a time.
    offset : float
        |mean|/rms of the rows as stored.
    verdict : str
        Of the layer by itself.
    p, p_over_layers : float
        Two-sided, over all labels, epsilons and planes of the layer; and with Holm's correction over the layers of a series.
    explained : bool
        Whether the mean and the covariance of the rows explain the verdict.
    pair : str
        The verdict with the mean subtracted, or as stored where it was.
    effect, low, high, effect_epsilon : float
        Share nearer to a basis vector minus share nearer to a midpoint where it is clearest, and its 95 % interval.
    detectable : float
        The smallest effect that would have been found four times out of five.
    holding, vectors : float
        Basis vectors that hold rows, and all.
    kurtosis, kurtosis_rotated, kurtosis_p : float
        Mean excess kurtosis of the coordinates along the basis and along its rotations, and the two-sided p of the first
        among the second; see `srmfast.kurtosis`.
    """

    name: str
    store: str
    basis: str
    centred: bool
    rows: int
    epsilon: float
    peak: float
    isotropic: float
    on: float
    midway: float
    contrast: float
    contrast_low: float
    contrast_high: float
    offset: float
    verdict: str = ""
    p: float = math.nan
    p_over_layers: float = math.nan
    explained: bool = False
    pair: str = ""
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    effect_epsilon: float = math.nan
    detectable: float = math.nan
    holding: float = math.nan
    vectors: float = math.nan
    kurtosis: float = math.nan
    kurtosis_rotated: float = math.nan
    kurtosis_p: float = math.nan

    @property
    def series(self):
        """Basis, and whether the mean was subtracted: layers alike in both are one series."""
        return self.basis, self.centred


@dataclasses.dataclass(frozen=True, repr=False)
class Atlas(Displayed):
    """Several layers, in the order of the run.

    Attributes
    ----------
    layers : tuple of Layer
    angle : ndarray, (a,) float64, or None
        Radians; None when layers differ in it.
    curves : tuple of ndarray, (a,) float64
        The mean of f over all planes of each layer, at its `epsilon`.
    effects : tuple of tuple of `srmfast.alignment.Effect`
        Of each layer, for every epsilon, all labels together; () without a verdict.
    shared : float or None
        The angle from b_i to b_j in radians, where all planes of all layers share it.
    rotations : int
        The fewest of any verdict; 0 without any.
    """

    layers: tuple
    angle: np.ndarray | None
    curves: tuple
    effects: tuple
    shared: float | None
    rotations: int

    def _line(self):
        bases = ", ".join(self.bases)
        return f"{len(self.names)} layers × {bases}, {'with' if self.tested else 'without'} verdicts"

    @property
    def names(self):
        """Names of the layers, in order."""
        return list(dict.fromkeys(layer.name for layer in self.layers))

    @property
    def bases(self):
        """Names of the bases, in order."""
        return list(dict.fromkeys(layer.basis for layer in self.layers))

    @property
    def series(self):
        """Bases, each with the mean as stored, subtracted or both, in order."""
        return list(dict.fromkeys(layer.series for layer in self.layers))

    @property
    def tested(self):
        """Whether any layer has a verdict."""
        return any(layer.verdict for layer in self.layers)

    @property
    def least_p(self):
        """The smallest two-sided p that so many rotations can give."""
        return 2 / (1 + self.rotations) if self.rotations else math.nan

    @property
    def corrected_for(self):
        """How many layers the p over layers are corrected for: of the series with most verdicts."""
        return max(sum(1 for layer in self.layers if layer.verdict and layer.series == one) for one in self.series)

    @property
    def needed_rotations(self):
        """Rotations with which the p over layers can reach the level of a verdict."""
        return math.ceil(2 * self.corrected_for / LEVEL) - 1

    def to_dataframe(self):
        """Return a row for each layer, with the fields of `Layer`, as a pandas DataFrame."""
        pandas = require("pandas", purpose="to_dataframe")
        return pandas.DataFrame([dataclasses.asdict(layer) for layer in self.layers])

    def to_csv(self, path):
        """Write the columns of `to_dataframe` to a CSV file, whole or not at all."""
        write_table(path, [dataclasses.asdict(layer) for layer in self.layers])

    def __str__(self):
        from srmfast.atlaslines import lines

        return "\n".join(lines(self))


def atlas(results):
    """Put several layers side by side.

    Parameters
    ----------
    results : Results

    Returns
    -------
    Atlas

    Raises
    ------
    InputError
        There is none.
    """
    if not len(results):
        raise InputError("an atlas needs at least one result, got none")
    shared = next(iter(common_epsilons(results)), None)
    judged = {key: result.alignment() if result.null_phase is not None else None for key, result in results.items()}
    layers, curves = [], []
    for (store, basis), result in results.items():
        at = first_hit(result) if shared is None else result.epsilon.tolist().index(shared)
        pooled = part(result, epsilon=[at])
        curves.append(pooled.mean()[0, 0])
        layers.append(
            Layer(
                _name(store, result, results), store, basis, bool(result.attrs.get("centred")), int(result.attrs["rows"]["used"]),
                float(pooled.epsilon[0]), float(curves[-1].max()), float(pooled.null()[0]), *_contrast(pooled, curves[-1]),
                result.offset if finite(result.offset) else math.nan, **_judged(judged[store, basis]),
                **_tails(result, judged[store, basis]),
            )
        )  # fmt: skip
    over = {}
    for one in {layer.series for layer in layers}:
        tested = [layer for layer in layers if layer.series == one and layer.verdict]
        over |= zip(((layer.store, layer.basis) for layer in tested), holm([layer.p for layer in tested]), strict=True)
    layers = [
        dataclasses.replace(layer, p_over_layers=over.get((layer.store, layer.basis), math.nan)) for layer in layers
    ]
    grids = {curve.size for curve in curves}
    return Atlas(
        tuple(layers),
        next(iter(results.values())).angle if len(grids) == 1 else None,
        tuple(curves),
        tuple(_effects(found) for found in judged.values()),
        _shared(results),
        min((found.rotations for found in judged.values() if found is not None), default=0),
    )


def _name(store, result, results):
    """Return the name of a layer: centred rows of a store that is there as stored, too, are of the same layer."""
    plain = store.removesuffix(CENTRED)
    return plain if result.attrs.get("centred") and any(other == plain for other, _ in results) else store


def write_table(path, rows):
    """Write rows, dicts with the same keys, to a CSV file, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    try:
        with whole_file(path) as file:
            file.write(text.getvalue().encode())
    except OSError as error:
        raise InputError(f"the table cannot be written to {path}: {error.strerror or error}") from None


def holm(p):
    """Return p corrected for how many there are, valid under any dependence.

    Parameters
    ----------
    p : sequence of float

    Returns
    -------
    list of float
        In the same order.

    Notes
    -----
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    order, found, highest = sorted(range(len(p)), key=lambda n: p[n]), [math.nan] * len(p), 0.0
    for rank, n in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - rank) * p[n]))
        found[n] = highest
    return found


def _shared(results):
    angles = [shared_angle(result) for result in results.values()]
    return angles[0] if None not in angles and max(angles) - min(angles) < SAME_ANGLE else None


def _contrast(pooled, curve):
    """Return on, midway, contrast, and its interval; NaN for what planes of unequal angles or too few rows do not tell."""
    shared = shared_angle(pooled)
    if shared is None:
        return float(curve[0]), *[math.nan] * 4
    weights = directions(curve.size, shared)
    on, midway = (weights @ curve).tolist()
    if sum(rows_near(pooled, (on, midway))) < ENOUGH:
        return on, midway, *[math.nan] * 3
    parts, held = pooled.fold_total[:, 0, 0] @ weights.T, pooled.rows_used[:, 0] > 0
    return on, midway, *map(float, interval(*leave_one_out(balance, parts, held)))


def _judged(found):
    if found is None:
        return {}
    cover = found.coverage
    return {
        "verdict": found.verdict, "p": found.p, "explained": found.explained, "pair": found.pair.verdict,
        "effect": found.effect.size, "low": found.effect.low, "high": found.effect.high,
        "effect_epsilon": found.effect.epsilon, "detectable": found.effect.detectable,
        "holding": math.nan if cover is None else cover.holding, "vectors": math.nan if cover is None else cover.vectors,
    }  # fmt: skip


def _tails(result, found):
    tails = None if found is None else kurtosis_of(result, found.units)
    if tails is None:
        return {}
    return {"kurtosis": tails.own, "kurtosis_rotated": tails.rotated, "kurtosis_p": tails.mean.p}


def _effects(found):
    """Return the effects of all rows together, one for each epsilon."""
    if found is None:
        return ()
    label = found.effects[-1].label  # all labels together come last
    return tuple(effect for effect in found.effects if effect.label == label)
