"""What several commands take: axes, rows, resources, and values in the form they are typed."""

import argparse
import os

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
        "--index", action="append", default=[], metavar="AXIS=I", help="fix an axis, by number or name: 1=12, layer=12"
    )
    group.add_argument("--flatten", action="store_true", help="first axis rows, all others features")
    group.add_argument(
        "--pool", choices=("mean",), help="one row per position of the first row axis: the mean over the others"
    )


def add_rows(parser):
    """Declare which rows take part, and what they are labelled with."""
    rows = parser.add_argument_group("which rows")
    for name, summary in (
        ("labels", "class of each row"),
        ("groups", "document, image or prompt of each row"),
        ("mask", "true keeps the row"),
        ("lengths", "positions of each sequence (N, T, d) that are no padding"),
        (
            "tokens",
            "token id of each row, for --exclude-tokens (default: tokens, token_ids or input_ids beside the store)",
        ),
    ):
        rows.add_argument(
            f"--{name}", metavar="F|key", help=f"{summary}: a file, or the key of an array beside the store"
        )
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


def add_resources(parser):
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
    return how


def request(arguments):
    """Return what was asked for, checked as far as it can be without opening anything."""
    from srmfast.engine import Request

    given = {name: getattr(arguments, name) for name in Request.__dataclass_fields__}
    return Request(**given | {"index": index(arguments.index)})


def floats(text):
    """Parse numbers separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers separated by commas, got {text!r}") from None


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
            position = int(position)
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
    """Split [NAME=]B; without a name it takes its own, and a file may have "=" in its path."""
    name, equals, spec = text.partition("=")
    return (name, spec) if equals and not os.path.exists(text.partition("::")[0]) else ("", text)


def check_name(out):
    """Refuse a result that is named like something else, a figure or an array."""
    from srmfast.errors import InputError

    if not out.rstrip("/").endswith(".zarr"):
        raise InputError(f"the name of a result must end in .zarr, got {out}; for example out.zarr")


def resources(arguments):
    """The run may add what --memory leaves above the process as it is now."""
    from srmfast.spec import Resources, resident_bytes

    resources = Resources.resolve(arguments.threads, arguments.memory, arguments.block_rows)
    left = max(0, resources.memory - resident_bytes() - RESERVE)
    return Resources(resources.threads, left, resources.block_rows)
