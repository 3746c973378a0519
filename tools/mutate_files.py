"""Damage files in every format and see what becomes of them: one clear line, or the right counts, and nothing else.

    python tools/mutate_files.py --files 10000

Each file gets flipped bits, overwritten or inserted bytes, a cut, or other numbers in its header. A process of its own
opens and counts it. Told for each format: how many were refused with one line, how many gave the same counts (the damage
meant nothing), how many other values (formats without checksums cannot tell a value from a damaged one), and what must
never be: another number of rows or other counts from a file with checksums, a traceback, a crash, a hang over 10 s.
"""

import argparse
import collections
import contextlib
import os
import re
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

import srmfast
from srmfast.engine import Checkpoint, Request, count_part, merge, prepare
from srmfast.spec import Resources

N, D, SECONDS = 240, 6, 10
MEMORY = 3 << 30  # bytes that a process may take: a claim beyond is a fault
BAD = ("silent", "traceback", "crash", "hang")
CHECKED = ("result", "checkpoint", "part")  # kinds whose every number is protected by checksums
OPTIONS = dict(epsilon=0.5, angles=8)


def rows():
    """Return the rows of every store."""
    return (np.random.default_rng(0).normal(size=(N, D)) + 0.3).astype(np.float32)


def make(kind, folder):
    """Write one sound file or folder of a kind; return its path, None when its library is not installed."""
    x, path = rows(), folder / f"acts.{kind}"
    if kind == "npy":
        np.save(path, x)
    elif kind == "npz":
        np.savez(path, acts=x)
    elif kind == "npz-deflated":
        np.savez_compressed(path := folder / "acts.npz", acts=x)
    elif kind.startswith("zarr"):
        import zarr

        path = folder / ("acts.zarr.zip" if kind == "zarr-zip" else "acts.zarr")
        root = zarr.storage.ZipStore(path, mode="w") if kind == "zarr-zip" else str(path)
        options = {"zarr-2": dict(zarr_format=2), "zarr-sharded": dict(shards=(120, D))}.get(kind, {})
        zarr.create_array(root, shape=x.shape, chunks=(40, D), dtype=x.dtype, **options)[...] = x
        if kind == "zarr-zip":
            root.close()
    elif kind.startswith("h5"):
        import h5py

        options = {"h5": dict(chunks=(40, D), compression="gzip", fletcher32=True), "h5-plain": {}}[kind]
        with h5py.File(path := folder / "acts.h5", "w") as file:
            file.create_dataset("acts", data=x, **options)
    elif kind == "safetensors":
        with contextlib.suppress(ImportError):
            from safetensors.numpy import save_file

            save_file({"acts": x}, path)
    elif kind == "parquet":
        with contextlib.suppress(ImportError):
            import pyarrow as pa
            import pyarrow.parquet as pq

            column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), D)
            pq.write_table(pa.table({"acts": column}), path, row_group_size=60)
    elif kind == "pt":
        found = Path(__file__).parents[1] / "tests" / "data" / "torch-tensor.pt"
        if found.exists():
            shutil.copy(found, path)
    elif kind.startswith("onnx"):
        path = _model(kind, folder)
    elif kind == "result":
        srmfast.run(x, **OPTIONS).save(path := folder / "acts.zarr")
    elif kind == "part":
        request, how = Request(**OPTIONS), Resources(1, 1 << 30, 16)
        count_part(prepare([("x", x)], [("", "standard")], request, how), request, how, (1, 1), path)
    elif kind == "checkpoint":
        path = folder / "ck"
        with contextlib.suppress(_Stop), Checkpoint(path, every=1e-9) as checkpoint:
            _resume(checkpoint, stop=3)
    return path if path.exists() else None


