"""What a page is made of: sections with words, tables and charts. A new kind of finding becomes a function that returns some."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        Its head.
    meaning : str
        What it holds, in words; shown below the table.
    numeric : bool
        Whether it is aligned and sorted as numbers.
    """

    name: str
    meaning: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """A value of a table with the words that show it.

    Attributes
    ----------
    text : str
    value : float or None
        What it is sorted by; its text when omitted.
    plane : (int, int) or None
        The plane that the cell names: the page offers to show it in the chart of its section.
    """

    text: str
    value: float | None = None
    plane: tuple | None = None


@dataclass(frozen=True)
class Table:
    """A table that readers can sort, and filter when it is long.

    Attributes
    ----------
    caption : str
    columns : tuple of Column
    rows : tuple of tuple of Cell
    note : str
        What was left out.
    """

    caption: str
    columns: tuple
    rows: tuple
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A picture that the page draws from numbers.

    Attributes
    ----------
    kind : {"planes", "curves", "discs"}
        The script that draws it: assets/KIND.js.
    data : dict
        For that script; JSON, arrays as `blocks.encode` makes them.
    description : str
        What it shows, for readers who do not see it.
    caption : str
    still : Still or None
        What is drawn where scripts do not run.
    """

    kind: str
    data: dict
    description: str
    caption: str = ""
    still: object = None


@dataclass(frozen=True)
class Still:
    """Curves as an SVG path each, in a box of 720 × 200.

    Attributes
    ----------
    paths : tuple of (str, str)
        Class of the style sheet, and path.
    top : str
        Value at the top of the box; its bottom is 0.
    """

    paths: tuple
    top: str


@dataclass(frozen=True)
class Verdict:
    """A verdict with its effect as a bar.

    Attributes
    ----------
    word : str
        aligned, anti-aligned, mixed, none, undecided; or "" for a result without a test.
    plain : str
        What that means, for readers without statistics.
    headline : str
        The same with its p.
    effect : dict or None
        size, low, high, from −1 to 1 (low and high None when unknown), and epsilon.
    """

    word: str
    plain: str
    headline: str = ""
    effect: dict | None = None


@dataclass(frozen=True)
class Section:
    """A part of the page under one title.

    Attributes
    ----------
    title : str
    words : tuple of str
        Paragraphs.
    verdict : Verdict or None
    facts : tuple of (str, str or tuple of str)
        Heads with what is said of them; several are listed.
    charts : tuple of Chart
    tables : tuple of Table
    texts : tuple of (str, str)
        Heads of what is shown letter by letter: commands, references, settings.
    parts : tuple of Section
        Below it.
    folded : bool
        Whether readers open it themselves.
    """

    title: str
    words: tuple = ()
    verdict: Verdict | None = None
    facts: tuple = ()
    charts: tuple = ()
    tables: tuple = ()
    texts: tuple = ()
    parts: tuple = ()
    folded: bool = False
