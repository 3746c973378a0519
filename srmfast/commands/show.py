"""srmfast show: one screen about a result: rows, peaks, references, what to try next."""

SUMMARY = "one screen about a result: rows, peaks, references, what to try next"
PYTHON = "print(srmfast.load('out.zarr').summary())"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("result", metavar="RESULT")
    parser.add_argument("--of", metavar="STORE[/BASIS]", help="of several results, this one in full")
    parser.add_argument(
        "--csv",
        metavar="F.csv",
        help="write the counts of every kept plane, or of several results a row each, to a CSV file as well",
    )


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import load
    from srmfast.errors import InputError
    from srmfast.results import Results

    result = load(arguments.result)
    if arguments.of is not None:
        result = _chosen(result, arguments)
    print(result.summary())
    if arguments.csv:
        table = result.atlas() if type(result) is Results else result
        if not hasattr(table, "to_csv"):
            raise InputError(f"--csv writes the table of one result, got {arguments.result}, which holds several")
        table.to_csv(arguments.csv)
        print(f"\nwritten to {arguments.csv}")


def _chosen(result, arguments):
    """Return one of several results by the names of its store and, where there are several, its basis."""
    from srmfast.errors import InputError

    names = {"/".join(key): key for key in result} if hasattr(result, "items") else {}
    found = [key for name, key in names.items() if arguments.of in (name, key[0])]
    if len(found) != 1:
        why = f"stands for {len(found)} of" if found else "is none of"
        some = ", ".join(list(names)[:12]) + (", …" if len(names) > 12 else "")
        raise InputError(f"{arguments.of!r} {why} the results in {arguments.result}: {some or 'it holds one alone'}")
    return result[found[0]]
