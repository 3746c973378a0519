"""The sections of one result: verdict, picture, references, highest planes, labels, rows, origin."""

import math

import numpy as np

from srmfast.errors import InputError
from srmfast.excerpts import first_hit, label_peaks, number, part, plural, shared_angle, shorten, times
from srmfast.oscillation import on_and_midway
from srmfast.page.ensemble import chart
from srmfast.page.neurons import neurons_table
from srmfast.page.provenance import provenance
from srmfast.page.rows import rows_section
from srmfast.page.second import opinions_section
from srmfast.page.sections import Cell, Column, Section, Table
from srmfast.page.strata import strata_section
from srmfast.page.verdict import verdict
from srmfast.results import centre_of_peak

_PLANES, _LABELS = 50, 200  # rows of a table, at most


def spotlight(result, name, file, room, key, *, folded=False):
    """Return the section of a result, and the numbers of its chart.

    Parameters
    ----------
    result : Result
    name : str
    file : str or None
        Where it is saved.
    room : int
        Characters that the counts may take, about.
    key : str
        Under which the page holds the numbers.
    folded : bool

    Returns
    -------
    Section, dict
    """
    judged = verdict(result)
    epsilon = (judged.verdict.effect or {}).get("epsilon")  # where the verdict is clearest
    drawn, data = chart(result, name, room, key, epsilon)
    data["verdict"] = judged.verdict.word
    parts = [
        Section("In numbers", tables=(_references(result),), words=(_HOW,)),
        Section("Highest planes", tables=(top_planes(result),)) if result.counts.size else None,
        opinions_section(result),
        strata_section(result),
        _labels(result),
        _neurons(result),
        rows_section(result.attrs),
        provenance(result, file),
    ]
    k, d = result.basis.shape
    return Section(
        name, words=(_about(result, k, d),), verdict=judged.verdict, charts=(drawn,), facts=judged.facts,
        parts=tuple(filter(None, parts)), folded=folded,
    ), data  # fmt: skip


_HOW = (
    "The mean of all planes, in numbers. High on b_i and b_j and low midway: rows gather along the basis. The other way round: they keep "
    "between its vectors. Isotropic rows, without any preferred direction, would give the last column at every angle."
)


def _about(result, k, d):
    name = str(result.attrs["basis_name"])
    basis = f"the {name} basis" if name in ("standard", "plusminus") else f"the basis “{name}”"
    how = (
        "all counted exactly"
        if result.attrs["kept"] in ("all", "hit")
        else f"counted exactly; kept: {result.attrs['kept']}"
    )
    centred = ", their mean subtracted" if result.attrs.get("centred") else ""
    return (
        f"{plural(result.attrs['rows']['used'], 'row')} of {result.attrs['store_name']}{centred}, against {basis}: {plural(k, 'vector')} of width "
        f"{d:,}, {plural(result.planes_total, 'plane')}, {how}, at {result.angle.size:,} angles."
    )


def _references(result):
    """Return the table of ε: what the mean of all planes does, all labels together."""
    pooled, rows = part(result), []
    shared = shared_angle(pooled)
    for epsilon, curve, isotropic in zip(pooled.epsilon, pooled.mean()[0], pooled.null(), strict=True):
        on, midway = on_and_midway(curve, shared)
        at = 0.0 if curve[0] == curve.max() else math.degrees(pooled.angle[centre_of_peak(curve)])
        angle = math.degrees(math.acos(epsilon))
        rows.append(
            (
                _shown(epsilon), Cell(f"{angle:.0f}°", angle), _shown(curve.max()), Cell(f"{at:.0f}°", at), _shown(on),
                _shown(midway), _ratio(on, midway), _shown(isotropic),
            )
        )  # fmt: skip
    on_name = "on b_i" if shared is None else "on b_i, b_j"
    heads = (
        ("ε", "cosine of the half-angle of the cone"), ("half-angle", ""),
        ("peak", "highest share of rows in the cone, mean of all planes"), ("at", "angle of that peak from b_i"),
        (on_name, "that mean on the basis vectors"), ("midway", "that mean midway between them, where all planes have one angle"),
        ("on/midway", "the one over the other"), ("isotropic rows", "what rows without any preferred direction give"),
    )  # fmt: skip
    columns = tuple(Column(*head, numeric=True) for head in heads)
    return Table("Mean of all planes, all labels together", columns, tuple(rows))


