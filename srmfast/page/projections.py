"""The sections of a projection: the planes seen from above, as discs of cells, and the planes with most rows."""

import numpy as np

from srmfast.excerpts import number, plural
from srmfast.page.blocks import encode, encode_rounded
from srmfast.page.provenance import provenance
from srmfast.page.rows import rows_section
from srmfast.page.sections import Cell, Chart, Column, Section, Table

_PLANES, _SUBSETS = 50, 24
_SEEN = 1e-3  # expected rows in all, below which isotropic rows are nothing to compare with


def projection_section(found, name, file, key, *, folded=False):
    """Return the section of a projection, and the numbers of its chart.

    Parameters
    ----------
    found : Projection
    name : str
    file : str or None
        Where it is saved.
    key : str
        Under which the page holds the numbers.
    folded : bool

    Returns
    -------
    Section, dict
    """
    head, *lines = found.summary().splitlines()
    words = [
        f"{head}. Each cell is coloured by how many rows that are close to a plane lie there; b_i points to the right."
    ]
    said = [line.strip() for line in lines if line[2:11].strip() not in ("rows", "plane")]
    facts = (("What lies there", tuple(said)),) if said else ()
    drawn = Chart(
        "discs", {"panels": [key]},
        f"{name} seen from above: a disc of {found.total.shape[2]} sectors and {found.total.shape[3]} rings, summed over all "
        f"{found.planes_total:,} planes.",
    )  # fmt: skip
    parts = (
        *([Section("Planes with most rows", tables=(_planes(found),))] if found.accepted.any() else []),
        rows_section(found.attrs),
        provenance(found, file),
    )
    return Section(name, tuple(words), facts=facts, charts=(drawn,), parts=parts, folded=folded), discs(found, name)


def discs(found, name):
    """Return the numbers of a disc, by label and ε."""
    compared = bool(found.expected.sum() > _SEEN)
    order = np.argsort(-found.total_accepted.sum(axis=1), kind="stable")[:_SUBSETS]
    views = []
    for c in order:
        label = str(found.label[c])
        views.append(
            {
                "name": "all rows" if label == "all" else label,
                "cells": [encode(cells) for cells in found.total[c]],
                "expected": [encode_rounded(ring[:-1] * found.planes_total) for ring in found.expected[c]],
            }
        )
    return {
        "name": name,
        "cone": [f"ε = {number(value)}" for value in found.epsilon],
        "extent": float(found.extent),
        "compared": compared,
        "subsets": views,
        "between": float(np.degrees(np.median(found.plane_angle))) if found.plane_angle.size and np.ptp(found.plane_angle) < 1e-3 else None,
    }  # fmt: skip


def _planes(found):
    held = found.accepted.sum(axis=(0, 1))
    order = [plane for plane in np.argsort(-held, kind="stable")[:_PLANES] if held[plane]]
    rows = tuple(
        (
            Cell(f"{found.plane_i[p]}, {found.plane_j[p]}", found.plane_i[p] * 1e6 + found.plane_j[p]),
            Cell(f"{held[p]:,}", int(held[p])),
            Cell(f"{np.degrees(found.plane_angle[p]):.1f}°", float(found.plane_angle[p])),
        )
        for p in order
    )
    columns = (Column("plane", "its two basis vectors", True), Column("rows", "close to it, all labels and ε together", True), Column("between", "angle of its vectors", True))  # fmt: skip
    left = int((held > 0).sum()) - len(rows)
    return Table(
        "Planes by rows", columns, rows, f"{plural(left, 'plane')} with fewer rows left out" if left > 0 else ""
    )
