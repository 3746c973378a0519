"""srmfast project: count where in each plane the rows close to it lie: planes from above (PPPM)."""

from srmfast.commands import options

SUMMARY = "count where in each plane the rows close to it lie: planes from above (PPPM)"
PYTHON = "srmfast.project('acts.zarr', 'basis.npy', epsilon=0.8).plot('discs.png')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("stores", nargs="+", metavar="STORE", help="as in srmfast run; several become a strip of discs")
    what = parser.add_argument_group("what is counted")
    what.add_argument("--basis", action="append", metavar="[NAME=]B", help="as in srmfast run; may be repeated")
    what.add_argument("--basis-transpose", action="store_true", help="basis files are (d, k)")
    what.add_argument(
        "--epsilon", type=options.floats, default=(0.9,), metavar="E[,E…]",
        help="smallest cosine of the angle between a row and the plane (default 0.9)",
    )  # fmt: skip
    what.add_argument(
        "--planes",
        default="combinations",
        metavar="KIND",
        help="as in srmfast run (default combinations); not active:P",
    )
    what.add_argument("--sectors", type=int, default=72, metavar="S", help="of a turn, a multiple of 8 (default 72)")
    what.add_argument("--rings", type=int, default=24, metavar="R", help="around the origin (default 24)")
    what.add_argument(
        "--extent", type=options.real, metavar="X",
        help="distance that the rings reach to (default: the 0.99 quantile of the norms of 256 rows)",
    )  # fmt: skip
    what.add_argument(
        "--centre", nargs="?", const=True, default=False, metavar="F",
        help="subtract the mean of the rows, or the one in F",
    )  # fmt: skip
    what.add_argument("--seed", type=options.seed, default=0, metavar="S", help="for random bases, planes and samples")
    options.add_rows(parser)
    options.add_axes(parser)
    options.add_inputs(parser)
    options.add_resources(parser, checkpoints=False)
    out = parser.add_argument_group("output")
    out.add_argument("--keep", default="auto", metavar="RULE", help="auto (default), all, hit, top:K or summary")
    out.add_argument(
        "--points", metavar="F.npy", help="write (plane_i, plane_j, row, u, v) of every accepted row as well"
    )
    out.add_argument("-o", "--out", required=True, metavar="OUT.zarr", help="the counts, opened by xarray as they are")
    out.add_argument("--plot", metavar="OUT.png", help="draw them too (.png, .pdf, .svg)")
    out.add_argument("--force", action="store_true", help="replace an existing output")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import heap
    from srmfast.archive import check_output
    from srmfast.engine.projecting import project_many
    from srmfast.progress import Progress

    options.check_suffix(arguments.out, "projection", ".zarr")
    check_output(arguments.out, force=arguments.force)
    if arguments.points:
        options.check_suffix(arguments.points, "file of points", ".npy")
        check_output(arguments.points, force=arguments.force, folder=False)
    if arguments.plot:
        from srmfast.plots import check_picture

        check_picture(arguments.plot)
    heap.share_heaps()
    found = project_many(
        [("", path) for path in arguments.stores], [options.named(text) for text in arguments.basis or ["standard"]],
        options.request(arguments), options.resources(arguments), points=arguments.points, apart=True,
        cells=(arguments.sectors, arguments.rings, arguments.extent), on_event=Progress(arguments.progress),
    )  # fmt: skip
    result = next(iter(found.values())) if len(found) == 1 else found
    result.save(arguments.out, force=arguments.force)
    print(result.summary())
    print(f"\nwritten to {arguments.out}")
    if arguments.points:
        print(f"points written to {arguments.points}")
    if arguments.plot:
        result.plot(arguments.plot)
        print(f"drawn to {arguments.plot}")
