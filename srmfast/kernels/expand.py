"""From difference arrays to counts."""

from srmfast.kernels._jit import jit


@jit
def add_counts(differences, places, mirrored, start, stop, counts):
    """Add the counts of some planes.

    Parameters
    ----------
    differences : (places, c, e, a + 1) integers
    places : (p,) int64
        Where the planes lie among them; −1 for those that do not.
    mirrored : (p,) int64
        Likewise their mirror images, which show θ at π/2 − θ; (0,) when planes have none.
    start, stop : int
        Only of planes start … stop − 1.
    counts : (c, e, p, a) int64, added to
    """
    c, e, _, a = counts.shape
    for plane in range(start, stop):
        for label in range(c):
            for epsilon in range(e):
                if places[plane] >= 0:
                    source, inside = differences[places[plane], label, epsilon], 0
                    for m in range(a):
                        inside += source[m]
                        counts[label, epsilon, plane, m] += inside
                if mirrored.shape[0] and mirrored[plane] >= 0:
                    source, inside = differences[mirrored[plane], label, epsilon], 0
                    for m in range(a):
                        inside += source[m]
                        at = a // 4 - m
                        counts[label, epsilon, plane, at + a if at < 0 else at] += inside
