"""Quick identities of stored data: what is hashed, and at how many places."""

import hashlib
import json

import numpy as np

SAMPLES = 64  # slices hashed in a file, chunk objects in a folder, rows in memory
SLICE_BYTES = 4096
ROW_ELEMENTS = 1 << 16  # elements hashed of one sampled row in memory


def spread(count, samples=SAMPLES):
    """Give at most `samples` distinct positions of 0 … count - 1, evenly spread, both ends included."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(samples, count))}) if count else []


def digest(parts):
    """Hash byte strings in order, each with its length so that borders count."""
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.hexdigest()


def digest_json(value):
    """Hash a JSON-able value, independent of the order of its keys."""
    return digest([json.dumps(value, sort_keys=True, default=str).encode()])


def file_slices(read_at, offset, size):
    """Hash evenly spread slices of a file region.

    Parameters
    ----------
    read_at : callable
        ``read_at(offset, nbytes) -> bytes``.
    offset, size : int
        The region, bytes.

    Returns
    -------
    str
        Hexadecimal digest. A region of up to 64 slices is hashed whole.
    """
    blocks = -(-size // SLICE_BYTES)
    picked = ((offset + i * SLICE_BYTES, min(SLICE_BYTES, size - i * SLICE_BYTES)) for i in spread(blocks))
    return digest(read_at(at, nbytes) for at, nbytes in picked)


def array_slices(array):
    """Hash evenly spread positions on the first axis of an array in memory."""
    return digest(array[i].flat[:ROW_ELEMENTS].tobytes() for i in spread(len(array)))
