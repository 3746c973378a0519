"""What several commands take: axes, rows, resources, and values in the form they are typed."""

import argparse
import os

AGAIN = ("labels", "groups", "mask", "lengths", "tokens")  # columns of a run that is done again
RESERVE = 48 << 20  # bytes that kernels, codecs and the result's writer add to the process after planning


def add_axes(parser):
    """Declare how an array of any rank becomes rows."""
    group = parser.add_argument_group("arrays of any rank")
    group.add_argument(
        "--feature-axis",
        type=axis,
        metavar="A",
        help="axis of the features, by number or name (default: last); 0 for (d, n) files",
    )
    group.add_argument(
        "--index",
        action="append",
        default=[],
        metavar="AXIS=I",
        help="fix an axis, by number or name: 1=12, layer=12; layer=* runs over each",
    )
    group.add_argument("--flatten", action="store_true", help="first axis rows, all others features")
    group.add_argument(
        "--pool", choices=("mean",), help="one row per position of the first row axis: the mean over the others"
    )


def add_inputs(parser):
    """Declare what a model is given, where a STORE is MODEL.onnx::TENSOR."""
    group = parser.add_argument_group("models (MODEL.onnx::TENSOR)")
    group.add_argument(
        "--inputs", action="append", metavar="[NAME=]X",
        help="items that the model is given: an array file for one input, a .npz or folder with an array for each, or NAME=FILE "
        "each",
    )  # fmt: skip
    group.add_argument(
        "--batch",
        type=int,
        metavar="B",
        help="items given at once (default: up to 64, from model and input shape alone)",
    )


def inputs(given):
    """Parse --inputs options: a path, or a dict of them by the names of inputs; None without any."""
    from srmfast.errors import InputError

    found = [named(text) for text in given or ()]
    if len(found) == 1 and not found[0][0]:
        return found[0][1]
    if any(not name for name, _ in found) or len({name for name, _ in found}) < len(found):
        raise InputError(f"several --inputs must be NAME=FILE with different names, got {', '.join(given)}; name each")
    return dict(found) or None


def add_rows(parser):
    """Declare which rows take part, and what they are labelled with."""
    rows = parser.add_argument_group("which rows", "F|key: a file, or the key of an array beside the store")
    for name, summary in (
        ("labels", "class of each row"),
        ("groups", "document, image or prompt of each row"),
        ("mask", "true keeps the row"),
        ("lengths", "positions of each sequence (N, T, d) that are no padding"),
        (
            "tokens",
            "token id of each row, for --exclude-tokens and --strata token (default: tokens, token_ids or input_ids beside the store)",
        ),
    ):
        rows.add_argument(f"--{name}", metavar="F|key", help=summary)
    rows.add_argument(
        "--padding", choices=("right", "left"), default="right", help="side that --lengths leaves out (default right)"
    )
    rows.add_argument(
        "--exclude-tokens", metavar="ID[,ID…]", help="leave out rows of these token ids, wherever in a sequence"
    )
    rows.add_argument(
        "--max-norm",
        metavar="X",
        help="leave out rows longer than X times the median norm (one more reading), or than the L of abs:L",
    )
    rows.add_argument("--rows", metavar="START:STOP[:STEP]", help="use these rows only")
    rows.add_argument(
        "--sample", type=int, default=0, metavar="N", help="use N rows drawn with --seed (default 0: all)"
    )
    rows.add_argument(
        "--zero-rows",
        choices=("drop", "keep"),
        default="drop",
        help="whether rows of zero norm leave the denominator (default drop)",
    )
    rows.add_argument(
        "--nonfinite", choices=("error", "skip"), default="error", help="rows with NaN or infinity (default error)"
    )
    rows.add_argument(
        "--missing-chunks",
        choices=("error", "skip", "zeros"),
        default="error",
        help="chunks that are not in the store (default error)",
    )


def add_resources(parser, checkpoints=True):
    """Declare how a run is carried out; return the group."""
    how = parser.add_argument_group("how (changes no number)")
    how.add_argument("--threads", type=int, metavar="T", help="compute threads (default: all cores)")
    how.add_argument(
        "--memory", metavar="SIZE", help="of the whole process, 2GiB for example (default: a quarter of what there is)"
    )
    how.add_argument(
        "--block-rows", type=int, metavar="R", help="rows in one kernel call (default: what fits the cache)"
    )
    how.add_argument("--progress", choices=("auto", "bar", "plain", "none"), default="auto", help="on standard error")
    if checkpoints:
        how.add_argument(
            "--checkpoint",
            metavar="DIR",
            help="folder for what has been counted, so that the run can be killed and resumed",
        )
        how.add_argument(
            "--checkpoint-every", type=real, default=10.0, metavar="S", help="seconds between checkpoints (default 10)"
        )
        how.add_argument("--resume", action="store_true", help="go on with the run in --checkpoint, if there is one")
    return how


def add_inner_product(parser):
    """Declare the inner product that cosines and norms are of."""
    group = parser.add_argument_group("another inner product")
    group.add_argument(
        "--inner-product", metavar="M.npy",
        help="a positive definite (d, d) matrix: cosines and norms are of x·My, not of x·y (takes d² operations a row more)",
    )  # fmt: skip


