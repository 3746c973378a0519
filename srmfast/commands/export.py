"""srmfast export: write layers of an ONNX model to a Zarr store, all from one inference."""

import sys

from srmfast.commands import options

SUMMARY = "write layers of an ONNX model to a Zarr store, all from one inference"
PYTHON = "srmfast.analyses.export.export('model.onnx', 'inputs.npz', ['hidden_*'], 'acts.zarr')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("model", metavar="MODEL", help="an .onnx file")
    options.add_inputs(parser)
    parser.add_argument(
        "--layer", action="append", required=True, metavar="L", help="name of a tensor, or 'hidden_*'; may be repeated"
    )
    how = parser.add_argument_group("how (changes no number)")
    how.add_argument("--threads", type=int, metavar="T", help="batches that are run at once (default: all cores)")
    how.add_argument(
        "--memory", metavar="SIZE", help="of the whole process, 2GiB for example (default: a quarter of what there is)"
    )
    how.add_argument("--progress", choices=("auto", "bar", "plain", "none"), default="auto", help="on standard error")
    parser.add_argument("-o", "--out", required=True, metavar="ACTS.zarr", help="the store, an array for each layer")
    parser.add_argument("--force", action="store_true", help="replace an existing export")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import heap
    from srmfast.analyses.export import export
    from srmfast.progress import Progress

    options.check_suffix(arguments.out, "store", ".zarr")
    heap.share_heaps()
    if arguments.memory:  # it costs time: without a limit, what was freed is kept
        heap.give_back()
    found = export(
        arguments.model, options.inputs(arguments.inputs), arguments.layer, arguments.out, batch=arguments.batch,
        force=arguments.force, resources=options.left_of(arguments.memory, arguments.threads),
        on_event=Progress(arguments.progress),
    )  # fmt: skip
    for note in found.notes:
        print(f"srmfast: {note}", file=sys.stderr)
    print(found)
