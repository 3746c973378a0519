"""The counts of a result as a long table: a row for each label, epsilon, kept plane and angle."""

import itertools

import numpy as np

from srmfast.errors import require
from srmfast.whole import whole_file

_LOOKED_AT = 2000  # lines from which the size of a file is estimated


def dataframe(result):
    """Return it as a pandas DataFrame: label, epsilon, plane_i, plane_j, angle (rad), count and fraction."""
    pandas = require("pandas", purpose="to_dataframe")
    c, e, p, a = (axis.ravel() for axis in np.indices(result.counts.shape, sparse=False))
    return pandas.DataFrame(
        {
            "label": result.label[c],
            "epsilon": result.epsilon[e],
            "plane_i": result.plane_i[p],
            "plane_j": result.plane_j[p],
            "angle": result.angle[a],
            "count": result.counts.ravel(),
            "fraction": result.fraction().ravel(),
        }
    )


def write_csv(result, path):
    """Write it to a CSV file, plane by plane, without holding it all."""
    with whole_file(path) as file:
        file.write(b"label,epsilon,plane_i,plane_j,angle,count,fraction\n")
        file.writelines(line.encode() for line in _lines(result))


def csv_bytes(result):
    """Estimate the size of that file from its first lines."""
    lines = [len(line.encode()) for line in itertools.islice(_lines(result), _LOOKED_AT)]
    return result.counts.size * sum(lines) // max(len(lines), 1)


def _lines(result):
    for c, label in enumerate(result.label):
        quoted = '"' + str(label).replace('"', '""') + '"'
        rows = max(int(result.rows[c]), 1)
        for e, epsilon in enumerate(result.epsilon):
            for p, (i, j) in enumerate(zip(result.plane_i, result.plane_j, strict=True)):
                head = f"{quoted},{float(epsilon)!r},{i},{j},"
                for angle, count in zip(result.angle.tolist(), result.counts[c, e, p].tolist(), strict=True):
                    yield f"{head}{angle!r},{count},{count / rows!r}\n"
