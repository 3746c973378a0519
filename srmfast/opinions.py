"""Second opinions: other readings of whether rows align with a basis, in one table that says where they agree."""

import math
from collections import Counter
from dataclasses import asdict, dataclass

from srmfast import kurtosis, references
from srmfast.errors import require
from srmfast.excerpts import probability
from srmfast.family import LEVEL
from srmfast.spectrum import Spectrum, spectrum

_DECIDED = ("aligned", "anti-aligned", "mixed", "none")


@dataclass(frozen=True)
class Opinion:
    """One reading.

    Attributes
    ----------
    reading : str
    value, low, high : float
        What it measures, with its 95 % interval; NaN where there is none.
    p : float
        Two-sided, against random rotations of the basis (Gaussian rows for the surrogate); NaN where there is no test.
    says : str
        "aligned", "anti-aligned", "mixed", "none" or "undecided".
    votes : bool
        Whether it is one of those counted; the others are parts of one of them, or say something else.
    words : str
        The reading in a sentence.
    """

    reading: str
    value: float
    low: float
    high: float
    p: float
    says: str
    votes: bool
    words: str


@dataclass(frozen=True)
class Opinions:
    """All readings of one result.

    Attributes
    ----------
    rows : tuple of Opinion
    overall : str
        Where they agree, in a line.
    spectrum : Spectrum or None
        The effect by ε; None without rotations.
    kurtosis : srmfast.kurtosis.Kurtosis or None
        Likewise.
    likeness : srmfast.references.Likeness or None
        The mean curve beside those of sums of basis vectors.
    norms : dict or None
        How long the rows are: median, quantiles, shares over 10 and 100 times the median.
    """

    rows: tuple
    overall: str
    spectrum: Spectrum | None
    kurtosis: object
    likeness: object
    norms: dict | None

    def __getitem__(self, reading):
        found = [row for row in self.rows if row.reading == reading]
        if not found:
            raise KeyError(reading)
        return found[0]

    def __str__(self):
        return "\n".join(lines(self))

    def to_dataframe(self):
        """Return one row for each reading, as a pandas DataFrame."""
        pandas = require("pandas", purpose="to_dataframe")
        return pandas.DataFrame([asdict(row) for row in self.rows])


def gather(result):
    """Return the `Opinions` of a `Result`; of one without rotations, those that need none."""
    rows, alignment, scales, tails = [], None, None, None
    if result.null_phase is not None:
        alignment = result.alignment()
        scales = spectrum(alignment)
        rows += _spotlight(alignment, scales)
    if result.null_kurtosis is not None:
        tails = kurtosis.kurtosis_of(result, alignment.units)
        rows += _tails(tails)
    like = references.likeness(result)
    if like is not None:
        rows.append(_reference(like))
    if alignment is not None:
        rows += _others(alignment)
    norms = result.norms and result.norms.describe()
    if norms:
        rows.append(_norms(norms, result.null_norm))
    return Opinions(tuple(rows), _overall(rows, alignment is not None), scales, tails, like, norms)


def _spotlight(alignment, scales):
    effect = alignment.effect
    rows = [
        Opinion(
            "spotlight", effect.size, effect.low, effect.high, alignment.p, alignment.verdict, True,
            f"rows near a plane point along its vectors and not between them; {scales}",
        )
    ]  # fmt: skip
    return rows + [
        Opinion(
            f"spotlight at ε = {one.epsilon:g}", one.size, one.low, one.high, one.p, one.verdict, False,
            f"in cones of {one.degrees:.0f}°, on {one.pairs:,} pairs of a row and a plane",
        )
        for one in (scales.scales if len(scales.scales) > 1 else ())
    ]  # fmt: skip


def _tails(tails):
    if tails is None:
        nan = math.nan
        return [
            Opinion("kurtosis, mean", nan, nan, nan, nan, "undecided", True, "no coordinate of the rows drawn varies")
        ]
    told = ", ".join(str(one.vector) for one in tails.coordinates[:5])
    told += f" and {len(tails.coordinates) - 5} more" if len(tails.coordinates) > 5 else ""
    stand = f"beyond all coordinates of nearly all rotations: {told}" if told else "none is beyond those of rotations"
    far = tails.highest if tails.single.p_aligned <= tails.single.p_anti else tails.lowest
    return [
        Opinion(
            "kurtosis, mean", tails.size, tails.low, tails.high, tails.mean.p, tails.mean.verdict, True,
            f"excess kurtosis of {tails.vectors:,} coordinates: {tails.own:+.2f}, and {tails.rotated:+.2f} along rotations",
        ),
        Opinion(
            "kurtosis, single", far - tails.rotated, math.nan, math.nan, tails.single.p, tails.single.verdict, True,
            f"coordinates run from {tails.lowest:+.2f} to {tails.highest:+.2f}; {stand}",
        ),
    ]  # fmt: skip


