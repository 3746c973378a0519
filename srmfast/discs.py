"""Figures of projections: planes seen from above, each a disc of cells coloured by how many rows lie there."""

import math

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm

from srmfast._notes import Notes
from srmfast.errors import InputError, meant
from srmfast.excerpts import number, plural, shorten
from srmfast.plots import STYLE, basis_words, check_picture, finish, new_figure, positions, refuse_options, save_figure
from srmfast.projection import Projection
from srmfast.results import Results

PANELS = 12  # discs in one figure, at most
_ACROSS = 4
_PLANES = 3  # of the planes with most rows, beside the disc of all planes
_RATIO = 1_000.0  # farther than this from what is expected, colours are cut off
_SEEN = 1.0  # rows expected in a cell from which an empty one says something
_VECTOR = "0.15"


def plot(projection, path=None, *, epsilon=None, label=None, planes=None, against="auto", dpi=200, **other):
    """Draw projections as discs.

    Parameters
    ----------
    projection : Projection or Projections
        Several become a strip: one disc each, in their order. Of a single one, labels or epsilons become discs where there
        are several of them, otherwise the planes with most rows stand beside the sum of all.
    path : str or Path, optional
        Where to save the figure: .png, .pdf or .svg.
    epsilon : float, optional
        Of those in the projection; the first when omitted.
    label : str, optional
        Rows of one label.
    planes : int or sequence of (i, j), optional
        Draw so many planes with most rows, or these.
    against : str or Projection
        `isotropic`: how many times as many rows as isotropic ones of the same norms would give; `none`: rows in a cell;
        the name of one of several bases, or a Projection: how many times as many as there; `auto`: whichever says
        something.
    dpi : int
    **other
        Options of other kinds of results, refused when they are set.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        An option that does not apply, or a file that cannot be written.
    """
    refuse_options("a projection", other)
    path = check_picture(path)
    with matplotlib.rc_context(STYLE):
        figure = _draw(projection, epsilon, label, planes, against)
        if path is not None:
            save_figure(figure, path, dpi)
    return figure


def _draw(projection, epsilon, label, planes, against):
    several = isinstance(projection, Results)
    members = list(projection.values()) if several else [projection]
    null, members_named = against if isinstance(against, Projection) else None, None
    if several:
        members_named = _names(projection)
        if null is None and against not in ("auto", "isotropic", "none"):
            nulls = {store: one for (store, basis), one in projection.items() if basis == against}
            if not nulls:
                raise InputError(
                    f"against must be auto, isotropic, none or a basis of the run, got {against!r}{meant(against, ['isotropic', 'none', *(basis for _, basis in projection)])}"
                )
            null = nulls
    elif null is None and against not in ("auto", "isotropic", "none"):
        raise InputError(
            f"against must be auto, isotropic or none for a single basis, got {against!r}; run both at once"
        )
    discs = _discs(projection, members, members_named, epsilon, label, planes, null)
    left = len(discs) - PANELS
    discs = discs[:PANELS]
    mode = _mode(discs, against, null)
    columns = min(len(discs), _ACROSS)
    figure = new_figure(max(5.2, 2.15 * columns + 1.0), 2.15 * math.ceil(len(discs) / columns) + 0.75)
    grid = figure.add_gridspec(math.ceil(len(discs) / columns), columns)
    values = [disc.values(mode) for disc in discs]
    norm, style, words, notes = _colours(values, mode)
    axes = []
    for n, (disc, value) in enumerate(zip(discs, values, strict=True)):
        axes.append(figure.add_subplot(grid[divmod(n, columns)]))
        mesh = _disc(axes[-1], disc, np.clip(value, norm.vmin, norm.vmax), norm, style)
    disc_bar(axes, mesh, words)
    notes += [f"{plural(left, 'disc')} left out"] if left > 0 else []
    beyond = max((disc.beyond / max(disc.accepted, 1) for disc in discs), default=0.0)
    notes += [f"up to {beyond:.1%} of the rows lie beyond the last ring"] if beyond > 5e-4 else []
    return finish(figure, _title(projection, members, discs, several), Notes(*notes))


def disc_into(axes, projection, epsilon, label, plane, against):
    """Draw one plane of one projection, or the sum of all, into axes.

    Returns
    -------
    name : str
    mesh, words
        For `disc_bar`.
    """
    null = against if isinstance(against, Projection) else None
    if null is None and against not in ("auto", "isotropic", "none"):
        raise InputError(f"against must be auto, isotropic, none or a Projection, got {against!r}")
    epsilon = float(projection.epsilon[0]) if epsilon is None else epsilon
    planes = [] if plane is None else [tuple(int(n) for n in plane)]
    *_, one = _discs(projection, [projection], None, epsilon, label, planes, null)
    values = one.values(_mode([one], against, null))
    norm, style, words, _ = _colours([values], _mode([one], against, null))
    return one.name, _disc(axes, one, np.clip(values, norm.vmin, norm.vmax), norm, style), words