def _model(kind, folder):
    """Write a small model: a layer and the same inside a branch, its constants inside or in another file."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, node = np.random.default_rng(1), helper.make_node
    constants = [
        numpy_helper.from_array(
            rng.normal(size=(D, 200)).astype(np.float32), "w"
        ),  # left in the file while it is opened
        numpy_helper.from_array(rng.normal(size=(200, D)).astype(np.float32), "v"),
        numpy_helper.from_array(np.array([-1, D]), "shape"),
        numpy_helper.from_array(np.array(-1e30, np.float32), "low"),
    ]
    branch = [
        helper.make_graph(
            [node(op, ["wide"], [f"{op}_out"])], op, [], [helper.make_tensor_value_info(f"{op}_out", 1, ["n", 200])]
        )
        for op in ("Tanh", "Relu")
    ]
    graph = helper.make_graph(
        [
            node("Reshape", ["x", "shape"], ["flat"]),
            node("MatMul", ["flat", "w"], ["wide"]),
            node("ReduceMax", ["wide"], ["top"], keepdims=0),
            node("Greater", ["top", "low"], ["any"]),
            node("If", ["any"], ["bent"], then_branch=branch[0], else_branch=branch[1]),
            node("MatMul", ["bent", "v"], ["acts"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", D])],
        [helper.make_tensor_value_info("acts", TensorProto.FLOAT, ["n", D])],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if kind == "onnx":
        onnx.save_model(proto, path := folder / "acts.onnx")
        return path
    (path := folder / "acts").mkdir()
    onnx.save_model(proto, path / "acts.onnx", save_as_external_data=True, location="values", size_threshold=64)
    return path


class _Stop(Exception):
    pass


def _resume(checkpoint, stop=None):
    from srmfast.engine import checkpoint as module
    from srmfast.engine import execute, plan
    from srmfast.engine.events import BlockDone

    module._SHARE, plan._SLAB = 1e9, 1 << 10
    left = [stop]

    def on_event(event):
        if stop and isinstance(event, BlockDone):
            left[0] -= 1
            if not left[0]:
                raise _Stop

    request, how = Request(**OPTIONS), Resources(1, 1 << 30, 16)
    members = prepare([("x", rows())], [("", "standard")], request, how)
    return next(iter(execute(members, request, how, checkpoint=checkpoint, on_event=on_event).values()))


def counts(kind, path):
    """Open what is at a path and return (rows, counts)."""
    if kind == "result":
        found = srmfast.load(path)
        found.summary()
    elif kind == "part":
        found = merge([path])
    elif kind == "checkpoint":
        with Checkpoint(path, resume=True) as checkpoint:
            found = _resume(checkpoint)
    elif kind.startswith("onnx"):
        from srmfast.graph import layers

        path = path / "acts.onnx" if path.is_dir() else path
        layers(path)
        found = srmfast.run(f"{path}::acts", **OPTIONS, nonfinite="skip", inputs=rows())
    else:
        found = srmfast.run(str(path), **OPTIONS, nonfinite="skip")
    return found.attrs["rows"]["seen"], found.counts


def mutate(path, rng):
    """Damage one file, or one file of a folder."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != "lock")
        path = files[rng.integers(0, len(files))]
    data, way = bytearray(path.read_bytes()), rng.integers(0, 6)
    size = len(data)
    if way == 0 or not size:
        data = data[: rng.integers(0, size + 1)]
    elif way == 1:
        at = rng.integers(0, size)
        data[at:at] = rng.bytes(rng.integers(1, 40))
    elif way == 2:
        at, length = rng.integers(0, size), rng.integers(1, 64)
        data[at : at + length] = rng.choice([b"\0", b"\xff", rng.bytes(1)]) * int(min(length, size - at))
    elif way == 3:  # another number in a header
        digits = list(re.finditer(rb"\d+", bytes(data[:4096]) + bytes(data[-4096:] if size > 4096 else b"")))
        if digits:
            one = digits[rng.integers(0, len(digits))]
            new = rng.choice([b"0", b"1", b"7", b"99999999", b"-1", b"9223372036854775807", b"1e400"])
            at = one.start() if one.start() < min(4096, size) else size - 8192 + one.start()
            data[at : at + len(one.group())] = bytes(new)
    else:
        near = min(size, 512) if way == 4 else size
        for at in rng.integers(0, near, rng.integers(1, 5)):
            data[at] ^= 1 << rng.integers(0, 8)
    path.write_bytes(data)


