"""One call of every kernel that a run can need."""

import numpy as np

from srmfast.angles import angle_table
from srmfast.bases import load_basis
from srmfast.engine.basis import PreparedBasis, Way, listed_pairs
from srmfast.engine.block import Worker
from srmfast.engine.collect import SharedDrawn, SharedNorms, SharedRepeats, SharedSums
from srmfast.engine.cones import SharedMembers
from srmfast.engine.reading import Pass
from srmfast.engine.stored import bits
from srmfast.kernels.arcs import wrap_table
from srmfast.kernels.arguments import Grid
from srmfast.kernels.expand import add_counts
from srmfast.planes import Geometry, choose_planes


def warm(dtype, *, centred=False, counter=np.int32, task="count"):
    """Run every kernel of a task once on two tiny rows, so that compiling happens in one thread and at a known time."""
    raw = np.ones((2, 2), bits(dtype))
    common = dict(
        dtype=dtype, d=2, selection=_AllRows(), epsilons=np.array([0.5]), table=wrap_table(*angle_table(8)),
        nonfinite="skip", block_rows=2, counter=counter,
        grid=Grid(*(np.array(table) for table in angle_table(8)), 1, 1.0) if task == "project" else None,
    )  # fmt: skip
    add_counts(np.zeros((1, 1, 1, 9), counter), *np.zeros((2, 1), np.int64), 0, 1, np.zeros((1, 1, 1, 8), np.int64))
    passes = [(np.zeros(2), None)] if centred else [(None, SharedSums(2)), (None, None)]
    Worker(
        Pass(
            bases=(),
            ledgers=(),
            mean=None,
            sums=None,
            norms=SharedNorms(),
            repeats=SharedRepeats(2),
            drawn=SharedDrawn(2, 2, 0, 1),
            limit=9.0,
            **common,
        )
    ).count(raw, 0)
    if task == "members":
        for vectors in (np.eye(2), np.array([[0.6, 0.8], [1.0, 0.0]])):
            shared = SharedMembers(load_basis(vectors, 2), 0.5, _OneClass, 2, 1.0, 0)
            mean = np.zeros(2) if centred else None
            Worker(Pass(bases=(), ledgers=(), mean=mean, sums=None, members=shared, **common)).count(raw, 0)
        return
    if centred:  # what finds the mean
        Worker(Pass(bases=(), ledgers=(), mean=None, sums=SharedSums(2), **common)).count(raw, 0)
    for vectors in ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.6, 0.8]]):
        basis = load_basis(np.array(vectors), 2)
        geometry = Geometry.of(basis)
        planes = choose_planes("permutations", basis, geometry)
        i, j = geometry.near(0.5) if not geometry.orthogonal else (np.zeros(1, np.int32), np.ones(1, np.int32))
        near = listed_pairs(planes.numbering, True, i, j, *geometry.of_pairs(i, j))
        for way in (Way(), Way("search", cut=0.5, near=near)):
            prepared = PreparedBasis(basis, geometry, planes, "none", 8, way)
            for mean, sums in passes:
                some = dict(bases=(prepared,), ledgers=(None,), mean=mean, sums=sums, phase=True)
                Worker(Pass(**some, **common)).count(raw, 0)


class _OneClass:
    """The classes of `warm`."""

    names = np.array(["all"])

    @staticmethod
    def lists(rows, labels):
        return np.arange(rows.size + 1), labels


class _AllRows:
    """The selection of `warm`."""

    label_names = np.array(["all"])

    def keep(self, start, stop):
        return None, stop - start, {}

    def labels(self, rows):
        return np.zeros(rows.size, np.int32)

    def folds(self, rows):
        return np.zeros(rows.size, np.uint8)
