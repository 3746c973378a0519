"""Rules that leave rows out by a column beside the store: a mask, the lengths of sequences, token ids."""

import math
from dataclasses import dataclass

import numpy as np

from srmfast.errors import InputError
from srmfast.spec import hash_array
from srmfast.stores import expand, load_column

TOKEN_NAMES = ("tokens", "token_ids", "input_ids")


@dataclass(frozen=True)
class ColumnRule:
    """Keeps row r where ``kept[r // inner]``."""

    name: str
    kept: np.ndarray  # bool
    inner: int

    def keeps(self, start, stop):
        """Say which of rows start … stop − 1 stay, bool."""
        return self.kept[start:stop] if self.inner == 1 else self.kept[np.arange(start, stop) // self.inner]

    def digest(self):
        """Return the hash of what the rule keeps."""
        return hash_array(self.kept)

    @property
    def nbytes(self):
        """Bytes held."""
        return self.kept.nbytes


@dataclass(frozen=True)
class LengthRule:
    """Keeps the first positions of each sequence, or the last ones where sequences are padded on the left.

    Attributes
    ----------
    lengths : ndarray of int64
        Of each sequence, in the order of the rows.
    size : int
        Positions in a sequence.
    inner : int
        Rows at one position.
    left : bool
        Whether the padding comes first.
    """

    lengths: np.ndarray
    size: int
    inner: int
    left: bool
    name: str = "lengths"

    def keeps(self, start, stop):
        """Say which of rows start … stop − 1 stay, bool."""
        position = np.arange(start, stop)
        if self.inner > 1:
            position //= self.inner
        sequence, position = np.divmod(position, self.size)
        return position >= self.size - self.lengths[sequence] if self.left else position < self.lengths[sequence]

    def digest(self):
        """Return the hash of the lengths and the side of the padding."""
        return ("left:" if self.left else "") + hash_array(self.lengths)

    @property
    def nbytes(self):
        """Bytes held."""
        return self.lengths.nbytes


def mask_rule(spec, store):
    """Make a rule of a mask: numbers or bools aligned like labels, true keeping the row."""
    values, inner = expand(load_column(spec, store), store.row_shape, "mask")
    if values.dtype.kind not in "biuf":
        raise InputError(f"mask must be numbers or bools (true keeps the row), got {values.dtype}")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise InputError(f"mask must not hold NaN, got {np.isnan(values).sum():,} of them; write 0 or 1")
    if values.dtype.kind != "b" and not ((values == 0) | (values == 1)).all():
        raise InputError(
            f"mask must be true or false, or 1 or 0, got {values.min():g} to {values.max():g}; write VALUES != 0, "
            "or did you mean --labels?"
        )
    return ColumnRule("mask", values != 0, inner)


def length_rule(spec, store, padding):
    """Make a rule of the lengths of sequences.

    Parameters
    ----------
    spec : array, path or key
        One whole number for each sequence: its shape is that of the first row axes, and the axis behind them is
        that of the positions.
    store : Store
    padding : {"right", "left"}
        Where the positions beyond the length are.
    """
    values, shape = load_column(spec, store), store.row_shape
    prefixes = [shape[:rank] for rank in range(1, len(shape))]
    rank = values.ndim
    if values.shape not in prefixes and rank > 1 and values.shape[-1] == 1:
        rank -= 1  # a single column of a table
    if values.shape[:rank] not in prefixes:
        wanted = " or ".join(map(str, prefixes)) or "(N,) of a store (N, T, d), but this one has no sequences"
        raise InputError(
            f"lengths must have one value a sequence, shape {wanted}; got shape {values.shape} for rows {tuple(shape)}: "
            "check order and length, or use --mask"
        )
    size = shape[rank]
    if values.dtype.kind == "f" and (values == np.floor(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "iu":
        raise InputError(f"lengths must be whole numbers, got {values.dtype}; write how many positions are no padding")
    if values.min() < 0 or values.max() > size:
        raise InputError(
            f"lengths must lie in 0 … {size}, got {values.min():,} to {values.max():,}; is it another axis?"
        )
    return LengthRule(values.reshape(-1).astype(np.int64), size, math.prod(shape[rank + 1 :]), padding == "left")


def token_rule(excluded, spec, store):
    """Make a rule of token ids: rows of the excluded ones are left out, wherever in a sequence they are.

    Parameters
    ----------
    excluded : tuple of int
    spec : array, path, key or None
        The token id of each row, aligned like labels; the one array of tokens beside the store when None.
    store : Store

    Returns
    -------
    rule : ColumnRule
    name : str
        Of the array that was found beside the store; "" when it was given.
    """
    values, inner, found = token_ids_of(spec, store, "--exclude-tokens")
    gone = np.zeros(values.size, bool)
    for number in excluded:
        if np.iinfo(values.dtype).min <= number <= np.iinfo(values.dtype).max:
            gone |= values == number
    return ColumnRule("tokens", ~gone, inner), found


def token_ids_of(spec, store, what):
    """Return the token ids of a store, (m,) integers, how many rows share one, and the name of the array if it was found.

    Parameters
    ----------
    spec : array, path, key or None
        The one array of tokens beside the store when None.
    store : Store
    what : str
        What needs them, for a message.
    """
    found = "" if spec is not None else _tokens_beside(store, what)
    values, inner = expand(load_column(spec if spec is not None else found, store), store.row_shape, "tokens")
    if values.dtype.kind not in "iu":
        raise InputError(f"tokens must be whole numbers, the id of each row's token, got {values.dtype}")
    return values, inner, found


def _tokens_beside(store, what):
    names = [name for name in store.siblings() if name.rpartition("/")[2] in TOKEN_NAMES]
    if len(names) != 1:
        held = f"beside it are {', '.join(names)}" if names else f"none called {', '.join(TOKEN_NAMES)} is beside it"
        raise InputError(f"{what} needs the token of each row of {store.location}, {held}; give --tokens F|key")
    return names[0]


def check_token_ids(value):
    """Return token ids (text "0,1,2", a number or several) as a sorted tuple of distinct ints; () for None."""
    if value is None:
        return ()
    try:
        parts = value.split(",") if isinstance(value, str) else np.atleast_1d(value).tolist()
        ids = [int(part) for part in parts]
        if any(isinstance(part, bool) or (not isinstance(part, str) and part != int(part)) for part in parts):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(
            f"exclude_tokens must be token ids separated by commas, got {value!r}; for example 0,1,2"
        ) from None
    if any(abs(number) >= 2**63 for number in ids):
        raise InputError(f"a token id must fit into 64 bits, got {max(ids, key=abs)}")
    return tuple(sorted(set(ids)))
