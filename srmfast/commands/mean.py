"""srmfast mean: find the mean of the rows, for --centre and for shards."""

from srmfast.commands import options

SUMMARY = "find the mean of the rows, for --centre and for shards"
PYTHON = "srmfast.run('acts.zarr', centre='mean.npy')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("store", metavar="STORE", help="as in srmfast run")
    parser.add_argument("--seed", type=options.seed, default=0, metavar="S", help="for --sample (default 0)")
    options.add_inner_product(parser)
    options.add_rows(parser)
    options.add_axes(parser)
    options.add_inputs(parser)
    options.add_resources(parser)
    parser.add_argument("-o", "--out", required=True, metavar="M.npy", help="the mean, (d,) float64")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import heap
    from srmfast.analyses.mean import write_mean
    from srmfast.archive import check_output
    from srmfast.progress import Progress

    options.check_suffix(arguments.out, "mean", ".npy")
    check_output(arguments.out, force=arguments.force or arguments.resume, folder=False)
    heap.share_heaps()
    with options.checkpoint(arguments) as checkpoint:
        print(
            write_mean(
                arguments.store, arguments.out, options.request(arguments, centre=True), options.resources(arguments),
                checkpoint=checkpoint, replace=arguments.force, on_event=Progress(arguments.progress),
            )
        )  # fmt: skip
        if checkpoint is not None:
            checkpoint.finish()
