"""srmfast report: one HTML file about results, to read and to send."""

SUMMARY = "one HTML file about results, to read and to send"
PYTHON = "srmfast.load('out.zarr').report('report.html')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("result", metavar="RESULT", nargs="+", help="of srmfast run, neurons or project")
    parser.add_argument(
        "-o", "--out", required=True, metavar="F.html", help="one file; needs nothing beside it, nor a network"
    )
    parser.add_argument("--title", metavar="T", help="of the page (default: the names of the results)")
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import report_page

    text = report_page(arguments.result, arguments.out, title=arguments.title, force=arguments.force)
    print(f"written to {arguments.out} ({len(text.encode()) / 1e6:.1f} MB)")