def child(kind, place, first, last):
    """Damage and open files first … last − 1, a line each."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    place = Path(place)
    sound = make(kind, place)
    wanted = counts(kind, _copy(sound, place))
    print("sound", flush=True)
    for number in range(first, last):
        print("at", number, flush=True)
        path = _copy(sound, place)
        mutate(path, np.random.default_rng([number, len(kind), ord(kind[0])]))
        try:
            seen, found = counts(kind, path)
            outcome = "same" if seen == wanted[0] and np.array_equal(found, wanted[1]) else "values"
            if outcome == "values" and (kind in CHECKED or seen != wanted[0]):
                outcome = "silent"
        except (srmfast.SrmfastError, OSError, MemoryError) as error:
            outcome = "refused" if "\n" not in str(error) else "traceback"
        except BaseException:  # whatever else comes out would be a traceback to a user
            outcome = "traceback"
            print("what", " ".join(traceback.format_exc().split())[-300:], flush=True)
        print("done", number, outcome, flush=True)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, flush=True)


def _copy(sound, place):
    path = place / f"damaged{''.join(sound.suffixes)}"
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if sound.is_dir():
        return Path(shutil.copytree(sound, path))
    return Path(shutil.copy(sound, path))


def campaign(kind, files, say=print):
    """Damage so many files of one kind; return a Counter of outcomes, None when its library is not installed."""
    outcomes, first, peak = collections.Counter(), 0, 0
    with tempfile.TemporaryDirectory() as place:
        if make(kind, Path(place)) is None:
            return None
    while first < files:
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-W", "ignore", __file__, "--child", kind, place, str(first), str(files)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ)
            number, limit, sound = first - 1, 120, False  # compiling and making the file, the first time
            buffer = b""
            while True:
                began = time.monotonic()
                ready, _, _ = select.select([process.stdout], [], [], limit)
                piece = os.read(process.stdout.fileno(), 1 << 16) if ready else None
                if piece is None or not piece:
                    break
                buffer += piece
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    word, *rest = line.decode("utf-8", "replace").split(" ", 2)
                    if word == "sound":
                        sound = True
                    elif word == "at":
                        number, limit = int(rest[0]), SECONDS
                    elif word == "done":
                        outcomes[rest[1]] += 1
                        first = number + 1
                        if rest[1] in BAD:
                            say(f"{kind} {number}: {rest[1]}")
                    elif word == "what":
                        say(f"{kind} {number}: {' '.join(rest)}")
                    elif word == "peak":
                        peak = max(peak, int(rest[0]))
            hang = time.monotonic() - began >= limit
            process.kill()
            process.communicate()
            if not sound:
                raise SystemExit(f"the undamaged {kind} cannot be counted")
            if first <= number or (first < files and number < first):
                outcomes["hang" if hang else "crash"] += 1
                say(f"{kind} {number}: {'hang' if hang else 'crash'}")
                first = max(first, number) + 1
    outcomes["peak MiB"] = peak
    return outcomes


KINDS = (
    "npy", "npz", "npz-deflated", "zarr", "zarr-2", "zarr-sharded", "zarr-zip", "h5", "h5-plain", "safetensors", "pt", "parquet",
    "onnx", "onnx-external", "result", "checkpoint", "part",
)  # fmt: skip


def main():
    """Run the campaign and print its tally."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000, help="of all kinds together")
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, place, first, last = arguments.child
        return child(kind, place, int(first), int(last))
    bad = 0
    columns = ("refused", "same", "values", *BAD, "peak MiB")
    print(f"{'':<14}" + "".join(f"{column:>11}" for column in columns))
    for kind in arguments.kinds:
        outcomes = campaign(kind, -(-arguments.files // len(arguments.kinds)))
        if outcomes is None:
            print(f"{kind:<14} its library is not installed")
            continue
        print(f"{kind:<14}" + "".join(f"{outcomes[column]:>11,}" for column in columns), flush=True)
        bad += sum(outcomes[column] for column in BAD)
    print(f"{bad} that must not be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