def disc_bar(axes, mesh, words):
    """Give a disc, or a list of them, a colour bar."""
    figure = (axes[0] if isinstance(axes, list) else axes).figure
    bar = figure.colorbar(mesh, ax=axes, shrink=0.75, aspect=18, pad=0.03, label=words)
    bar.outline.set_visible(False)
    _ticks(bar, mesh.norm)


def _mode(discs, against, null):
    """Return what counts are compared with: where isotropic rows would hardly come near a plane, not with these."""
    if null is not None or against != "auto":
        return "null" if null is not None else against
    return "isotropic" if all(disc.expected.sum() * 1e3 > 1 for disc in discs) else "none"


class _Disc:
    """One disc: cells, what is expected in them, and the plane's two directions."""

    def __init__(self, name, one, c, e, plane=None, null=None):
        self.name, self.extent, self.epsilon = name, one.extent, float(one.epsilon[e])
        self.planes = one.planes_total if plane is None else 1
        self.cells = (one.total if plane is None else one.counts[:, :, plane])[c, e].astype(float)
        self.beyond = int((one.total_beyond if plane is None else one.beyond[:, :, plane])[c, e])
        self.accepted = int(self.cells.sum()) + self.beyond
        self.expected = np.broadcast_to(one.expected[c, e, :-1] * self.planes, self.cells.shape)
        angles = one.plane_angle if plane is None else one.plane_angle[plane : plane + 1]
        self.angle = float(angles[0]) if angles.size and np.ptp(angles) < 1e-3 else None
        self.both = (one.basis @ one.basis[0]).min() < -1 + 1e-9
        self.null = null and null.total[c, e] * (one.rows[c] * self.planes / max(null.rows[c] * null.planes_total, 1))

    def values(self, mode):
        """Return what is drawn in each cell, NaN for nothing."""
        if mode == "none":
            return np.where(self.cells > 0, self.cells, np.nan)
        expected = self.expected if mode == "isotropic" else self.null
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.cells / expected
        return np.where((self.cells > 0) | (expected >= _SEEN), ratio, np.nan)


def _discs(projection, members, names, epsilon, label, planes, null):
    first = members[0]
    e = 0 if epsilon is None else positions(first, epsilon)[0]
    labels = [str(name) for name in first.label]
    if label is not None and str(label) not in labels:
        raise InputError(f"label must be one of {', '.join(labels[:12])}, got {label!r}{meant(label, labels)}")
    if names is not None:
        found = []
        for (store, _), one, name in zip(projection, members, names, strict=True):
            at = [str(other) for other in one.label].index(str(label)) if label is not None else None
            against = null[store] if isinstance(null, dict) else null
            if one is not against:
                found.append(
                    _Disc(name, _pooled(one) if at is None else one, at or 0, e, null=against and _pooled(against))
                )
        return found
    null = null and (_pooled(null) if label is None and len(labels) == 1 else null)
    if label is None and len(labels) > 1 and planes is None:
        order = np.argsort(-first.total_accepted[:, e], kind="stable")
        return [_Disc(labels[c], first, c, e, null=null) for c in order if first.rows[c]]
    if epsilon is None and first.epsilon.size > 1 and planes is None:
        one, c = (_pooled(first), 0) if label is None else (first, labels.index(str(label)))
        return [_Disc(f"ε = {number(value)}", one, c, at, null=null) for at, value in enumerate(first.epsilon)]
    one, c = (_pooled(first), 0) if label is None else (first, labels.index(str(label)))
    most = np.argsort(-one.accepted[c, e], kind="stable")
    if planes is None or isinstance(planes, (int, np.integer)):
        wanted = _PLANES if planes is None else int(planes)
        chosen = [at for at in most[:wanted] if one.accepted[c, e, at]]
    else:
        where = {pair: at for at, pair in enumerate(zip(one.plane_i.tolist(), one.plane_j.tolist(), strict=True))}
        missing = [tuple(pair) for pair in planes if tuple(pair) not in where]
        if missing:
            raise InputError(f"planes must be among those kept, got {missing[0]}; project again with --keep all")
        chosen = [where[tuple(pair)] for pair in planes]
    whole = [] if one.planes_total == 1 and chosen else [_Disc(plural(one.planes_total, "plane"), one, c, e, null=null)]
    return whole + [_Disc(f"plane {one.plane_i[at]}, {one.plane_j[at]}", one, c, e, at) for at in chosen]


