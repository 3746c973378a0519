"""The sections of neurons: which class each basis vector and its opposite answer to."""

import math

from srmfast.excerpts import number, plural
from srmfast.page.provenance import provenance
from srmfast.page.rows import rows_section
from srmfast.page.sections import Cell, Column, Section, Table

_ROWS = 1000  # poles in the table, at most
_COLUMNS = (
    Column("vector", "index in the basis", True), Column("pole", "the vector, or its opposite"), Column("class", "that its cone picks out best"),
    Column("F1", "of inside the cone as a classifier of that class: 1 is perfect", True), Column("± sd", "by leaving out one fold of the rows at a time", True),
    Column("precision", "share of that class among the rows inside", True), Column("recall", "share of the class that is inside", True),
    Column("rows", "inside the cone", True), Column("p", "of class and cone meeting so often by chance, corrected for all of them", True),
    Column("classes at b_i | at −b_i", "in the order of their share"),
)  # fmt: skip


def neurons_section(found, name, file, *, folded=False):
    """Return the section of neurons.

    Parameters
    ----------
    found : Neurons
    name : str
    file : str or None
        Where they are saved.
    folded : bool

    Returns
    -------
    Section
    """
    head, *lines = found.summary().splitlines()
    said = [(line[2:11].strip(), line[11:]) for line in lines if line[2:11].strip() in ("rows", "note", "test")]
    words = (
        f"{head}.",
        "A neuron here is a basis vector b_i. Counted are the rows inside the cone about it, and about its opposite −b_i, and of which class they "
        "are. A grandmother neuron would hold all rows of one class and no other: F1 = 1.",
    )
    facts = tuple((text.capitalize(), said_of) for text, said_of in said)
    parts = (rows_section(found.attrs), provenance(found, file))
    return Section(name, words=words, facts=facts, tables=(neurons_table(found),), parts=parts, folded=folded)


def neurons_table(found):
    """Return the table of vectors and opposites by F1."""
    ranked = found.table()
    rows = []
    for row in ranked[:_ROWS]:
        sd = row["sd"]
        rows.append(
            (
                Cell(str(row["vector"]), row["vector"]), Cell(row["pole"]), Cell(row["label"]), Cell(f"{row['f1']:.3f}", row["f1"]),
                Cell("") if math.isnan(sd) else Cell(f"{sd:.3f}", sd), Cell(f"{row['precision']:.3f}", row["precision"]),
                Cell(f"{row['recall']:.3f}", row["recall"]), Cell(f"{row['inside']:,}", row["inside"]),
                Cell("") if row["p"] is None else Cell(number(row["p"]), row["p"]), Cell(row["order"]),
            )
        )  # fmt: skip
    left = len(ranked) - len(rows)
    note = f"{plural(left, 'pole')} with lower F1 left out; --csv writes all" if left else ""
    return Table(f"Basis vectors by the class they pick out, ε = {number(found.epsilon)}", _COLUMNS, tuple(rows), note)
