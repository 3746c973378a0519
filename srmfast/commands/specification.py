"""srmfast specification: judge a basis under every combination of choices."""

from srmfast.commands import options

SUMMARY = "judge a basis under every combination of choices: how often does the verdict hold, and what decides it"
PYTHON = "print(srmfast.specification('acts.zarr', 'basis.npy').summary())"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("store", metavar="STORE", help="a store as in srmfast run")
    what = parser.add_argument_group("what is varied")
    what.add_argument("--basis", default="standard", metavar="[NAME=]B", help="as in srmfast run (default standard)")
    what.add_argument("--basis-transpose", action="store_true", help="basis files are (d, k)")
    what.add_argument(
        "--epsilon", type=options.floats, metavar="E[,E…]",
        help="cosines of the cone's half-angle (default: some about what a look at the rows suggests)",
    )  # fmt: skip
    for name, both, summary in (
        ("centring", "raw,centred", "rows as stored, or with their mean subtracted"),
        ("first-tokens", "with,without", "the first position of each sequence, where rows are (sequence, position)"),
        (
            "long-rows",
            "with,without",
            "rows longer than --max-norm (default 10 times the median norm), where there are any",
        ),
        ("planes", "permutations,halves", "kinds of srmfast run, and halves: those among either half of the vectors"),
    ):
        what.add_argument(
            f"--{name}", type=_words, default=_words(both), metavar=both.upper().replace(",", "|"),
            help=f"{summary} (default {both})",
        )  # fmt: skip
    what.add_argument("--null", type=int, default=99, metavar="M", help="rotations of the basis a reading (default 99)")
    what.add_argument(
        "--seed", type=options.seed, default=0, metavar="S", help="for bases, halves, planes, samples and rotations"
    )
    options.add_rows(parser)
    options.add_axes(parser)
    options.add_inputs(parser)
    how = options.add_resources(parser, checkpoints=False)
    how.add_argument("--dry-run", action="store_true", help="list the readings and stop")
    out = parser.add_argument_group("output")
    out.add_argument("-o", "--out", metavar="OUT.zarr", help="the curve, for srmfast show and plot")
    out.add_argument("--csv", metavar="F.csv", help="the table of readings")
    out.add_argument("--plot", metavar="F.png", help="the curve with its dashboard of choices")
    out.add_argument("--force", action="store_true", help="replace an existing output")


def _words(text):
    return tuple(text.split(","))


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import heap
    from srmfast.analyses.specification import carry_out, make_plan
    from srmfast.progress import Progress

    if not arguments.dry_run:
        _check_outputs(arguments)
    heap.share_heaps()
    suggest = arguments.epsilon is None
    request = options.request(arguments, planes="permutations", **({"epsilon": 0.5} if suggest else {}))
    resources, progress = options.resources(arguments), Progress(arguments.progress)
    store, basis = arguments.store, options.named(arguments.basis)
    plan = make_plan(
        store, basis, request, resources, suggest=suggest, centring=arguments.centring, first_tokens=arguments.first_tokens,
        long_rows=arguments.long_rows, planes=arguments.planes, reads=not arguments.dry_run, on_event=progress, apart=True,
    )  # fmt: skip
    if arguments.dry_run:
        print(plan)
        return
    curve = carry_out(plan, store, basis, resources, on_event=progress, apart=True)
    if arguments.out:
        curve.save(arguments.out, force=arguments.force)
    print(curve.summary())
    if arguments.csv:
        curve.to_csv(arguments.csv)
    for path in filter(None, (arguments.out, arguments.csv)):
        print(f"\nwritten to {path}")
    if arguments.plot:
        curve.plot(arguments.plot)
        print(f"drawn to {arguments.plot}")


def _check_outputs(arguments):
    from srmfast.archive import check_output

    if arguments.out:
        options.check_suffix(arguments.out, "specification curve", ".zarr")
        check_output(arguments.out, force=arguments.force)
    if arguments.csv:
        options.check_suffix(arguments.csv, "table", ".csv")
        check_output(arguments.csv, force=arguments.force, folder=False)
    if arguments.plot:
        from srmfast.plots import check_picture

        check_picture(arguments.plot)
