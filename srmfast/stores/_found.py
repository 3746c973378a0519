"""What a recogniser finds: an open array, what it looks like, and the columns that it brings."""

import dataclasses

from srmfast.stores.base import Source


@dataclasses.dataclass(frozen=True)
class Recognised:
    """A layout that some tool writes, and what is assumed because of it.

    Attributes
    ----------
    name : str
        With its article: "a SAELens cache".
    words : str
        Shape, type and what lies beside it.
    assumed : tuple of str
        What was chosen without being asked for, each with the flag that chooses otherwise.
    mask, lengths, tokens : str or None
        Arrays beside the store that rows are left out by, unless the user gives others.
    """

    name: str
    words: str
    assumed: tuple = ()
    mask: str | None = None
    lengths: str | None = None
    tokens: str | None = None

    @property
    def line(self):
        """All of it in one line."""
        return "; ".join((f"looks like {self.name}, {self.words}", *self.assumed))


@dataclasses.dataclass(frozen=True)
class Found:
    """An array of a layout that was recognised.

    Attributes
    ----------
    source : Source
    recognised : Recognised
    index : dict
        Axis -> position to open with: what the user fixed and what the layout adds.
    """

    source: Source
    recognised: Recognised
    index: dict


def found(source, name, index, assumed=(), *, beside=(), mask=None, lengths=None, tokens=None):
    """Describe an open array of a layout.

    Parameters
    ----------
    source : Source
    name : str
        Of the layout, with its article.
    index : dict
    assumed : iterable of str
        Empty ones are left out.
    beside : iterable of str
        Other arrays worth a word.
    mask, lengths, tokens : str, optional
        See `Recognised`.
    """
    with_it = list(dict.fromkeys(column for column in (mask, lengths, tokens, *beside) if column))
    words = " x ".join(map(str, source.shape)) + f" {source.dtype_name}"
    words += f", with {' and '.join(with_it)}" if with_it else ""
    lines = [line for line in assumed if line]
    lines += [f"rows where {mask} is 0 are left out (another: --mask)"] if mask else []
    lines += [f"positions beyond {lengths} are left out (others: --lengths)"] if lengths else []
    lines += [f"--exclude-tokens goes by {tokens} (others: --tokens)"] if tokens else []
    return Found(source, Recognised(name, words, tuple(lines), mask, lengths, tokens), dict(index or {}))
