"""srmfast basis: make a basis file and say how its vectors are spread."""

import sys

from srmfast.commands import options

SUMMARY = "make a basis file and say how its vectors are spread"
PYTHON = "srmfast.load_basis('thompson:32', 16).vectors"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("kind", choices=("standard", "plusminus", "simplex", "random", "thompson"))
    parser.add_argument("--dim", type=int, required=True, metavar="D", help="width of the activations")
    parser.add_argument("--count", type=int, metavar="K", help="number of vectors (random, thompson)")
    parser.add_argument("--seed", type=options.seed, default=0, metavar="S")
    parser.set_defaults(less="fewer vectors")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument("-o", "--out", required=True, metavar="B.npy")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast.analyses.basis_file import write_basis

    counted = arguments.kind in ("random", "thompson")
    if counted != (arguments.count is not None):
        print(f"srmfast basis: {arguments.kind} {'needs' if counted else 'takes no'} --count K", file=sys.stderr)
        return 2
    kind = f"{arguments.kind}:{arguments.count}" if counted else arguments.kind
    print(write_basis(kind, arguments.dim, arguments.out, seed=arguments.seed, force=arguments.force))
    return 0
