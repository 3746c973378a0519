"""srmfast run: count activations inside a cone of light turning through every plane of a basis."""

import sys

from srmfast.commands import options

SUMMARY = "count activations inside a cone of light turning through every plane of a basis"
PYTHON = "srmfast.run('acts.zarr', 'basis.npy', epsilon=0.9).save('out.zarr')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument(
        "stores",
        nargs="+",
        metavar="STORE",
        help="path or path::key (.npy .npz .zarr .h5 .safetensors .pt .parquet …), or a folder or glob of shards",
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
        type=options.floats,
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
        "--seed", type=options.seed, default=0, metavar="S", help="for random bases, planes and samples (default 0)"
    )
    options.add_rows(parser)
    options.add_axes(parser)
    how = options.add_resources(parser)
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


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import heap
    from srmfast.archive import check_output
    from srmfast.engine import execute, prepare
    from srmfast.progress import Progress

    if not arguments.out and not arguments.dry_run:
        print("srmfast run: an output is needed: -o OUT.zarr (or --dry-run)", file=sys.stderr)
        return 2
    request = options.request(arguments)
    if not arguments.dry_run:
        options.check_name(arguments.out)
        check_output(arguments.out, force=arguments.force)
        if arguments.plot:
            from srmfast import plots

            plots.check_picture(arguments.plot)
    heap.share_heaps()
    resources, progress = options.resources(arguments), Progress(arguments.progress)
    members = prepare(
        [("", path) for path in arguments.stores],
        [options.named(text) for text in arguments.basis or ["standard"]],
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
