"""How objects show themselves: a line on a console, a card in a notebook."""

import warnings

_LONGEST = 200  # characters of a line


class Displayed:
    """Something that a user meets at the end of a notebook's cell.

    A subclass gives `_line`, what its line says in the parentheses behind the name of the class; `srmfast.cards` makes the card.
    """

    def _line(self):
        return ""

    def __repr__(self):
        words = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(self._line().split()))
        words = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
        return f"{type(self).__name__}({words})"

    def _repr_html_(self):
        """Return the card; None where it cannot be made, with a warning: notebooks then show the line."""
        try:
            from srmfast import cards

            return cards.card(self)
        except Exception as error:  # nobody's work may end because something cannot be shown
            warnings.warn(f"no card of {self!r}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)
            return None
