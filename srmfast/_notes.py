"""What the foot of a figure says, and of which panels."""

from srmfast.excerpts import number


class Notes:
    """What the foot of a figure says, gathered over its panels; what holds for some of them only names these."""

    def __init__(self, *lines):
        self._panels, self._here = [], None
        self._lines, self._thinned, self._low = {line: {None: None} for line in lines}, {}, {}

    def begin(self, panel):
        """Take what follows as said of a panel of this name, until `end`."""
        self._panels.append(panel)
        self._here = panel

    def end(self):
        """Take what follows as said of the whole figure."""
        self._here = None

    def add(self, line):
        """Say a line."""
        self._lines.setdefault(line, {})[self._here] = None

    def thinned(self, drawn, of):
        """Tell that so many of the planes with rows are drawn."""
        self._thinned.setdefault((drawn, of), {})[self._here] = None

    def low(self, name, value):
        """Tell of a curve that would lie on the line at 0."""
        self._low.setdefault(name, {})[self._here] = float(value)

    def lines(self):
        """Return the lines of the foot."""
        found = [self._planes()] if self._thinned else []
        if self._low:
            told = []
            for name, values in self._low.items():
                most = "up to " * (len(set(values.values())) > 1) + number(max(values.values()))
                told.append(f"{name} {most}{self._behind(values)}")
            found.append(f"too low to see: {', '.join(told)}")
        for line, panels in self._lines.items():
            where = self._where(panels)
            found.append(f"{where}: {line}" if where and line else line)
        return [line for line in found if line]

    def _planes(self):
        if len(self._thinned) > 3:
            drawn, of = (max(numbers) for numbers in zip(*self._thinned, strict=True))
            return f"drawn: at most {drawn:,} of up to {of:,} planes with rows, the highest and then evenly by peak"
        every = all(drawn == of for drawn, of in self._thinned)
        parts = [
            (f"{of:,}" if every else f"{drawn:,} of {of:,}") + self._behind(panels)
            for (drawn, of), panels in self._thinned.items()
        ]
        if every and len(parts) == 1:
            return f"drawn: all {parts[0]} planes with rows"
        if every:
            return f"drawn: all planes with rows, {' and '.join(parts)}"
        return f"drawn: {' and '.join(parts)} planes with rows, the highest and then evenly by peak"

    def _where(self, panels):
        """Name some panels, "" for all of them."""
        if None in panels or len(panels) == len(self._panels):
            return ""
        return ", ".join(panels) if len(panels) <= 2 else f"{len(panels)} of {len(self._panels)} panels"

    def _behind(self, panels):
        where = self._where(panels)
        return f" ({where})" if where else ""
