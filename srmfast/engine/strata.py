"""What kind of row: the families of strata, each of which puts every row into exactly one stratum."""

import math
import re
from dataclasses import dataclass, field, replace

import numpy as np

from srmfast.engine.rules import token_ids_of
from srmfast.errors import InputError
from srmfast.spec import hash_array

FAMILIES = ("position", "norm", "token", "massive")
FAR = 10  # times the median norm from which a row is long, or under which it is short
TOKENS = 8  # most frequent ones that are told apart unless asked otherwise
HEAVY = 0.5  # share of the squared norm in one column that makes a row massive
_LOOKED_AT = 1 << 20  # rows whose tokens are counted at once
_MOST = 1 << 14  # combinations of strata


@dataclass(frozen=True)
class Position:
    """Place in the sequence, counted from its first kept row.

    Attributes
    ----------
    size, inner : int
        Positions in a sequence, and rows at one position.
    starts : ndarray of int64, or None
        Positions before the first kept row of each sequence, where there are any.
    """

    size: int
    inner: int
    starts: np.ndarray | None = field(repr=False)
    name = "position"

    @property
    def edges(self):
        """Positions at which another stratum begins: 1, 4, 16 …"""
        return [4**n for n in range(32) if 4**n < self.size]

    @property
    def names(self):
        """Names of the strata."""
        ends = [*self.edges, self.size][1:]
        ranges = zip(self.edges, ends, strict=True)
        return ["first", *(f"{low + 1}-{high}" if high > low + 1 else f"{high}" for low, high in ranges)]

    def codes(self, absolute, norms, peaks):
        """Return the stratum of each row, see `Strata.codes`."""
        sequence, position = np.divmod(absolute // self.inner, self.size)
        if self.starts is not None:
            position = position - self.starts[sequence]
        return np.searchsorted(self.edges, position, side="right")

    def about(self):
        """Return what determines it, JSON-able."""
        return {"starts": hash_array(self.starts)}

    @property
    def nbytes(self):
        """Bytes held."""
        return 0 if self.starts is None else self.starts.nbytes


@dataclass(frozen=True)
class Norm:
    """Norm of the row as stored against ten times the median, and a tenth of it.

    Attributes
    ----------
    median : float or None
        None until a reading has found it.
    found : bool
        Whether a reading finds it.
    """

    median: float | None = None
    found: bool = True
    name = "norm"
    names = (f"over {FAR}x", "ordinary", f"under 1/{FAR}")
    nbytes = 0

    def codes(self, absolute, norms, peaks):
        """Return the stratum of each row, see `Strata.codes`."""
        return np.where(norms > FAR * self.median, 0, np.where(FAR * norms < self.median, 2, 1))

    def about(self):
        """Return what determines it, JSON-able."""
        return {"median": self.median, "found": self.found}


@dataclass(frozen=True)
class Token:
    """Token id of the row: each of a few, and all others.

    Attributes
    ----------
    ids : tuple of int
    column : ndarray of int16
        Place in `ids` of each entry of the column of tokens; their number for the others.
    inner : int
        Rows that share an entry.
    """

    ids: tuple
    column: np.ndarray = field(repr=False)
    inner: int
    name = "token"

    @property
    def names(self):
        """Names of the strata."""
        return [*map(str, self.ids), "others"]

    def codes(self, absolute, norms, peaks):
        """Return the stratum of each row, see `Strata.codes`."""
        return self.column[absolute // self.inner if self.inner > 1 else absolute]

    def about(self):
        """Return what determines it, JSON-able."""
        return {"tokens": hash_array(self.column)}

    @property
    def nbytes(self):
        """Bytes held."""
        return self.column.nbytes


@dataclass(frozen=True)
class Massive:
    """Whether one column of the row as stored holds half of its squared norm or more."""

    name = "massive"
    names = ("one column", "no column")
    nbytes = 0

    def codes(self, absolute, norms, peaks):
        """Return the stratum of each row, see `Strata.codes`."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(np.square(peaks / norms) >= HEAVY, 0, 1)

    def about(self):
        """Return what determines it, JSON-able."""
        return {}


@dataclass(frozen=True)
class Strata:
    """Families of strata of the rows of one store.

    Attributes
    ----------
    families : tuple
    notes : tuple of str
        What was found and used without being asked for.
    """

    families: tuple
    notes: tuple = ()

    @classmethod
    def of(cls, asked, selection, store):
        """Return those asked for, or None without any.

        Parameters
        ----------
        asked : tuple of str
            From `check_strata`.
        selection : RowSelection
        store : Store

        Raises
        ------
        InputError
            What a family needs is not there.
        """
        families, notes = [], []
        for text in asked:
            name, _, option = text.partition(":")
            if name == "position":
                families.append(_positions(selection, store))
            elif name == "norm":
                families.append(Norm(float(option), found=False) if option else Norm())
            elif name == "token":
                family, found = _tokens(option, selection, store)
                families.append(family)
                notes += [f"token ids are those of {found}, the array beside the store"] if found else []
            else:
                families.append(Massive())
        if math.prod(len(family.names) for family in families) > _MOST:
            raise InputError(
                f"strata may have {_MOST:,} combinations, got {' x '.join(str(len(family.names)) for family in families)}; "
                "name fewer tokens or families"
            )
        return cls(tuple(families), tuple(notes)) if families else None

    @property
    def shape(self):
        """How many strata each family has."""
        return tuple(len(family.names) for family in self.families)

    @property
    def cells(self):
        """Combinations of strata: rows are counted by these."""
        return math.prod(self.shape)

    @property
    def median(self):
        """The median norm, None when it is not needed or not found yet."""
        return next((family.median for family in self.families if isinstance(family, Norm)), None)

    @property
    def needs_median(self):
        """Whether a reading has to find the median norm first."""
        return any(isinstance(family, Norm) and family.median is None for family in self.families)

    @property
    def needs_norms(self):
        """Whether the norms of the rows as stored decide."""
        return any(isinstance(family, (Norm, Massive)) for family in self.families)

    @property
    def needs_peaks(self):
        """Whether the largest entries of the rows as stored decide."""
        return any(isinstance(family, Massive) for family in self.families)

    @property
    def nbytes(self):
        """Bytes that columns hold."""
        return sum(family.nbytes for family in self.families)

    def at(self, median):
        """Return the same with the median norm that was found."""
        families = (replace(one, median=median) if isinstance(one, Norm) else one for one in self.families)
        return replace(self, families=tuple(families))

    def codes(self, absolute, norms, peaks):
        """Return the combination of strata of each row, (n,) int32.

        Parameters
        ----------
        absolute : ndarray, (n,) int64
            Rows of the store.
        norms : ndarray, (n,) float64, or None
            The deciding norms of the rows as stored, where `needs_norms`.
        peaks : ndarray, (n,) float64, or None
            Their largest absolute entries, where `needs_peaks`.
        """
        codes = np.zeros(absolute.size, np.int32)
        for family in self.families:
            codes = codes * len(family.names) + family.codes(absolute, norms, peaks)
        return codes.astype(np.int32)

    def to_dict(self):
        """Return what determines them, for the Spec: names of the strata of each family and hashes."""
        return {family.name: {"names": list(family.names)} | family.about() for family in self.families}


def check_strata(value):
    """Return strata (text "position,norm", or several) as a tuple of "NAME" or "NAME:OPTION"; () for None.

    "norm:M" gives the median norm, "token:T" how many of the most frequent ids are told apart, "token:id=A+B" which.
    """
    if value is None:
        return ()
    parts = [part.strip() for part in (value.split(",") if isinstance(value, str) else value)]
    found = {}
    for part in parts:
        name, colon, option = part.partition(":")
        good = not colon
        if name == "norm" and colon:
            try:
                good = 0 < float(option) < math.inf
            except ValueError:
                good = False
        elif name == "token" and colon:
            good = re.fullmatch(r"[1-9]\d{0,3}|id=-?\d{1,18}(\+-?\d{1,18})*", option) is not None
        if name not in FAMILIES or not good:
            raise InputError(
                f"strata are {', '.join(FAMILIES)}, with norm:MEDIAN, token:T (the T most frequent) or token:id=A+B as options, "
                f"got {part!r}"
            )
        if name in found:
            raise InputError(f"each family of strata may be given once, got {name} twice")
        found[name] = part
    return tuple(found[name] for name in FAMILIES if name in found)


def _positions(selection, store):
    lengths, mask, shape = selection.rules.get("lengths"), selection.rules.get("mask"), store.row_shape
    if lengths is None and len(shape) != 2:
        why = (
            "so that no axis tells positions"
            if len(shape) == 1
            else "so that it is not clear which axis is that of positions"
        )
        raise InputError(
            f"strata by position need sequences, rows (N, T), but those of {store.location} are {tuple(shape)}, {why}; give "
            "--lengths, or strata without position"
        )
    size, inner = (shape[1], 1) if lengths is None else (lengths.size, lengths.inner)
    starts = np.zeros(store.n // (size * inner), np.int64)
    if mask is not None and mask.kept.size == store.n // inner:  # a value for each position
        starts = mask.kept.reshape(-1, size).argmax(axis=1).astype(np.int64)
    if lengths is not None and lengths.left:
        starts = np.maximum(starts, size - lengths.lengths)
    return Position(size, inner, starts if starts.any() else None)


def _tokens(option, selection, store):
    """Return the family of tokens, and the name of the array beside the store where that was found."""
    values, inner, found = token_ids_of(selection.tokens, store, "--strata token")
    if option.startswith("id="):
        ids = sorted({int(number) for number in option[3:].split("+")})
    else:
        ids = _most_frequent(values, inner, int(option or TOKENS), selection)
    place = np.full(values.size, len(ids), np.int16)
    for n, number in enumerate(ids):
        if np.iinfo(values.dtype).min <= number <= np.iinfo(values.dtype).max:
            place[values == number] = n
    return Token(tuple(ids), place, inner), found


def _most_frequent(values, inner, count, selection):
    """Return the ids that most of the rows have which the rules of columns keep, most frequent first, ties by id."""
    held = {}
    for start in range(0, selection.n, _LOOKED_AT):
        stop = min(start + _LOOKED_AT, selection.n)
        if not selection.wants(start, stop):
            continue
        keep, _, _ = selection.keep(start, stop)
        rows = np.arange(start, stop) if keep is None else start + np.flatnonzero(keep)
        for number, times in zip(
            *(part.tolist() for part in np.unique(values[rows // inner], return_counts=True)), strict=True
        ):
            held[number] = held.get(number, 0) + times
    return sorted(held, key=lambda number: (-held[number], number))[:count]
