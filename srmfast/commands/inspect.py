"""srmfast inspect: what a file holds, what a run would take, and an epsilon to begin with."""

from srmfast.commands import options

SUMMARY = "what a file holds, what a run would take, and an epsilon to begin with"
PYTHON = "srmfast.analyses.inspection.inspect(srmfast.open_store('acts.zarr'))"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("store", metavar="STORE")
    parser.add_argument(
        "--basis", default="standard", metavar="B", help="for the projection of planes and memory (default standard)"
    )
    parser.add_argument("--seed", type=options.seed, default=0, metavar="S", help="of the sampled rows (default 0)")
    options.add_axes(parser)
    options.add_inputs(parser)


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import open_store
    from srmfast.analyses.inspection import inspect
    from srmfast.progress import found
    from srmfast.stores import several_of

    source, how = arguments.store, {
        "feature_axis": arguments.feature_axis, "index": options.index(arguments.index), "flatten": arguments.flatten,
        "pool": arguments.pool, "inputs": options.inputs(arguments.inputs), "batch": arguments.batch,
    }  # fmt: skip
    several = several_of(source, how)
    if several is not None:
        print(f"{found(several)}; srmfast run takes all of them. The first:")
        source, how = several.parts[0].source, how | {"index": several.parts[0].index}
    print(inspect(open_store(source, **how), basis=arguments.basis, seed=arguments.seed))
