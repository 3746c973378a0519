"""Projections on planes: which rows a plane accepts and where they lie, against the definition and the author's function."""

import numpy as np
import pytest
from cases import BASES, ROWS, basis, rows

import srmfast
from srmfast import naive
from srmfast.bases import load_basis
from srmfast.compat import PrivilegedPlaneProjectiveMethod
from srmfast.engine.projecting import project


def definition(x, found):
    pairs = list(zip(found.plane_i.tolist(), found.plane_j.tolist(), strict=True))
    sectors, rings = found.total.shape[2:]
    return naive.projected(x, found.basis, pairs, found.epsilon, sectors, rings, found.extent)


def cells(found):
    flat = found.counts.reshape(*found.counts.shape[:3], -1)
    return np.concatenate([flat, found.beyond[..., None]], axis=-1)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("vectors", BASES)
def test_cells_are_those_of_the_definition(kind, vectors, rng):
    x, b = rows(kind, 300, 8, rng), basis(vectors, 8, rng)
    x[7] = 0
    found = project(x, b, epsilon=[0.9, 0.5, -1.0], planes="permutations", sectors=16, rings=5, extent=2.0, keep="all")
    wanted = definition(x, found)
    assert (cells(found)[0] == wanted).all()
    assert (found.total[0].reshape(3, -1) == wanted[..., :-1].sum(axis=1)).all()
    zero = int((naive.pinned_dot(x.astype(np.float64), x.astype(np.float64)) == 0).sum())
    assert found.attrs["rows"]["zero_norm"] == zero and (found.accepted[0, 2] == 300 - zero).all()
