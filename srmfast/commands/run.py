"""srmfast run: count activations in a cone that turns through every plane of a basis."""

import os
import sys

from srmfast.commands import options
from srmfast.whole import sweep

SUMMARY = "count activations in a cone that turns through every plane of a basis"
PYTHON = "srmfast.run('acts.zarr', 'basis.npy', epsilon=0.9).save('out.zarr')"


def add_arguments(parser):
    """Declare what the command takes, first what most runs need."""
    parser.usage = f"{parser.prog} STORE… -o OUT.zarr [options]"
    parser.add_argument(
        "stores",
        nargs="+",
        metavar="STORE",
        help="path or path::key (.npy .npz .zarr .h5 .safetensors .pt .parquet .onnx …), or a folder or glob of shards",
    )
    what = parser.add_argument_group("what is counted")
    what.add_argument(
        "--basis",
        action="append",
        metavar="[NAME=]B",
        help="standard (default), plusminus, simplex, random:K, thompson:K or a (k, d) file; may be repeated",
    )
    what.add_argument(
        "--epsilon",
        type=options.floats,
        default=(0.9,),
        metavar="E[,E…]",
        help="cosine of the cone's half-angle (default 0.9; srmfast inspect proposes one)",
    )
    what.add_argument(
        "--centre",
        nargs="?",
        const=True,
        default=False,
        metavar="F|both[:F]",
        help="subtract the mean, or F; both: with and without",
    )
    what.add_argument(
        "--null",
        type=int,
        default=0,
        metavar="M",
        help="compare the basis with M random rotations of it (at least 39; 99 is a good choice) for a verdict",
    )
    what.add_argument(
        "--planes",
        default="permutations",
        metavar="KIND",
        help="permutations (default), combinations, neighbours, random:P, active:P (the P with most hits on half of the "
        "rows), a file of index pairs, or a result (.zarr)",
    )
    what.add_argument("--angles", type=int, default=360, metavar="A", help="angles in one turn (default 360)")
    what.add_argument("--basis-transpose", action="store_true", help="basis files are (d, k)")
    what.add_argument(
        "--seed",
        type=options.seed,
        default=0,
        metavar="S",
        help="for random bases, planes, samples and rotations (default 0)",
    )
    out = parser.add_argument_group("output")
    out.add_argument("-o", "--out", metavar="OUT.zarr", help="the result, opened by xarray as it is")
    out.add_argument("--plot", metavar="OUT.png", help="draw it too (.png, .pdf, .svg)")
    out.add_argument("--force", action="store_true", help="replace an existing output")
    out.add_argument(
        "--keep",
        default="auto",
        metavar="RULE",
        help="planes in the result: auto (default), all, hit, top:K or summary",
    )
    out.add_argument(
        "--shard", metavar="I/N", help="count one of N ranges of rows only, into a file OUT.part for srmfast merge"
    )
    beside = parser.add_argument_group("counted beside it, in the same reading")
    beside.add_argument(
        "--controls",
        action="store_true",
        help="random vectors of the same number and kind for each basis (NAME-random), and "
        "the standard basis beside a rotation of it",
    )
    beside.add_argument(
        "--strata",
        metavar="FAMILY[,…]",
        help="kinds of rows, over all planes: position, norm (norm:MEDIAN), token (token:T or token:id=A+B), massive",
    )
    options.add_rows(parser)
    options.add_inner_product(parser)
    options.add_axes(parser)
    options.add_inputs(parser)
    how = options.add_resources(parser)
    how.add_argument(
        "--scheduler", metavar="ADDR", help="count on the workers of a Dask scheduler, tcp://HOST:PORT or local"
    )
    how.add_argument("--dry-run", action="store_true", help="print the plan and stop")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import heap
    from srmfast.engine import check_shardable, parse_shard
    from srmfast.progress import Progress

    if not arguments.out and not arguments.dry_run:
        print("srmfast run: an output is needed: -o OUT.zarr (or --dry-run)", file=sys.stderr)
        return 2
    request, shard = options.request(arguments), arguments.shard and parse_shard(arguments.shard)
    bases = [options.named(text) for text in arguments.basis or ["standard"]]
    if shard:
        check_shardable(request, bases)
    if not arguments.dry_run:
        _check_outputs(arguments)
    heap.share_heaps()
    resources, progress = options.resources(arguments), Progress(arguments.progress)
    with options.cluster(arguments, resources) as cluster:
        return _run(arguments, request, bases, shard, cluster.resources if cluster else resources, cluster, progress)


