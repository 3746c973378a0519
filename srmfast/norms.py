"""How long rows are: their norms counted as integers, so that quantiles do not depend on how rows arrive."""

import numpy as np

BITS = 12  # of the fraction: a bin is 2⁻¹² of its power of two wide
_PAGE = 1 << BITS
SHIFT = 52 - BITS


class NormHistogram:
    """How many rows have a norm in each bin; a bin is the leading bits of a float64.

    Attributes
    ----------
    pages : dict of int to ndarray, (4096,) int64
        The bins of each power of two that occurs, by biased exponent: 32 KiB each.
    """

    def __init__(self):
        self.pages = {}

    def add(self, norms):
        """Count norms, (n,) float64, finite and above zero."""
        bins = np.ascontiguousarray(norms, np.float64).view(np.int64) >> SHIFT
        exponents = bins >> BITS
        for exponent in np.unique(exponents).tolist():
            page = np.bincount(bins[exponents == exponent] & (_PAGE - 1), minlength=_PAGE)
            self.pages[exponent] = self.pages[exponent] + page if exponent in self.pages else page

    def __add__(self, other):
        result = NormHistogram()
        for pages in (self.pages, other.pages):
            for exponent, page in pages.items():
                result.pages[exponent] = result.pages[exponent] + page if exponent in result.pages else page
        return result

    def to_arrays(self):
        """Return the exponents, (m,) int64, and their bins, (m, 4096) int64."""
        exponents = sorted(self.pages)
        return np.array(exponents, np.int64), np.array([self.pages[e] for e in exponents], np.int64).reshape(-1, _PAGE)

    @classmethod
    def from_arrays(cls, exponents, bins):
        """Make one of what `to_arrays` returned."""
        result = cls()
        result.pages = dict(zip(exponents.tolist(), bins, strict=True))
        return result

    @property
    def total(self):
        """Rows counted."""
        return sum(int(page.sum()) for page in self.pages.values())

    def quantile(self, q):
        """Return the lower edge of the bin that holds the row of rank ⌊q·(total − 1)⌋; NaN without rows."""
        rank = int(q * (self.total - 1))
        for exponent in sorted(self.pages):
            below = np.cumsum(self.pages[exponent])
            if rank < below[-1]:
                return self._edge(exponent, int(np.searchsorted(below, rank, side="right")))
            rank -= int(below[-1])
        return float("nan")

    @property
    def median(self):
        """Lower edge of the bin of the lower middle row: below the true value by 2⁻¹² of it at most."""
        return self.quantile(0.5)

    def above(self, limit):
        """Return how many rows lie in bins above the one that holds `limit`."""
        held = int(np.float64(limit).view(np.int64)) >> SHIFT
        exponent, place = held >> BITS, held & (_PAGE - 1)
        higher = sum(int(page.sum()) for other, page in self.pages.items() if other > exponent)
        return higher + int(self.pages.get(exponent, np.zeros(0, np.int64))[place + 1 :].sum())

    def describe(self):
        """Return median, tails and quantiles as a JSON-able dict; None without rows."""
        if not self.total:
            return None
        median, total = self.median, self.total
        return {
            "rows": total,
            "median": median,
            "over_10": self.above(10 * median) / total,
            "over_100": self.above(100 * median) / total,
            "quantiles": {str(q): self.quantile(q) for q in (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999, 1.0)},
        }

    def bins(self):
        """Return the middles of the bins that hold rows, ascending, and how many each holds, (m,) float64 and int64."""
        edges, counts = self.edges()
        return edges * (1 + 0.5 / _PAGE), counts

    def edges(self):
        """Return the lower edges of the bins that hold rows, ascending, and how many each holds, (m,) float64 and int64."""
        exponents, counts = self.to_arrays()
        held = np.nonzero(counts)
        return ((exponents[held[0]] << BITS | held[1]) << SHIFT).view(np.float64), counts[held]

    @classmethod
    def from_edges(cls, edges, rows):
        """Make one of what `edges` returned."""
        result, bins = cls(), np.ascontiguousarray(edges, np.float64).view(np.int64) >> SHIFT
        for bin, count in zip(bins.tolist(), rows.tolist(), strict=True):
            page = result.pages.setdefault(bin >> BITS, np.zeros(_PAGE, np.int64))
            page[bin & (_PAGE - 1)] += count
        return result

    @staticmethod
    def _edge(exponent, place):
        return float(np.int64((exponent << BITS | place) << SHIFT).view(np.float64))


class NormsByLabel:
    """A `NormHistogram` for each of c labels.

    Parameters
    ----------
    c : int
    """

    def __init__(self, c):
        self.histograms = [NormHistogram() for _ in range(c)]

    def add(self, norms, labels):
        """Count norms, (n,) float64, finite and above zero, of rows with these labels, (n,) of int."""
        for label in np.unique(labels).tolist() if len(self.histograms) > 1 else [0]:
            self.histograms[label].add(norms if len(self.histograms) == 1 else norms[labels == label])

    def __add__(self, other):
        result = NormsByLabel(0)
        result.histograms = [mine + theirs for mine, theirs in zip(self.histograms, other.histograms, strict=True)]
        return result
