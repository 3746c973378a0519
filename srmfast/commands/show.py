"""srmfast show: a result on one screen: rows, peaks, references, what to try next."""

SUMMARY = "a result on one screen: rows, peaks, references, what to try next"
PYTHON = "print(srmfast.load('out.zarr').summary())"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("result", metavar="RESULT")
    parser.add_argument("--csv", metavar="F.csv", help="write the counts of every kept plane to a CSV file as well")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import load
    from srmfast.errors import InputError

    result = load(arguments.result)
    print(result.summary())
    if arguments.csv:
        if not hasattr(result, "to_csv"):
            raise InputError(f"--csv writes the table of one result, got {arguments.result}, which holds several")
        result.to_csv(arguments.csv)
        print(f"\nwritten to {arguments.csv}")
