"""srmfast compare: by how much two results differ, with intervals; trained and untrained, raw and centred."""

from srmfast.commands import options

SUMMARY = "by how much two results differ, with intervals: trained and untrained, raw and centred"
PYTHON = "print(srmfast.compare(srmfast.load('a.zarr'), srmfast.load('b.zarr')))"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("first", metavar="A", help="a result of srmfast run")
    parser.add_argument("second", metavar="B", help="another; several results are matched by their names")
    parser.add_argument(
        "--plot", metavar="OUT.png", help="draw both mean curves and their difference (.png, .pdf, .svg)"
    )
    parser.add_argument("--csv", metavar="F.csv", help="write every difference, by label and epsilon, to a CSV file")
    parser.add_argument("--force", action="store_true", help="replace an existing table")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import compare
    from srmfast.archive import check_output

    if arguments.csv:
        options.check_suffix(arguments.csv, "table", ".csv")
        check_output(arguments.csv, force=arguments.force, folder=False)
    if arguments.plot:
        from srmfast import plots

        plots.check_picture(arguments.plot)
    found = compare(options.result(arguments.first), options.result(arguments.second))
    print(found)
    if arguments.csv:
        found.to_csv(arguments.csv)
        print(f"\nwritten to {arguments.csv}")
    if arguments.plot:
        found.plot(arguments.plot)
        print(f"drawn to {arguments.plot}")
