"""The command line: each command parses, makes one public call and prints one summary. No numerics here."""

import argparse
import os
import re
import signal
import sys
import threading

from srmfast import __version__
from srmfast.errors import SrmfastError

RESERVE = 48 << 20  # bytes that kernels, codecs and the result's writer add to the process after planning
_EPILOG = {
    "run": "Python: srmfast.run('acts.zarr', 'basis.npy', epsilon=0.9).save('out.zarr')",
    "demo": "Python: srmfast.analyses.demo.demo('srmfast-demo')",
    "inspect": "Python: srmfast.analyses.inspection.inspect(srmfast.open_store('acts.zarr'))",
    "basis": "Python: srmfast.load_basis('thompson:32', 16).vectors",
    "show": "Python: print(srmfast.load('out.zarr').summary())",
    "plot": "Python: srmfast.load('out.zarr').plot('out.png')",
}


def main(argv=None):
    """Run one command; return its exit code: 0 done, 1 failed with one line, 2 wrong usage."""
    arguments = build_parser().parse_args(argv)
    interrupted = []

    def interrupt(signum, frame):
        interrupted.append(signum)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():  # the only one that may set handlers
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, interrupt)
    try:
        code = arguments.command(arguments) or 0
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, Exception) as error:
        # Whatever library code was interrupted may have turned the interrupt into an error of its own.
        if interrupted or isinstance(error, KeyboardInterrupt):
            return _fail("interrupted; nothing half-written is left", code=130)
        return _explain(error)


def _explain(error):
    """Print the one line for an error that is the user's to mend; raise any other again."""
    if isinstance(error, SrmfastError):
        return _fail(error)
    if isinstance(error, MemoryError):
        return _fail(f"the machine ran out of memory ({error}); use a smaller --memory")
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `srmfast show … | head` is no failure
        return 0
    if isinstance(error, OSError):
        return _fail(f"files must be readable and writable, got {error}; check the path and the disk")
    raise error


def _fail(message, code=1):
    """Print one line, whatever line breaks a file name or a library's message brings."""
    bar = "\r\x1b[K" if sys.stderr.isatty() else ""  # an unfinished progress bar gives way
    print(f"{bar}srmfast:", *str(message).split(), file=sys.stderr)
    return code