def _reference(like):
    best = min(like.fits, key=lambda fit: fit.unexplained)
    says = "undecided" if like.like is None else "aligned" if like.like == 1 else "anti-aligned"
    return Opinion("reference curves", best.explained, math.nan, math.nan, math.nan, says, True, str(like))


def _others(alignment):
    found = alignment.verdict in ("aligned", "anti-aligned", "mixed")
    beyond = found and not alignment.explained
    says = alignment.verdict if beyond else "none" if found else alignment.verdict
    words = f"{'more' if beyond else 'no more'} than Gaussian rows with their mean and covariance"
    words = words if found else "no alignment that mean and covariance could explain"
    pair = alignment.pair
    return [
        Opinion("surrogate", math.nan, math.nan, math.nan, alignment.p_surrogate, says, True, words),
        Opinion(
            "other mean", math.nan, math.nan, math.nan, pair.p, pair.verdict, True,
            "the same rows as stored" if alignment.centred else "the same rows with their mean subtracted",
        ),
    ]  # fmt: skip


def _norms(norms, frames):
    value, beyond, p = kurtosis.related(frames) if frames is not None else (math.nan,) * 3
    some = f"{norms['over_10']:.2%} of the rows are" if norms["over_10"] else "no row is"
    spread = f"{some} longer than 10 times the median norm {norms['median']:.3g}"
    if math.isnan(p):
        return Opinion("norms", math.nan, math.nan, math.nan, math.nan, "undecided", False, spread)
    related = p <= LEVEL
    told = f"longer rows lie on fewer vectors (rank correlation {value:+.2f}, {value - beyond:+.2f} along rotations)"
    if beyond < 0:
        told = told.replace("fewer", "more")
    words = told if related else f"norms and alignment are not related (rank correlation {value:+.2f})"
    says = ("aligned" if beyond > 0 else "anti-aligned") if related else "none"
    return Opinion("norms", beyond, math.nan, math.nan, p, says, False, f"{words}; {spread}")


def _overall(rows, compared):
    """Say where the readings agree."""
    votes = [row for row in rows if row.votes]
    decided = [row for row in votes if row.says in _DECIDED]
    if not decided:
        return "no reading decides" + ("" if compared else "; run again with --null 99")
    counted = Counter(row.says for row in decided).most_common()
    first = votes[0].says
    word = first if counted[0][1] == dict(counted).get(first, 0) else counted[0][0]
    others = [f"{row.reading} ({row.says})" for row in votes if row.says != word]
    agree = len(votes) - len(others)
    if 2 * agree < len(votes):
        every = ", ".join(f"{row.reading} ({row.says})" for row in votes)
        return f"{len(votes)} readings do not agree: {every}" + (
            "" if compared else "; without --null there is no test"
        )
    head = f"all {agree} readings agree: {word}" if not others else f"{agree} of {len(votes)} readings agree: {word}"
    if len(votes) == 1:
        head = f"one reading: {word}"
    listed = ", ".join(others[:-1]) + (" and " if len(others) > 1 else "") + "".join(others[-1:])
    said = f"; {listed} {'do' if len(others) > 1 else 'does'} not" if others else ""
    return head + said + ("" if compared else "; without --null there is no test")


def lines(opinions):
    """Return the table as text, a line for each reading, and the overall line."""
    head = f"{'reading':<24} {'value':>7}  {'interval':<16} {'p':>6}  says"
    found = [head]
    for row in opinions.rows:
        value = "" if math.isnan(row.value) else f"{row.value:+.2f}"
        interval = "" if math.isnan(row.low) else f"[{row.low:+.2f}, {row.high:+.2f}]"
        p = "" if math.isnan(row.p) else probability(row.p)
        found.append(f"{row.reading:<24} {value:>7}  {interval:<16} {p:>6}  {row.says}")
    return [*found, opinions.overall]


def brief(result):
    """Return what `srmfast show` says beside a verdict: where readings agree, and what the curve is most like; [] without rotations."""
    if result.null_phase is None:
        return []
    found = gather(result)
    said = [found.overall]
    if found.kurtosis is not None:
        tails = found.kurtosis
        stand = f", {len(tails.coordinates)} of {tails.vectors:,} coordinates stand out" if tails.coordinates else ""
        said.append(
            f"kurtosis {tails.own:+.2f} ({tails.rotated:+.2f} along rotations, p = {probability(tails.p)}{stand})"
        )
    if found.likeness is not None:
        said.append(str(found.likeness))
    if len(found.spectrum.scales) > 1 and found.spectrum.peak is not None:
        said.append(str(found.spectrum))
    return said