def _pooled(one):
    """Return a projection with one label, the sum over its labels."""
    if one.label.size == 1:
        return one
    from dataclasses import replace

    def of(array):
        return array.sum(axis=0, keepdims=True)

    return replace(
        one, counts=of(one.counts), beyond=of(one.beyond), total=of(one.total), total_beyond=of(one.total_beyond),
        expected=of(one.expected), rows_used=one.rows_used.sum(axis=1, keepdims=True), label=np.array(["all"]),
    )  # fmt: skip


def _names(projection):
    """Return what tells several projections apart."""
    stores, bases = ({key[n] for key in projection} for n in (0, 1))
    if len(bases) == 1:
        return [shorten(store, 24) for store, _ in projection]
    if len(stores) == 1:
        return [shorten(basis, 24) for _, basis in projection]
    return [f"{shorten(store, 20)}\n{shorten(basis, 20)}" for store, basis in projection]


def _colours(values, mode):
    seen = np.concatenate([value[np.isfinite(value) & (value > 0)] for value in values])
    notes = []
    if mode == "none":
        low, high = (seen.min(), seen.max()) if seen.size else (0.5, 1.0)
        return LogNorm(low, max(high, 1.5 * low)), "viridis", "rows in a cell", notes
    low, high = np.quantile(seen, [0.005, 0.995]) if seen.size else (1.0, 1.0)
    span = float(np.clip(max(high, 1 / low), 1.5, _RATIO))
    words = "rows / isotropic rows" if mode == "isotropic" else "rows / those of the null"
    return LogNorm(1 / span, span), "PuOr_r", words, notes


def _disc(axes, disc, values, norm, style):
    sectors, rings = values.shape
    angle = (np.arange(sectors + 1) - 0.5) * 2 * np.pi / sectors
    distance = np.linspace(0.0, disc.extent, rings + 1)
    x, y = np.outer(np.cos(angle), distance), np.outer(np.sin(angle), distance)
    mesh = axes.pcolormesh(x, y, values, norm=norm, cmap=style, rasterized=True, edgecolors="none")
    turn = np.linspace(0, 2 * np.pi, 361)
    axes.plot(disc.extent * np.cos(turn), disc.extent * np.sin(turn), color="0.6", lw=0.6)
    directions = [(0.0, "$b_i$")] + ([] if disc.angle is None else [(disc.angle, "$b_j$")])
    if disc.both:
        directions += [(at + np.pi, name.replace("$b", "$-b")) for at, name in directions]
    for at, name in directions:
        end = disc.extent * np.array([np.cos(at), np.sin(at)])
        axes.plot(*(np.outer(end, [1.0, 1.05])), color=_VECTOR, lw=1.2, clip_on=False)
        axes.text(*(1.2 * end), name, ha="center", va="center", fontsize=8, color=_VECTOR)
    axes.text(
        *(0.98 * disc.extent * np.array([0.7071, -0.7071])), f" {number(disc.extent)}", ha="left", va="top", fontsize=7,
        color="0.4",
    )  # fmt: skip
    axes.set(
        aspect="equal",
        xticks=[],
        yticks=[],
        xlim=np.array([-1.31, 1.31]) * disc.extent,
        ylim=np.array([-1.31, 1.31]) * disc.extent,
    )
    axes.spines[:].set_visible(False)
    axes.set_title(disc.name, loc="center", parse_math=False)
    return mesh


def _ticks(bar, norm):
    exponents = range(math.floor(math.log10(norm.vmin)), math.ceil(math.log10(norm.vmax)) + 1)
    steps = (1, 2, 5) if len(exponents) <= 3 else (1, 3) if len(exponents) <= 4 else (1,)
    ticks = [step * 10.0**n for n in exponents for step in steps if norm.vmin <= step * 10.0**n <= norm.vmax]
    ticks = ticks or [norm.vmin, norm.vmax]
    bar.set_ticks(ticks, labels=[f"{tick:g}" if 1 <= tick < 1e4 else number(tick) for tick in ticks])
    bar.minorticks_off()


def _title(projection, members, discs, several):
    attrs, epsilons = members[0].attrs, sorted({disc.epsilon for disc in discs})
    words = (
        []
        if several and len({one.attrs["store_name"] for one in members}) > 1
        else [shorten(str(attrs["store_name"]), 40)]
    )
    if len({one.attrs["basis_name"] for one in members}) == 1:
        words.append(basis_words(str(attrs["basis_name"])))
    words += [plural(int(members[0].rows.sum()), "row")] if len({int(one.rows.sum()) for one in members}) == 1 else []
    planes = {one.planes_total for one in members}
    words += [plural(planes.pop(), "plane")] if len(planes) == 1 else []
    words += [f"ε = {', '.join(number(value) for value in epsilons)}"] if len(epsilons) == 1 else []
    return " · ".join(words)
