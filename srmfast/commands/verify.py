"""srmfast verify: count part of a result again, and check its store and its accounting."""

from srmfast.commands import options

SUMMARY = "count part of a result again, and check its store and its accounting"
PYTHON = (
    "srmfast.analyses.verification.verify(srmfast.load('out.zarr'), 'acts.zarr', resources=srmfast.Resources.resolve())"
)


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("result", metavar="RESULT", help="of several results, RESULT::STORE/BASIS is one")
    parser.add_argument("store", metavar="STORE", nargs="?", help="default: where the result says it was made from")
    parser.add_argument("--folds", type=int, default=4, metavar="F", help="how many of the 64 (default 4; 64 is all)")
    options.add_again(parser)


def call(arguments):
    """Carry it out; return 0 when every check holds, 1 otherwise."""
    from srmfast.analyses.verification import verify

    good = True
    for name, result in options.members_of(arguments.result):
        found = verify(result, arguments.store, folds=arguments.folds, **options.again(arguments))
        print(f"{name}\n{found}" if name else found)
        good &= found.holds
    return 0 if good else 1
