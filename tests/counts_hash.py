"""Count every problem of a table and print one hash of all that was found: `counts_hash.py FOLDER`.

The second line says what this process has counted with: the kind of BLAS, and whether the CPU converts float16.
"""

import hashlib
import json
import sys
from pathlib import Path

import ml_dtypes
import numpy as np

import srmfast
from srmfast.angles import angle_table


def problems(folder):
    """Yield (name, rows, arguments of run) of each problem that `test_any_cpu.table` has written."""
    for name, problem in json.loads((Path(folder) / "table.json").read_text()).items():
        rows = np.load(Path(folder) / f"{problem.pop('rows')}.npy")
        labels = problem.pop("labels", None)
        if rows.dtype == np.uint16:  # the bits of bfloat16
            rows = rows.view(ml_dtypes.bfloat16)
        yield (
            name,
            rows,
            problem
            | {"basis": np.load(Path(folder) / f"{problem['basis']}.npy")}
            | ({} if labels is None else {"labels": np.load(Path(folder) / f"{labels}.npy")}),
        )


def digest(found):
    """Hash (name, counts (c, e, p, a), rows used (c,), hash of the mean, |mean|/rms) of every problem."""
    total = hashlib.sha256()
    for name, counts, rows, mean, offset in found:
        total.update(f"{name} {counts.shape} {rows.tolist()} {mean} {offset!r} ".encode())
        total.update(np.ascontiguousarray(counts, np.int64).tobytes())
    for a in (9, 360, 720):
        total.update(np.stack(angle_table(a)).tobytes())
    total.update(srmfast.load_basis("random:20", 33, seed=7).vectors.tobytes())
    return total.hexdigest()


def count(folder):
    """Yield what `digest` takes, counted by srmfast."""
    for name, rows, arguments in problems(folder):
        yield name, *numbers(srmfast.run(rows, keep="all", **arguments))


def numbers(result):
    """Return what of a result is hashed."""
    return result.counts, result.rows, result.attrs["spec"]["centre_hash"], result.attrs["mean_over_rms"]


def main():
    from threadpoolctl import threadpool_info

    from srmfast.kernels.decode import half_instructions

    print(digest(count(sys.argv[1])))
    print(*sorted({pool.get("architecture", "") for pool in threadpool_info()}), half_instructions())


if __name__ == "__main__":
    main()