def _ratio(on, midway):
    if midway is None:
        return Cell("")
    if midway:
        return Cell(times(on / midway), on / midway)
    return Cell("none midway" if on else "no row")


def top_planes(result):
    """Return the table of the kept planes with the highest peaks, all labels together."""
    pooled = part(result)
    heldout = result.counts_heldout is not None
    rows = []
    highest, twins = {}, 0
    for found in pooled.top_planes(2 * _PLANES):
        if not found["fraction"]:
            break
        key = frozenset((found["plane_i"], found["plane_j"]))
        twins += key in highest  # j → i mirrors i → j
        highest.setdefault(key, found)
    for found in list(highest.values())[:_PLANES]:
        i, j = found["plane_i"], found["plane_j"]
        at, between = math.degrees(found["angle"]), math.degrees(found["plane_angle"])
        row = [
            Cell(f"{i} → {j}", i * 1e6 + j, (i, j)), _shown(found["fraction"]), _shown(found["epsilon"]),
            Cell(f"{at:.0f}°", at), Cell(f"{between:.1f}°", between),
        ]  # fmt: skip
        rows.append((*row, _shown(found["fraction_heldout"])) if heldout else tuple(row))
    heads = [
        ("plane", "the spotlight turns from b_i toward b_j"), ("peak", "highest share of rows in the cone"), ("ε", "where"),
        ("at", "angle of the peak from b_i"), ("between", "angle between b_i and b_j"),
    ]  # fmt: skip
    heads += [("held out", "the same on rows that did not choose the planes")] if heldout else []
    left = result.plane_i.size - len(rows)
    more = f"{plural(left, 'plane')} with lower peaks or none{', or in the other order,' * bool(twins)} left out"
    note = f"{more}; srmfast show RESULT --csv writes all" if left > 0 else ""
    return Table("Planes by their peak", tuple(Column(*head, numeric=True) for head in heads), tuple(rows), note)


def _labels(result):
    """Return the section of labels, None when there is one."""
    if result.label.size < 2:
        return None
    at = first_hit(result)
    peaks, means = label_peaks(result, at), result.mean()[:, at]
    order = np.argsort(-peaks, kind="stable")[:_LABELS]
    rows = tuple(
        (
            Cell(str(result.label[c])),
            Cell(f"{result.rows[c]:,}", int(result.rows[c])),
            _shown(peaks[c]),
            _shown(means[c].max()),
        )
        for c in order
    )
    left = result.label.size - order.size
    columns = (
        Column("label"), Column("rows", numeric=True), Column("peak", "highest share of its rows in the cone, of any plane", True),
        Column("mean peaks", "highest share, mean of all planes", True),
    )  # fmt: skip
    note = f"{plural(left, 'label')} with lower peaks left out" if left else ""
    return Section(
        "Labels", tables=(Table(f"Labels by their peak at ε = {number(result.epsilon[at])}", columns, rows, note),)
    )


def _neurons(result):
    """Return the classes of the vectors, None where there are no labels or a result cannot tell."""
    if result.label.size < 2:
        return None
    try:
        found = result.neurons()
    except InputError:
        return None
    if not found.table(1):
        return None
    words = f"Rows in the cone of each basis vector at ε = {number(found.epsilon)} and of its opposite, by label. For a test against chance: srmfast neurons, on the rows."
    return Section("Which label each basis vector answers to", words=(words,), tables=(neurons_table(found),))


def _shown(value):
    return Cell("") if value is None else Cell(number(float(value)), float(value))


def name_of(store, basis):
    """Name a member."""
    return f"{shorten(str(store), 60)} × {shorten(str(basis), 40)}"
