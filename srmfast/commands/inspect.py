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

    store = open_store(
        arguments.store,
        feature_axis=arguments.feature_axis,
        index=options.index(arguments.index),
        flatten=arguments.flatten,
        pool=arguments.pool,
        inputs=options.inputs(arguments.inputs),
        batch=arguments.batch,
    )
    print(inspect(store, basis=arguments.basis, seed=arguments.seed))
