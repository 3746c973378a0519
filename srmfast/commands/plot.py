"""srmfast plot: draw a result."""

SUMMARY = "draw a result"
PYTHON = "srmfast.load('out.zarr').plot('out.png')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("result", metavar="RESULT")
    parser.add_argument("-o", "--out", required=True, metavar="F.png", help=".png, .pdf or .svg")
    parser.add_argument("--kind", choices=("auto", "lines", "heatmap", "labels"), default="auto")
    parser.add_argument("--epsilon", type=float, metavar="E", help="draw this one only")
    parser.add_argument("--label", metavar="L", help="draw this one only")
    parser.add_argument("--signed", action="store_true", help="f(θ) − f(θ + π)")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import load

    load(arguments.result).plot(
        arguments.out, kind=arguments.kind, epsilon=arguments.epsilon, label=arguments.label, signed=arguments.signed
    )
    print(f"drawn to {arguments.out}")
