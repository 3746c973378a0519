"""srmfast diff: say in which fields two results differ, to the last count."""

from srmfast.commands import options

SUMMARY = "say in which fields two results differ, to the last count"
PYTHON = "print(srmfast.analyses.comparison.diff(srmfast.load('a.zarr'), srmfast.load('b.zarr')))"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")


def call(arguments):
    """Carry it out; return 0 when they are the same, 1 when they differ."""
    from srmfast.analyses.comparison import diff

    found = diff(options.result(arguments.first), options.result(arguments.second))
    print(found)
    return 0 if found.same else 1
