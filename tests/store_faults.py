"""Damaged files: bytes flipped, cut and repeated by a fixed seed; whatever comes out must be one line."""

import random
import tracemalloc

from srmfast.errors import InputError, MissingDependency
from srmfast.stores import load_column, open_store

PEAK_BYTES = 64 << 20


def damaged(whole, count, seed=0, within=None):
    """Yield `count` variants of a file; `within` bounds the places where bytes change."""
    draw = random.Random(seed)
    reach = min(within or len(whole), len(whole))
    for _ in range(count):
        image = bytearray(whole)
        kind = draw.randrange(5)
        at = draw.randrange(reach)
        if kind == 0:
            del image[draw.randrange(len(image)) :]
        elif kind == 1:
            image[at : at + draw.randrange(1, 9)] = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9)))
        elif kind == 2:
            image[at:at] = b"\xff" * draw.randrange(1, 9)
        else:
            for _ in range(draw.randrange(1, 4)):
                image[draw.randrange(reach)] ^= 1 << draw.randrange(8)
        yield bytes(image)


def endure(path, key=None, **options):
    """Open and read as far as a file allows, in bounded memory; tell whether it was read."""
    spec = f"{path}::{key}" if key else str(path)
    tracemalloc.start()
    try:
        with open_store(spec, **options) as store:
            store.layout(), store.describe(), store.fingerprint(), store.siblings()
            for start in (0, store.n // 2, store.n - 1):
                store.read(start, min(store.n, start + 3))
        load_column(spec)
        return True
    except (InputError, MissingDependency) as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 3000
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < PEAK_BYTES
