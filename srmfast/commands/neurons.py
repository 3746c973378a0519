"""srmfast neurons: rank basis vectors by how well their cones pick out one class of the rows."""

import os

from srmfast.commands import options

SUMMARY = "rank basis vectors by how well their cones pick out one class of the rows"
PYTHON = "print(srmfast.neurons('acts.zarr', epsilon=0.5, labels='labels.npy').summary())"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument(
        "store",
        metavar="STORE|RESULT",
        help="a store as in srmfast run; or a result with labels, which has no rows to test on",
    )
    what = parser.add_argument_group("what is counted")
    what.add_argument("--basis", default="standard", metavar="[NAME=]B", help="as in srmfast run (default standard)")
    what.add_argument("--basis-transpose", action="store_true", help="basis files are (d, k)")
    what.add_argument(
        "--epsilon", type=options.real, metavar="E", help="cosine of the cone's half-angle, above 0 (default 0.9)"
    )
    what.add_argument(
        "--concepts", metavar="F|key", help="bools (rows, concepts) instead of --labels: a row may carry several"
    )
    what.add_argument("--concept-names", metavar="F.txt", help="a name for each concept, one a line")
    what.add_argument(
        "--centre", nargs="?", const=True, default=False, metavar="F",
        help="subtract the mean of the rows, or the one in F",
    )  # fmt: skip
    what.add_argument(
        "--permutations", type=int, default=999, metavar="M",
        help="exchanges of the classes among rows, or groups, for the test (default 999; 0 for none)",
    )  # fmt: skip
    what.add_argument(
        "--tested", type=int, default=1 << 16, metavar="N", help="rows that the test is made on, about (default 65536)"
    )
    what.add_argument(
        "--null", type=int, default=0, metavar="M",
        help="compare the best cones with those of M random rotations of the basis (at least 39; 99 is a good choice)",
    )  # fmt: skip
    what.add_argument(
        "--seed", type=options.seed, default=0, metavar="S", help="for bases, samples, permutations and rotations"
    )
    options.add_rows(parser)
    options.add_axes(parser)
    options.add_inputs(parser)
    options.add_resources(parser, checkpoints=False)
    out = parser.add_argument_group("output")
    out.add_argument("-o", "--out", metavar="OUT.zarr", help="the counts by fold, class, vector and pole")
    out.add_argument("--csv", metavar="F.csv", help="the ranked table")
    out.add_argument("--plot", metavar="F.png", help="a map of neurons and classes; of a result, curves of the classes")
    out.add_argument("--vectors", metavar="I[,I…]", help="draw these (default: those with the highest F1)")
    out.add_argument("--map", choices=("pca", "umap"), help="draw some rows of the store from above as well")
    out.add_argument("--force", action="store_true", help="replace an existing output")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast.archive import check_output, is_result
    from srmfast.errors import InputError

    if arguments.out:
        options.check_suffix(arguments.out, "file of neurons", ".zarr")
        check_output(arguments.out, force=arguments.force)
    if arguments.csv:
        options.check_suffix(arguments.csv, "table", ".csv")
        check_output(arguments.csv, force=arguments.force, folder=False)
    if arguments.map and not arguments.plot:
        raise InputError("--map is a panel of the picture and needs one: give --plot F.png")
    if arguments.plot:
        from srmfast.plots import check_picture

        check_picture(arguments.plot)
    if os.path.isdir(arguments.store) and is_result(arguments.store):
        _of_result(arguments)
    else:
        _of_store(arguments)


def _of_store(arguments):
    from srmfast import heap
    from srmfast.engine.members import count_members
    from srmfast.progress import Progress

    heap.share_heaps()
    epsilon = 0.9 if arguments.epsilon is None else arguments.epsilon
    request = options.request(arguments, epsilon=epsilon, keep="summary", angles=2)
    resources = options.resources(arguments)
    several = dict(concepts=arguments.concepts, concept_names=arguments.concept_names)
    found = count_members(
        arguments.store, options.named(arguments.basis), request, resources, permutations=arguments.permutations,
        tested=arguments.tested, on_event=Progress(arguments.progress), apart=True, **several,
    )  # fmt: skip
    cloud = None
    if arguments.map:
        from srmfast.analyses.cloud import look_from_above

        limit = (found.attrs["spec"]["max_norm"] or {}).get("limit")
        cloud = look_from_above(arguments.store, arguments.map, request, resources, limit=limit, **several)
    _show(arguments, found, found, cloud)


def _of_result(arguments):
    from srmfast import load
    from srmfast.errors import InputError

    for name in ("labels", "concepts", "groups", "mask", "centre", "map"):
        if getattr(arguments, name):
            raise InputError(
                f"--{name} is for the rows of a store, and {arguments.store} is a result; leave it out, or give the store"
            )
    found = load(arguments.store)
    if hasattr(found, "neurons"):
        _show(arguments, found.neurons(arguments.epsilon), found, None)
    elif hasattr(found, "table"):
        _show(arguments, found, found, None)
    else:
        raise InputError(
            f"neurons are those of one store and one basis, got {arguments.store}, which holds something else"
        )


def _show(arguments, neurons, drawn, cloud):
    if arguments.out:
        neurons.save(arguments.out, force=arguments.force)
    print(neurons.summary())
    if arguments.csv:
        neurons.to_csv(arguments.csv)
    for path in filter(None, (arguments.out, arguments.csv)):
        print(f"\nwritten to {path}")
    if arguments.plot:
        from srmfast import classmaps

        classmaps.plot(drawn, arguments.plot, vectors=options.whole(arguments.vectors), cloud=cloud)
        print(f"drawn to {arguments.plot}")
