"""srmfast plot: draw a result."""

from srmfast.commands import options

SUMMARY = "draw a result"
PYTHON = "srmfast.load('out.zarr').plot('out.png')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("result", metavar="RESULT", help="of several results, RESULT::STORE/BASIS is one")
    parser.add_argument("-o", "--out", required=True, metavar="F.png", help=".png, .pdf or .svg")
    parser.add_argument("--kind", choices=("auto", "lines", "heatmap", "labels", "atlas", "opinions"), default="auto")
    parser.add_argument("--epsilon", type=options.real, metavar="E", help="draw this one only")
    parser.add_argument("--label", metavar="L", help="draw this one only")
    parser.add_argument(
        "--against",
        metavar="A",
        help="of projections: isotropic, none, or the name of a basis among them (default: what says most)",
    )
    parser.add_argument("--signed", action="store_true", help="f(θ) − f(θ + π)")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import load
    from srmfast.errors import InputError
    from srmfast.projection import Projection, Projections

    found, more = load(arguments.result), {}
    if arguments.against is not None:
        if not isinstance(found, (Projection, Projections)):
            raise InputError(f"--against is for projections, got {arguments.result}, which holds none; leave it out")
        more["against"] = arguments.against
    found.plot(
        arguments.out,
        kind=arguments.kind,
        epsilon=arguments.epsilon,
        label=arguments.label,
        signed=arguments.signed,
        **more,
    )
    print(f"drawn to {arguments.out}")
