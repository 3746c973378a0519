"""srmfast reproduce: do the run of a result again and compare all counts."""

from srmfast.commands import options

SUMMARY = "do the run of a result again and compare all counts"
PYTHON = "srmfast.analyses.verification.reproduce(srmfast.load('out.zarr'), resources=srmfast.Resources.resolve())"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("result", metavar="RESULT", help="of several results, RESULT::STORE/BASIS is one")
    parser.add_argument("store", metavar="STORE", nargs="?", help="default: where the result says it was made from")
    options.add_again(parser)


def call(arguments):
    """Carry it out; return 0 when all is the same, 1 otherwise."""
    from srmfast.analyses.comparison import diff
    from srmfast.analyses.verification import reproduce

    good = True
    for name, result in options.members_of(arguments.result):
        found = diff(result, reproduce(result, arguments.store, **options.again(arguments)))
        print(f"{name}: {found}" if name else found)
        good &= found.same
    return 0 if good else 1
