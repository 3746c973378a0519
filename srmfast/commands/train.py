"""srmfast train: train a small network, and tell which choices privilege a basis."""

import os
import sys

from srmfast.commands import options

SUMMARY = "train a small network, and tell which choices privilege a basis"
PYTHON = "srmfast.train('small-mnist', 'small', changes={'n': 16}, seed=0)"


def add_arguments(parser):
    """Declare what the command takes."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="small-mnist, large-mnist, small-cifar, large-cifar or a TOML file; with --check an ONNX model too",
    )
    parser.add_argument(
        "--data", metavar="F", help="file or folder in place of the recipe's (default: here, then $SRMFAST_DATA)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe: n=24, basis.count=64, optimiser.kind=adam; may be repeated",
    )
    parser.add_argument("--seed", type=options.seed, metavar="S", help="of the weights and the order of the rows")
    parser.add_argument("--epochs", type=int, metavar="E", help="in place of the recipe's")
    parser.add_argument("--check", action="store_true", help="list the choices that privilege a basis, and stop")
    parser.add_argument("--resume", action="store_true", help="go on with the training in the folder, if there is one")
    parser.add_argument("--force", action="store_true", help="replace the training in the folder")
    parser.add_argument(
        "--progress", choices=("auto", "bar", "plain", "none"), default="auto", help="on standard error"
    )
    parser.set_defaults(less="fewer rows: --set data.rows=0:10000")
    parser.set_defaults(interrupted="epochs finished ten seconds ago are kept: the same line with --resume goes on")
    parser.add_argument("-o", "--out", metavar="FOLDER", help="checkpoints (.onnx), basis, log and state")


def call(arguments):
    """Carry it out; return the exit code, None for 0."""
    from srmfast import training

    changes = list(arguments.set)
    if arguments.check:
        print(training.choices(arguments.recipe, changes))
        return 0
    if not arguments.out:
        print("srmfast train: an output is needed: -o FOLDER (or --check)", file=sys.stderr)
        return 2
    from srmfast.progress import TrainingProgress

    trained = training.train(
        arguments.recipe,
        arguments.out,
        changes=changes,
        data=arguments.data,
        seed=arguments.seed,
        epochs=arguments.epochs,
        resume=arguments.resume,
        force=arguments.force,
        on_event=TrainingProgress(arguments.progress),
    )
    print(trained.summary())
    last = os.path.join(arguments.out, f"epoch-{trained.log[-1][0]:04}.onnx")
    basis = "" if trained.basis is None else f" --basis {os.path.join(arguments.out, 'basis.npy')}"
    print(f"next: srmfast inspect {last}::latent --inputs ROWS{basis}  # proposes an epsilon for this one:")
    print(f"      srmfast run {last}::latent --inputs ROWS{basis} --epsilon 0.7 -o latents.zarr")
    return 0
