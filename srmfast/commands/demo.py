"""srmfast demo: see it work on a small network inside the package: results, pictures, words."""

SUMMARY = "see it work on a small network inside the package: results, pictures, words"
PYTHON = "srmfast.analyses.demo.demo('srmfast-demo')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument(
        "--out", default="srmfast-demo", metavar="DIR", help="folder for everything it makes (default srmfast-demo)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing folder of an earlier demo")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast.analyses.demo import demo
    from srmfast.progress import Progress

    print(demo(arguments.out, force=arguments.force, on_event=Progress("auto")))