def _run(arguments, request, bases, shard, resources, cluster, progress):
    from srmfast import heap
    from srmfast.engine import prepare

    members = prepare(
        [("", path) for path in arguments.stores],
        bases,
        request,
        resources,
        on_event=progress,
        compiles=not arguments.dry_run,
        apart=True,
    )
    _warn(members)
    if arguments.dry_run:
        print("\n\n".join(member.describe(resources) for member in members))
        return 0
    if arguments.resume and os.path.exists(arguments.out) and not arguments.force:
        return _written_before(arguments, members, request, shard)
    if cluster is not None:
        cluster.check(members)
    for member in members:
        heap.fit(member.plan.nbytes, member.slab_bytes, resources.memory)
        if member.store.computes and heap.KEPT_OF_MODELS * member.plan.nbytes > resources.memory:
            heap.give_back()
    with options.checkpoint(arguments) as checkpoint:
        common = dict(checkpoint=checkpoint, on_event=progress)
        if shard:
            _count_part(arguments, members, request, resources, shard, common)
        else:
            _count(arguments, members, request, resources, common | {"cluster": cluster})
        if checkpoint is not None:
            checkpoint.finish()
            sweep(arguments.out)
    return 0


def _warn(members):
    """Tell what was found out about the stores; what several have in common, once."""
    told = {}
    for member in members:
        for warning in [*member.store.layout(), *member.notes]:
            told.setdefault(warning.removeprefix(f"{member.store.name} "), []).append(warning)
    for warnings in told.values():
        others = len(warnings) - 1
        so = f" (and so {others} more store{'s' * (others > 1)})" if others else ""
        print(f"srmfast: {warnings[0]}{so}", file=sys.stderr)


def _check_outputs(arguments):
    """Refuse, before any work is done, what cannot be written; a resumed run may have been killed after its last step."""
    from srmfast.archive import check_output
    from srmfast.errors import InputError

    if arguments.checkpoint:
        out, folder = (os.path.realpath(path) for path in (arguments.out, arguments.checkpoint))
        if os.path.commonpath([out, folder]) in (out, folder):
            raise InputError(
                f"output and checkpoint must be different places, got {arguments.out} and {arguments.checkpoint}; choose another folder"
            )
    if arguments.shard:
        options.check_suffix(arguments.out, "part", ".part")
        check_output(arguments.out, force=arguments.force or arguments.resume, folder=False)
        if arguments.plot:
            raise InputError("a part is no picture yet: merge the parts, then srmfast plot OUT.zarr")
        return
    options.check_suffix(arguments.out, "result", ".zarr")
    check_output(arguments.out, force=arguments.force or arguments.resume)
    if arguments.plot:
        from srmfast import plots

        plots.check_picture(arguments.plot)


def _count(arguments, members, request, resources, common):
    from srmfast.archive import flush
    from srmfast.engine import execute

    results = execute(members, request, resources, **common)
    result = next(iter(results.values())) if len(results) == 1 else results
    result.save(arguments.out, force=arguments.force)
    if common["checkpoint"] is not None:
        flush(arguments.out)
    print(result.summary())
    print(f"\nwritten to {arguments.out}")
    if arguments.plot:
        result.plot(arguments.plot)
        print(f"drawn to {arguments.plot}")


def _count_part(arguments, members, request, resources, shard, common):
    from srmfast.engine import count_part

    rows = count_part(members, request, resources, shard, arguments.out, **common)
    print(f"part {shard[0]} of {shard[1]}, {rows:,} rows, written to {arguments.out}")
    print("when all parts are there: srmfast merge *.part -o OUT.zarr")


def _written_before(arguments, members, request, shard):
    """A resumed run finds its output: say so if it is that of this run, refuse it otherwise."""
    from srmfast import load
    from srmfast.engine import identity_of, identity_of_part, identity_of_result, states_of
    from srmfast.errors import InputError
    from srmfast.spec import differing

    wanted, result = identity_of(members, request), None
    if shard:
        found, wanted = identity_of_part(arguments.out), wanted | {"shard": list(shard)}
    else:
        result = load(arguments.out)
        found = identity_of_result(result, {member.name: member.finds_mean for member in members})
    if other := differing(found, wanted):
        raise InputError(f"{arguments.out} is of another run: {other}; use --force to replace it")
    with options.checkpoint(arguments) as checkpoint:
        checkpoint.begin(states_of(members, request) | ({"shard": list(shard)} if shard else {}))
        checkpoint.finish()
        sweep(arguments.out)
    print(f"{arguments.out} was written before: nothing is left to count")
    if arguments.plot and result is not None:
        result.plot(arguments.plot)
        print(f"drawn to {arguments.plot}")
    return 0
