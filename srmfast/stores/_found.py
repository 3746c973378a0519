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
    verb : str
        "is" where nothing had to be guessed.
    """

    name: str
    words: str
    assumed: tuple = ()
    mask: str | None = None
    lengths: str | None = None
    tokens: str | None = None
    verb: str = "looks like"

    @property
    def told(self):
        """What was assumed, and what the columns do, one line each."""
        lines = [f"rows where {self.mask} is 0 are left out (another: --mask)"] if self.mask else []
        lines += [f"positions beyond {self.lengths} are left out (others: --lengths)"] if self.lengths else []
        lines += [f"--exclude-tokens goes by {self.tokens} (others: --tokens)"] if self.tokens else []
        return (*self.assumed, *lines)

    @property
    def line(self):
        """All of it in one line."""
        return "; ".join((f"{self.verb} {self.name}, {self.words}", *self.told))

    def pooled(self):
        """Return the same for means over positions, of which none can be left out any more."""
        if not (self.mask or self.lengths):
            return self
        told = f"the means are over all positions, those that {self.mask or self.lengths} marks as padding too"
        return dataclasses.replace(self, assumed=(*self.assumed, told), mask=None, lengths=None)


@dataclasses.dataclass(frozen=True)
class Found:
    """An array of a layout that was recognised.

    Attributes
    ----------
    source : Source
    recognised : Recognised
    index : dict
        Axis -> position to open with: what the user fixed and what the layout adds.
    feature_axis : int or None
        Axis of the features, where the layout tells it and the user does not.
    """

    source: Source
    recognised: Recognised
    index: dict
    feature_axis: int | None = None


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
    return Found(source, Recognised(name, words, tuple(lines), mask, lengths, tokens), dict(index or {}))
