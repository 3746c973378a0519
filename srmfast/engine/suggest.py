"""An epsilon at which something is seen: how close rows come to their nearest plane."""

import numpy as np

SAMPLE = 256  # rows looked at
_SLACK = 0.95


def suggest_epsilon(rows, basis):
    """Return an ε that half of the rows reach in some plane, with a little slack.

    Parameters
    ----------
    rows : ndarray, (n, d) float64
        Finite rows of non-zero norm; at most 256 of them, evenly spread, are looked at.
    basis : Basis

    Returns
    -------
    float or None
        Rounded down to two digits (three below 0.1); None without rows.

    Notes
    -----
    For each row the plane through its largest coordinate is searched, as the nearest plane nearly always is.
    """
    rows = rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]
    if not len(rows):
        return None
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = basis.vectors
    if basis.selection is not None:
        columns, signs = basis.selection
        coordinates = unit[:, columns] * signs
        largest = np.abs(coordinates).argmax(axis=1)
        cosine = np.where(columns[largest][:, None] == columns, 1.0, 0.0)
    else:
        coordinates = unit @ vectors.T
        largest = np.abs(coordinates).argmax(axis=1)
        cosine = vectors[largest] @ vectors.T
    u = np.take_along_axis(coordinates, largest[:, None], axis=1)
    sine = np.sqrt(np.maximum(1.0 - cosine**2, 0.0))
    spans = sine > 1e-6
    v = np.divide(coordinates - cosine * u, sine, out=np.zeros_like(coordinates), where=spans)
    reach = np.median(np.hypot(u[:, 0], np.abs(v).max(axis=1)))
    digits = 100 if reach >= 0.1 else 1000
    return float(np.floor(min(reach, 1.0) * _SLACK * digits) / digits)
