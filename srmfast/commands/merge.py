"""srmfast merge: add the parts of a run that was counted in shards."""

from srmfast.commands import options

SUMMARY = "add the parts of a run that was counted in shards"
PYTHON = "srmfast.merge(['1.part', '2.part']).save('out.zarr')"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument("parts", nargs="+", metavar="PART", help="files of srmfast run --shard, in any order")
    parser.add_argument("-o", "--out", required=True, metavar="OUT.zarr", help="the result")
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    parser.add_argument(
        "--memory", metavar="SIZE", help="of the whole process, 2GiB for example (default: a quarter of what there is)"
    )


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast.archive import check_output
    from srmfast.engine import merge

    options.check_suffix(arguments.out, "result", ".zarr")
    check_output(arguments.out, force=arguments.force)
    result = merge(arguments.parts, options.left_of(arguments.memory))
    result.save(arguments.out, force=arguments.force)
    print(result.summary())
    print(f"\nwritten to {arguments.out}")
