"""srmfast layers: list the tensors inside an ONNX model, and which can be looked at."""

SUMMARY = "list the tensors inside an ONNX model, and which can be looked at"
PYTHON = "srmfast.graph.layers('model.onnx')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx file")
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", help="such as 'hidden_*' (default: all)")
    parser.add_argument("--op", metavar="OP", help="what makes them, such as Relu or '*Norm*'")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast.graph import table

    print(table(arguments.model, arguments.pattern, arguments.op))
