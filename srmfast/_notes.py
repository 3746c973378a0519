"""What the foot of a figure says."""

from srmfast.excerpts import number


class Notes:
    """What the foot of a figure says, gathered over its panels."""

    def __init__(self, *lines):
        self._lines, self._thinned, self._low = dict.fromkeys(lines), {}, {}

    def add(self, line):
        self._lines.setdefault(line)

    def thinned(self, drawn, of):
        self._thinned[drawn, of] = None

    def low(self, name, value):
        """Tell of a curve that would lie on the line at 0."""
        self._low.setdefault(name, {})[float(value)] = None

    def lines(self):
        found = []
        if self._thinned:
            drawn = " and ".join(f"{drawn:,} of {of:,}" for drawn, of in self._thinned)
            if len(self._thinned) > 3:
                drawn = f"at most {max(self._thinned)[0]:,} of up to {max(of for _, of in self._thinned):,}"
            found.append(f"drawn: {drawn} planes with rows, the highest and then evenly by peak")
        if self._low:
            told = [f"{name} {'up to ' * (len(values) > 1)}{number(max(values))}" for name, values in self._low.items()]
            found.append(f"too low to see: {', '.join(told)}")
        return [line for line in [*found, *self._lines] if line]
