"""How the benchmark measures and what it prints: alternating rounds, medians, aligned tables."""

import gc
import math
import statistics
import time
from dataclasses import dataclass, field

clock = time.perf_counter  # or time.process_time: CPU seconds of all threads, for a busy machine


@dataclass
class Series:
    """Seconds of one way of doing something, one entry a round, and what it returned."""

    name: str
    seconds: list = field(default_factory=list)
    answers: list = field(default_factory=list)

    @property
    def median(self):
        """Median of the seconds."""
        return statistics.median(self.seconds)


def alternate(ways, rounds, *, limit=None, least=3, by=None):
    """Time several functions in turn, so that whatever else the machine does falls on all of them.

    Parameters
    ----------
    ways : dict of str to callable, or to a list of callables
        Called without arguments; of a list, the one with the number of the round.
    rounds : int
    limit : float, optional
        Seconds after which no further round begins, once `least` are done.
    least : int
    by : callable, optional
        The clock, where it must be another one than `clock`.

    Returns
    -------
    dict of str to Series
    """
    by = by or clock
    series = {name: Series(name) for name in ways}
    began = time.perf_counter()
    for number in range(rounds):
        if limit is not None and number >= least and time.perf_counter() - began > limit:
            break
        for name, way in ways.items():
            gc.collect()
            gc.disable()
            call = way[number] if isinstance(way, list) else way
            try:
                start = by()
                answer = call()
                series[name].seconds.append(by() - start)
            finally:
                gc.enable()
            series[name].answers.append(answer)
    return series


def affordable(call, most, limit, *, least=16):
    """Return the largest n ≤ most for which call(n) should take no longer than `limit` seconds.

    Tried from `least` upward in steps of 8, so that a way that is slow today is seen to be slow at a small size.
    """
    n = min(least, most)
    while True:
        start = clock()
        call(n)
        spent = clock() - start
        if 8 * spent > limit or n == most:
            return min(most, max(n, int(n * limit / spent)))
        n = min(most, 8 * n)


def ratio(other, ours):
    """Median over the rounds of other's time over ours."""
    return statistics.median(theirs / mine for theirs, mine in zip(other.seconds, ours.seconds, strict=True))


def difference(other, ours):
    """Median over the rounds of other's seconds less ours."""
    return statistics.median(theirs - mine for theirs, mine in zip(other.seconds, ours.seconds, strict=True))


def exponent(other, ours, factor):
    """Return x for which a size `factor` times as large takes factorˣ times as long."""
    return math.log(ratio(other, ours)) / math.log(factor)


def table(header, lines):
    """Lay out lines as a Markdown table whose columns line up: the first to the left, the others to the right."""
    lines = [[str(cell) for cell in line] for line in lines]
    widths = [max(3, *(len(line[at]) for line in [header, *lines])) for at in range(len(header))]

    def row(cells):
        padded = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return "| " + " | ".join([cells[0].ljust(widths[0]), *padded[1:]]) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths)) + "|"
    return "\n".join([row(header), rule, *map(row, lines)])


def seconds(value):
    """Write a duration with three digits and a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size or unit == "µs":
            scaled = value / size
            digits = 0 if scaled >= 100 else 1 if scaled >= 10 else 2
            return f"{scaled:,.{digits}f} {unit}"


def nanoseconds(spent, number):
    """Write the seconds that each of a number of things took, in nanoseconds."""
    each = spent / number * 1e9 if number else float("inf")
    return f"{each:,.1f} ns" if each < 1e5 else "–"


def times(value):
    """Write a ratio."""
    return f"{value:,.0f}×" if value >= 20 else f"{value:.1f}×" if value >= 2 else f"{value:.2f}×"
