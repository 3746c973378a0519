"""Which rows take part, and the label and fold of each."""

import copy
import functools

import numpy as np

from srmfast.engine.rules import length_rule, mask_rule, token_rule
from srmfast.errors import InputError
from srmfast.spec import hash_array
from srmfast.stores import expand, load_column
from srmfast.tally import FOLDS

UNLABELLED = "unlabelled"
_LOOKED_AT = 1 << 20  # rows whose folds are counted at once


class RowSelection:
    """Rows of one store after --rows, --sample, the rules of columns and missing chunks, with labels and folds.

    Parameters
    ----------
    store : Store
        Gives n and the row axes.
    rows : str or slice, optional
        START:STOP:STEP over absolute rows.
    sample : int
        Rows drawn without replacement from those of `rows`; 0 for all.
    seed : int
    mask, lengths, tokens, labels, groups : array, path or key, optional
        Aligned to the store's rows before `rows`; see `srmfast.engine.rules` and `srmfast.stores.load_column`.
    padding : {"right", "left"}
        Side of a sequence that is padded beyond its length.
    exclude_tokens : tuple of int
        Token ids whose rows are left out.
    missing : list of (start, stop)
        Row intervals to leave out because their chunk is not there.

    Attributes
    ----------
    names : ndarray, (c,) str
        Sorted distinct labels, "unlabelled" last; ("all",) without labels.
    label_names : ndarray
        The name of each label code: `names`, or twice that from `halves`.
    bounds : tuple of int
        START, STOP, STEP.
    sampled : ndarray or None
        Sorted absolute rows of the sample.
    tokens : array, path, key or None
        As given, or as the layout of the store brings them.
    groups : int or None
        How many different groups the store has, where groups are given.
    rules : dict of str to ColumnRule or LengthRule
        By name, in the order in which they apply.
    notes : list of str
        What was found and used without being asked for.
    """

    def __init__(
        self,
        store,
        *,
        rows=None,
        sample=0,
        seed=0,
        mask=None,
        lengths=None,
        padding="right",
        exclude_tokens=(),
        tokens=None,
        labels=None,
        groups=None,
        missing=(),
    ):
        self.n = store.n
        self.bounds = _parse_rows(rows, store.n)
        everything = range(*self.bounds)
        if not len(everything):
            raise InputError(f"--rows must select at least one of the {store.n:,} rows, got {rows}")
        self.sampled = _draw(everything, sample, seed)
        self.missing = np.array(missing, np.int64).reshape(-1, 2)
        self.rules, self.notes = {}, []
        if store.recognised is not None:
            self.notes.append(f"{store.name} {store.recognised.line}")
            mask, lengths, tokens = (
                _brought(store, getattr(store.recognised, name)) if given is None else given
                for name, given in (("mask", mask), ("lengths", lengths), ("tokens", tokens))
            )
        self.tokens = tokens
        if mask is not None:
            self.rules["mask"] = mask_rule(mask, store)
        if lengths is not None:
            self.rules["lengths"] = length_rule(lengths, store, padding)
        if exclude_tokens:
            self.rules["tokens"], found = token_rule(exclude_tokens, tokens, store)
            self.notes += [f"token ids are those of {found}, the array beside the store"] if found else []
        folds = self._fold_column(groups, store)
        self._folds, self.groups = folds and folds[:2], folds and folds[2]
        self.names, self._labels = self._label_column(labels, store)
        self.label_names = self.names
        self._only = self._apart = None
        self.columns = {"labels": self._labels, "groups": self._folds}

    @property
    def everything(self):
        """Whether every row of the store is kept."""
        whole = self.bounds == (0, self.n, 1) and self.sampled is None and self._only is None
        return whole and not self.rules and not len(self.missing)

    def seen(self):
        """Return how many rows --rows and --sample select."""
        return len(range(*self.bounds)) if self.sampled is None else self.sampled.size

    def half(self, seed):
        """Draw whole folds that hold about half of the selected rows, so that groups stay whole.

        Returns
        -------
        ndarray, (64,) bool

        Raises
        ------
        InputError
            All selected rows are in one fold.
        """
        rows = self._rows_of_folds()
        held = np.flatnonzero(rows)
        if held.size < 2:
            raise InputError(
                f"active:P chooses planes on half of the rows and needs some in two of the {FOLDS} folds, got rows in "
                f"{held.size}; use --planes permutations, or rows spread wider"
            )
        order = np.random.Generator(np.random.PCG64([seed, FOLDS])).permutation(held)
        before = np.cumsum(rows[order])[:-1]  # of the first 1, 2 … folds
        drawn = order[: 1 + int(np.argmin(np.abs(2 * before - rows.sum())))]
        return np.isin(np.arange(FOLDS), drawn)

    def _rows_of_folds(self):
        """Count the selected rows of each fold, (64,) int64."""
        if self.everything and self._folds is None:
            return np.diff(-(-np.arange(FOLDS + 1) * self.n // FOLDS))
        rows = np.zeros(FOLDS, np.int64)
        for start in range(0, self.n, _LOOKED_AT):
            stop = min(start + _LOOKED_AT, self.n)
            if self.wants(start, stop):
                keep, _, _ = self.keep(start, stop)
                absolute = np.arange(start, stop)
                rows += np.bincount(self.folds(absolute if keep is None else absolute[keep]), minlength=FOLDS)
        return rows

    def only(self, folds):
        """Return the selection of those of these rows that are in `folds`, (64,) bool."""
        some = copy.copy(self)
        some._only = folds
        return some

    def halves(self, folds):
        """Return the same selection with every label twice: first for the rows in `folds`, then for the others."""
        both = copy.copy(self)
        both.label_names, both._apart = np.tile(self.names, 2), ~folds
        return both

    def wants(self, start, stop):
        """Say whether any row of the interval can be selected by --rows, --sample and fold."""
        if self._only is not None and self._folds is None:
            first, last = start * FOLDS // self.n, (stop - 1) * FOLDS // self.n
            if not self._only[first : last + 1].any():
                return False
        if self.sampled is not None:
            return bool(np.searchsorted(self.sampled, start) < np.searchsorted(self.sampled, stop))
        first, last, step = self.bounds
        low = max(start, first)
        low += -(low - first) % step
        return low < min(stop, last)

    def keep(self, start, stop):
        """Decide about rows start … stop − 1.

        Returns
        -------
        keep : ndarray, (stop − start,) bool, or None
            None when all are kept.
        seen : int
        masked : dict of str to int
            Rows left out by each rule, at the first rule that applies.
        """
        if self.everything:
            return None, stop - start, {}
        keep = np.zeros(stop - start, bool)
        if self.sampled is not None:
            low, high = np.searchsorted(self.sampled, (start, stop))
            keep[self.sampled[low:high] - start] = True
        else:
            first, last, step = self.bounds
            low = max(start, first)
            keep[low + -(low - first) % step - start : max(min(stop, last) - start, 0) : step] = True
        seen = int(keep.sum())
        masked = {}
        for name, rule in self.rules.items():
            keep = self._drop(keep, rule.keeps(start, stop), name, masked)
        if self._only is not None:
            keep = self._drop(keep, self._only[self.folds(np.arange(start, stop))], "other half", masked)
        for low, high in self.missing[(self.missing[:, 0] < stop) & (self.missing[:, 1] > start)]:
            there = np.ones(stop - start, bool)
            there[max(low - start, 0) : high - start] = False
            keep = self._drop(keep, there, "missing chunk", masked)
        return keep, seen, masked

    def labels(self, rows):
        """Return the label codes of absolute rows, int32."""
        if self._apart is not None:
            return self._codes(rows) + self._apart[self.folds(rows)] * np.int32(self.names.size)
        return self._codes(rows)

    def _codes(self, rows):
        if self._labels is None:
            return _zeros(rows.size)
        codes, inner = self._labels
        return codes[rows // inner] if inner > 1 else codes[rows]

    def folds(self, rows):
        """Return the folds of absolute rows, uint8: floor(64·row/n), of the group's first row with groups."""
        if self._folds is not None:
            folds, inner = self._folds
            return folds[rows // inner]
        if rows.size and rows[0] * FOLDS // self.n == rows[-1] * FOLDS // self.n:
            return np.full(rows.size, rows[0] * FOLDS // self.n, np.uint8)
        return (rows * FOLDS // self.n).astype(np.uint8)

    def nbytes(self):
        """Return the bytes that the columns and the sample hold."""
        sample = 0 if self.sampled is None else self.sampled.nbytes
        columns = sum(column[0].nbytes for column in self.columns.values() if column is not None)
        return sample + columns + sum(rule.nbytes for rule in self.rules.values())

    def digest(self):
        """Return a hash of what `only` and `halves` add to the options of a run."""
        return [hash_array(self._only), hash_array(self._apart)]

    @staticmethod
    def _drop(keep, condition, rule, masked):
        after = keep & condition
        gone = int(keep.sum() - after.sum())
        if gone:
            masked[rule] = masked.get(rule, 0) + gone
        return after

    @classmethod
    def _label_column(cls, spec, store):
        if spec is None:
            return np.array(["all"]), None
        values, inner = expand(load_column(spec, store), store.row_shape, "labels")
        gone = np.zeros(values.size, bool)
        if values.dtype.kind == "f":
            gone = np.isnan(values)
        elif values.dtype.kind == "U":
            gone = (values == "") | (values == UNLABELLED)
        names, known = np.unique(values[~gone], return_inverse=True)
        codes = np.full(values.size, names.size, np.int32)
        codes[~gone] = known
        names = names.astype(str)
        return np.append(names, UNLABELLED) if gone.any() else names, (codes, inner)

    @staticmethod
    def _fold_column(spec, store):
        if spec is None:
            return None
        values, inner = expand(load_column(spec, store), store.row_shape, "groups")
        _, first, code = np.unique(values, return_index=True, return_inverse=True)
        return (first[code.reshape(-1)] * inner * FOLDS // store.n).astype(np.uint8), inner, first.size


def _brought(store, key):
    """Load an array beside the store that its layout is known for."""
    return None if key is None else store.sibling(key)


@functools.lru_cache(maxsize=16)
def _zeros(n):
    return np.zeros(n, np.int32)  # read only by all: most blocks have the same size


def _parse_rows(rows, n):
    if rows is None:
        return 0, n, 1
    bounds = rows
    if isinstance(rows, str):
        try:
            parts = [int(part) if part.strip() else None for part in rows.split(":")]
            if not 2 <= len(parts) <= 3:
                raise ValueError
            bounds = slice(*parts)
        except ValueError:
            raise InputError(
                f"--rows must be START:STOP or START:STOP:STEP, got {rows!r}; for example 0:1000"
            ) from None
    whole = isinstance(bounds, slice) and all(
        part is None or isinstance(part, (int, np.integer)) for part in (bounds.start, bounds.stop, bounds.step)
    )
    if not whole or (bounds.step is not None and bounds.step < 1):
        raise InputError(f"--rows needs whole numbers and a STEP of at least 1, got {rows}")
    return bounds.indices(n)


def _draw(everything, sample, seed):
    if not sample:
        return None
    if not isinstance(sample, (int, np.integer)) or sample < 1:
        raise InputError(f"--sample must be a whole number of rows of at least 1, got {sample!r}")
    if sample >= len(everything):
        return None
    rng = np.random.Generator(np.random.PCG64(seed))
    n = len(everything)
    if 2 * sample >= n:
        drawn = np.sort(rng.choice(n, sample, replace=False, shuffle=False))
    else:
        # The first distinct ones of independent draws: a uniform sample in memory of its own size.
        drawn = np.empty(0, np.int64)
        while drawn.size < sample:
            more = np.concatenate([drawn, rng.integers(0, n, sample + sample // 8 + 16)])
            _, first = np.unique(more, return_index=True)
            drawn = more[np.sort(first)[:sample]]
        drawn.sort()
    return everything.start + drawn * everything.step
