"""srmfast show: a result on one screen: rows, peaks, references, what to try next."""

SUMMARY = "a result on one screen: rows, peaks, references, what to try next"
PYTHON = "print(srmfast.load('out.zarr').summary())"
_LARGE = 10**9  # bytes of a table that are worth a question


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("result", metavar="RESULT", help="of several results, RESULT::STORE/BASIS is one")
    parser.add_argument(
        "--csv",
        metavar="F.csv",
        help="write the counts of every kept plane, or of several results a line each, to a CSV file",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing table, and write one of over a GB")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import load
    from srmfast.archive import check_output
    from srmfast.commands import options
    from srmfast.errors import InputError
    from srmfast.results import Results

    if arguments.csv:
        options.check_suffix(arguments.csv, "table", ".csv")
        check_output(arguments.csv, force=arguments.force, folder=False)
    result = load(arguments.result)
    table = result.atlas() if arguments.csv and type(result) is Results else result
    if arguments.csv and not hasattr(table, "to_csv"):
        raise InputError(
            f"--csv writes the table of one result, got {arguments.result}, which holds several; name one: "
            f"{arguments.result}::{'/'.join(next(iter(result)))}"
        )
    size = result.csv_bytes() if arguments.csv and hasattr(result, "csv_bytes") else 0
    if size > _LARGE and not arguments.force:
        raise InputError(
            f"the table has {result.counts.size:,} lines, about {size / 1e9:.1f} GB; --force writes it all the same "
            f"(srmfast.load('{arguments.result}') or xarray read the result as it is)"
        )
    print(result.summary())
    if arguments.csv:
        table.to_csv(arguments.csv)
        print(f"\nwritten to {arguments.csv}")