def request(arguments, **more):
    """Return what was asked for, checked as far as it can be without opening anything; `more` overrides options."""
    from srmfast.engine import Request

    given = {name: getattr(arguments, name) for name in Request.__dataclass_fields__ if hasattr(arguments, name)}
    return Request(**given | {"index": index(arguments.index), "inputs": inputs(arguments.inputs)} | more)


def floats(text):
    """Parse numbers separated by commas."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers separated by commas, got {text!r}") from None
    if _decimal_comma(text) and abs(found[1]) > 1:  # a cosine is not
        raise argparse.ArgumentTypeError(f"{text} is {found[0]:g} and {found[1]:g}; did you mean {_pointed(text)}?")
    return found


def real(text):
    """Parse one number."""
    try:
        return float(text)
    except ValueError:
        hint = f"; did you mean {_pointed(text)}?" if _decimal_comma(text) else ""
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}{hint}") from None


def _decimal_comma(text):
    whole, comma, digits = text.strip().partition(",")
    return bool(comma) and whole.lstrip("+-").isdecimal() and digits.isdecimal()


def _pointed(text):
    return text.strip().replace(",", ".")


def whole(text):
    """Parse whole numbers separated by commas; None for None."""
    from srmfast.errors import InputError

    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"vectors must be whole numbers separated by commas, got {text!r}") from None


def seed(text):
    """Parse a seed."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return int(text)


def index(pairs):
    """Parse AXIS=I options into a dict; None without any."""
    from srmfast.errors import InputError

    index = {}
    for pair in pairs:
        name, _, position = pair.rpartition("=")
        try:
            position = "*" if position.strip() == "*" else int(position)
            if not name.strip():
                raise ValueError
        except ValueError:
            raise InputError(
                f"--index must be AXIS=I, the number or name of an axis and a position, got {pair!r}; for example 1=12 or "
                "layer=12"
            ) from None
        if axis(name) in index:
            raise InputError(f"--index may fix an axis once, got axis {name} twice; drop one")
        index[axis(name)] = position
    return index or None


def axis(text):
    """Return the number of an axis, or its name as it is."""
    try:
        return int(text)
    except ValueError:
        return text.strip()


def named(text):
    """Split [NAME=]B; without a name it takes its own, and a file may have "=" in its path, and an address in its query."""
    name, equals, spec = text.partition("=")
    whole = "://" in name or os.path.exists(text.partition("::")[0])
    return (name, spec) if equals and not whole else ("", text)


def check_suffix(out, what, suffix):
    """Refuse an output that is named like something else."""
    from srmfast.errors import InputError

    if not out.rstrip("/").endswith(suffix):
        raise InputError(f"the name of a {what} must end in {suffix}, got {out}; for example out{suffix}")


def resources(arguments):
    """Return the resources asked for: the run may add what --memory leaves above the process as it is now."""
    return left_of(arguments.memory, arguments.threads, arguments.block_rows)


def left_of(memory, threads=None, block_rows=None):
    """Return resources whose memory is what a limit for the whole process leaves."""
    from srmfast.spec import Resources, resident_bytes

    given = Resources.resolve(threads, memory, block_rows)
    return Resources(given.threads, max(0, given.memory - resident_bytes() - RESERVE), given.block_rows)


def checkpoint(arguments):
    """Return the checkpoint folder, open and locked, or an empty context without one."""
    import contextlib

    from srmfast.engine import Checkpoint
    from srmfast.errors import InputError

    if arguments.checkpoint is None:
        if arguments.resume:
            raise InputError("--resume goes on with what a folder holds: name it by --checkpoint DIR")
        return contextlib.nullcontext()
    return Checkpoint(arguments.checkpoint, every=arguments.checkpoint_every, resume=arguments.resume)


def add_again(parser):
    """Declare what a run that is done again may need."""
    for name in AGAIN:
        parser.add_argument(f"--{name}", metavar="F|key", help="of the run, when they were in memory or have moved")
    add_inputs(parser)
    add_resources(parser, checkpoints=False)


def again(arguments):
    """Return what `add_again` declared, for `verify` and `reproduce`."""
    from srmfast.progress import Progress

    given = {name: getattr(arguments, name) for name in AGAIN} | {
        "inputs": inputs(arguments.inputs),
        "batch": arguments.batch,
    }
    return given | {"resources": resources(arguments), "on_event": Progress(arguments.progress)}


def cluster(arguments, resources):
    """Return the Dask cluster asked for, or an empty context without one."""
    import contextlib

    from srmfast.errors import InputError

    if arguments.scheduler is None:
        return contextlib.nullcontext()
    if arguments.shard:
        raise InputError("--scheduler cuts the rows itself; drop --shard")
    from srmfast.engine.cluster import Cluster

    return Cluster(arguments.scheduler, resources)


def result(path):
    """Load what a run has written; projections and neurons are not that."""
    from srmfast import load
    from srmfast.errors import InputError
    from srmfast.results import Result, Results

    found = load(path)
    if type(found) not in (Result, Results):
        raise InputError(
            f"a result of srmfast run is needed, and {path} holds another kind; srmfast show and plot take it"
        )
    return found


def members_of(path):
    """Yield (name, result) of each result in a file; the name of a single one is empty."""
    found = result(path)
    if hasattr(found, "items"):
        yield from (("/".join(key), member) for key, member in found.items())
    else:
        yield "", found