def build_parser():
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="srmfast",
        description="Do a network's activations align with its privileged basis? Exact Spotlight Resonance for stores of any size.",
        epilog="Exit codes: 0 done, 1 failed (one line says rule, value, remedy), 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"srmfast {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_demo(commands)
    _add_inspect(commands)
    _add_basis(commands)
    _add_show(commands)
    _add_plot(commands)
    return parser


def _command(commands, name, function, summary):
    parser = commands.add_parser(name, help=summary, description=summary, epilog=_EPILOG[name])
    parser.set_defaults(command=function)
    parser._negative_number_matcher = re.compile(
        r"-\.?\d"
    )  # "--epsilon -0.5,0.5" and "--rows -9:" are values, no options
    return parser


def _add_axes(parser):
    group = parser.add_argument_group("arrays of any rank")
    group.add_argument(
        "--feature-axis", type=int, metavar="A", help="axis of the features (default: last); 0 for (d, n) files"
    )
    group.add_argument(
        "--index", action="append", default=[], metavar="AXIS=I", help="fix an axis, a layer for example"
    )
    group.add_argument("--flatten", action="store_true", help="first axis rows, all others features")


def _add_run(commands):
    parser = _command(
        commands, "run", _run, "count activations inside a cone of light turning through every plane of a basis"
    )
    parser.add_argument(
        "stores",
        nargs="+",
        metavar="STORE",
        help="path or path::key (.npy .npz .zarr .h5 …), or a folder or glob of shards",
    )
    what = parser.add_argument_group("what is counted")
    what.add_argument(
        "--basis",
        action="append",
        metavar="[NAME=]B",
        help="standard (default), plusminus, simplex, random:K, thompson:K or a (k, d) file; may be repeated",
    )
    what.add_argument("--basis-transpose", action="store_true", help="basis files are (d, k)")
    what.add_argument(
        "--epsilon",
        type=_floats,
        default=(0.9,),
        metavar="E[,E…]",
        help="cosine of the cone's half-angle (default 0.9)",
    )
    what.add_argument("--angles", type=int, default=360, metavar="A", help="angles in one turn (default 360)")
    what.add_argument(
        "--planes",
        default="permutations",
        metavar="KIND",
        help="permutations (default), combinations, neighbours, random:P, active:P (the P with most hits on half of the "
        "rows) or a file of index pairs",
    )
    what.add_argument(
        "--centre",
        nargs="?",
        const=True,
        default=False,
        metavar="F",
        help="subtract the mean of the rows, or the one in F",
    )
    what.add_argument(
        "--seed", type=_seed, default=0, metavar="S", help="for random bases, planes and samples (default 0)"
    )
    rows = parser.add_argument_group("which rows")
    for name, summary in (
        ("labels", "class of each row"),
        ("groups", "document, image or prompt of each row"),
        ("mask", "true keeps the row"),
    ):
        rows.add_argument(
            f"--{name}", metavar="F|key", help=f"{summary}: a file, or the key of an array beside the store"
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
    _add_axes(parser)
    how = parser.add_argument_group("how (changes no number)")
    how.add_argument("--threads", type=int, metavar="T", help="compute threads (default: all cores)")
    how.add_argument(
        "--memory", metavar="SIZE", help="of the whole process, 2GiB for example (default: a quarter of what there is)"
    )
    how.add_argument(
        "--block-rows", type=int, metavar="R", help="rows in one kernel call (default: what fits the cache)"
    )
    how.add_argument("--progress", choices=("auto", "bar", "plain", "none"), default="auto", help="on standard error")
    how.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    out = parser.add_argument_group("output")
    out.add_argument(
        "--keep",
        default="auto",
        metavar="RULE",
        help="planes in the result: auto (default), all, hit, top:K or summary",
    )
    out.add_argument("-o", "--out", metavar="OUT.zarr", help="the result, opened by xarray as it is")
    out.add_argument("--plot", metavar="OUT.png", help="draw it too (.png, .pdf, .svg)")
    out.add_argument("--force", action="store_true", help="replace an existing output")


def _run(arguments):
    from srmfast import heap
    from srmfast.archive import check_output
    from srmfast.engine import Request, execute, prepare
    from srmfast.progress import Progress

    if not arguments.out and not arguments.dry_run:
        print("srmfast run: an output is needed: -o OUT.zarr (or --dry-run)", file=sys.stderr)
        return 2
    request = Request(
        epsilon=arguments.epsilon, angles=arguments.angles, planes=arguments.planes, labels=arguments.labels,
        groups=arguments.groups, mask=arguments.mask, centre=arguments.centre, keep=arguments.keep, seed=arguments.seed,
        rows=arguments.rows, sample=arguments.sample, zero_rows=arguments.zero_rows, nonfinite=arguments.nonfinite,
        missing_chunks=arguments.missing_chunks, feature_axis=arguments.feature_axis, index=_index(arguments.index),
        flatten=arguments.flatten, basis_transpose=arguments.basis_transpose,
    )  # fmt: skip
    if not arguments.dry_run:
        _check_name(arguments.out)
        check_output(arguments.out, force=arguments.force)
        if arguments.plot:
            from srmfast import plots

            plots.check_picture(arguments.plot)
    heap.share_heaps()
    resources, progress = _resources(arguments), Progress(arguments.progress)
    members = prepare(
        [("", path) for path in arguments.stores],
        [_named(text) for text in arguments.basis or ["standard"]],
        request,
        resources,
        on_event=progress,
        compiles=not arguments.dry_run,
        apart=True,
    )
    for member in members:
        for warning in member.store.layout():
            print(f"srmfast: {warning}", file=sys.stderr)
    if arguments.dry_run:
        print("\n\n".join(member.describe(resources) for member in members))
        return 0
    for member in members:
        heap.fit(member.plan.nbytes, member.slab_bytes, resources.memory)
    results = execute(members, request, resources, on_event=progress)
    result = next(iter(results.values())) if len(results) == 1 else results
    result.save(arguments.out, force=arguments.force)
    print(result.summary())
    print(f"\nwritten to {arguments.out}")
    if arguments.plot:
        result.plot(arguments.plot)
        print(f"drawn to {arguments.plot}")
    return 0


def _add_demo(commands):
    parser = _command(
        commands, "demo", _demo, "the whole way on real activations inside the package: store, result, figures"
    )
    parser.add_argument(
        "--out", default="srmfast-demo", metavar="DIR", help="folder for everything it makes (default srmfast-demo)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing folder of an earlier demo")


def _demo(arguments):
    from srmfast.analyses.demo import demo
    from srmfast.progress import Progress

    print(demo(arguments.out, force=arguments.force, on_event=Progress("auto")))


def _add_inspect(commands):
    parser = _command(
        commands, "inspect", _inspect, "what a store holds, what a run over it would take, and an epsilon to begin with"
    )
    parser.add_argument("store", metavar="STORE")
    parser.add_argument(
        "--basis", default="standard", metavar="B", help="for the projection of planes and memory (default standard)"
    )
    parser.add_argument("--seed", type=_seed, default=0, metavar="S", help="of the sampled rows (default 0)")
    _add_axes(parser)


def _inspect(arguments):
    from srmfast import open_store
    from srmfast.analyses.inspection import inspect

    store = open_store(
        arguments.store, feature_axis=arguments.feature_axis, index=_index(arguments.index), flatten=arguments.flatten
    )
    print(inspect(store, basis=arguments.basis, seed=arguments.seed))


def _add_basis(commands):
    parser = _command(commands, "basis", _basis, "make a basis and say how it is spread")
    parser.add_argument("kind", choices=("standard", "plusminus", "simplex", "random", "thompson"))
    parser.add_argument("--dim", type=int, required=True, metavar="D", help="width of the activations")
    parser.add_argument("--count", type=int, metavar="K", help="number of vectors (random, thompson)")
    parser.add_argument("--seed", type=_seed, default=0, metavar="S")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("-o", "--out", required=True, metavar="B.npy")


def _basis(arguments):
    from srmfast.analyses.basis_file import write_basis

    counted = arguments.kind in ("random", "thompson")
    if counted != (arguments.count is not None):
        print(f"srmfast basis: {arguments.kind} {'needs' if counted else 'takes no'} --count K", file=sys.stderr)
        return 2
    kind = f"{arguments.kind}:{arguments.count}" if counted else arguments.kind
    print(write_basis(kind, arguments.dim, arguments.out, seed=arguments.seed, force=arguments.force))
    return 0


def _add_show(commands):
    parser = _command(commands, "show", _show, "one screen about a result: rows, peaks, references, what to try next")
    parser.add_argument("result", metavar="RESULT")
    parser.add_argument("--csv", metavar="F.csv", help="write the counts of every kept plane to a CSV file as well")


def _show(arguments):
    from srmfast import load

    result = load(arguments.result)
    print(result.summary())
    if arguments.csv:
        result.to_csv(arguments.csv)
        print(f"\nwritten to {arguments.csv}")


def _add_plot(commands):
    parser = _command(commands, "plot", _plot, "draw a result")
    parser.add_argument("result", metavar="RESULT")
    parser.add_argument("-o", "--out", required=True, metavar="F.png", help=".png, .pdf or .svg")
    parser.add_argument("--kind", choices=("auto", "lines", "heatmap", "labels"), default="auto")
    parser.add_argument("--epsilon", type=float, metavar="E", help="draw this one only")
    parser.add_argument("--label", metavar="L", help="draw this one only")
    parser.add_argument("--signed", action="store_true", help="f(θ) − f(θ + π)")


def _plot(arguments):
    from srmfast import load

    load(arguments.result).plot(
        arguments.out, kind=arguments.kind, epsilon=arguments.epsilon, label=arguments.label, signed=arguments.signed
    )
    print(f"drawn to {arguments.out}")


def _floats(text):
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers separated by commas, got {text!r}") from None


def _seed(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return int(text)


def _index(pairs):
    """Parse AXIS=I options into a dict; None without any."""
    from srmfast.errors import InputError

    index = {}
    for pair in pairs:
        axis, _, position = pair.partition("=")
        try:
            axis, position = int(axis), int(position)
        except ValueError:
            raise InputError(f"--index must be AXIS=I with whole numbers, got {pair!r}; for example 1=12") from None
        if axis in index:
            raise InputError(f"--index may fix an axis once, got axis {axis} twice; drop one")
        index[axis] = position
    return index or None


def _named(text):
    """Split [NAME=]B; without a name it takes its own, and a file may have "=" in its path."""
    name, equals, spec = text.partition("=")
    return (name, spec) if equals and not os.path.exists(text.partition("::")[0]) else ("", text)


def _check_name(out):
    """Refuse a result that is named like something else, a figure or an array."""
    from srmfast.errors import InputError

    if not out.rstrip("/").endswith(".zarr"):
        raise InputError(f"the name of a result must end in .zarr, got {out}; for example out.zarr")


def _resources(arguments):
    """The run may add what --memory leaves above the process as it is now."""
    from srmfast.spec import Resources, resident_bytes

    resources = Resources.resolve(arguments.threads, arguments.memory, arguments.block_rows)
    left = max(0, resources.memory - resident_bytes() - RESERVE)
    return Resources(resources.threads, left, resources.block_rows)
