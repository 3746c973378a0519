"""The command line: finds the command, and answers whatever goes wrong with one line."""

import argparse
import importlib
import os
import re
import shutil
import signal
import sys
import threading

from srmfast import __version__, interrupts
from srmfast.commands import GROUPS
from srmfast.errors import SrmfastError, meant

INTERRUPTED = 130  # the exit code


def main(argv=None):
    """Run one command; return its exit code: 0 done, 1 failed with one line, 2 wrong usage."""
    arguments, unknown = build_parser().parse_known_args(argv)
    if unknown:
        several = [action.metavar for action in arguments.parser._actions if action.nargs == "+"]
        hint = f"; every {several[0]} stands before the options" if several else ""
        arguments.parser.error(f"takes no {' '.join(unknown)}{hint}")
    interrupted = []

    def interrupt(signum, frame):
        interrupted.append(signum)
        if not interrupts.postpone():
            raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():  # the only one that may set handlers
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, interrupt)
    try:
        code = arguments.command(arguments) or 0
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, Exception) as error:
        # Whatever library code was interrupted may have turned the interrupt into an error of its own.
        if interrupted or isinstance(error, KeyboardInterrupt):
            kept = getattr(arguments, "checkpoint", None)
            saved = kept and any(name.endswith(".tally") for name in _names(kept))
            nothing = getattr(arguments, "interrupted", "nothing half-written is left")
            rest = f"what was counted is in {kept}, go on with --resume" if saved else nothing
            return _fail(f"interrupted; {rest}", code=INTERRUPTED)
        return _explain(error, arguments)


def _explain(error, arguments):
    """Print the one line for an error that is the user's to mend; raise any other again."""
    if isinstance(error, SrmfastError):
        return _fail(error)
    if isinstance(error, MemoryError):
        less = "a smaller --memory" if hasattr(arguments, "memory") else getattr(arguments, "less", "a larger one")
        return _fail(f"the machine ran out of memory ({error}); use {less}")
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `srmfast show … | head` is no failure
        return 0
    if isinstance(error, OSError):
        return _fail(f"files must be readable and writable, got {error}; check the path and the disk")
    raise error


def _names(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _fail(message, code=1):
    """Print one line, whatever line breaks a file name or a library's message brings."""
    bar = "\r\x1b[K" if sys.stderr.isatty() else ""  # an unfinished progress bar gives way
    print(f"{bar}srmfast:", *str(message).split(), file=sys.stderr)
    return code


class _Columns(argparse.HelpFormatter):
    """Help with room for the names of options, so that most take one line."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=30, width=min(shutil.get_terminal_size().columns, 120) - 2)

    def _format_action_invocation(self, action):
        """Name the value once: "-o, --out OUT.zarr"."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, self._get_default_metavar_for_optional(action))}"


def _usage(command):
    """Return a usage on one line: what must be given, and that there is more."""
    needed = [action for action in command._actions if action.required or not action.option_strings]
    needed.sort(key=lambda action: bool(action.option_strings))
    words = []
    for action in needed:
        value = action.metavar or "|".join(map(str, action.choices or [action.dest.upper()]))
        value += "…" if action.nargs == "+" else ""
        value = f"[{value}]" if action.nargs == "?" else value
        words.append(" ".join([*action.option_strings[:1], value]))
    return " ".join([command.prog, *words, "[options]"])


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line and names what was probably meant."""

    def parse_known_args(self, args=None, namespace=None):
        """Keep what was given, so that any complaint can look at it."""
        self._given = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def error(self, message):
        """End with one line and code 2; options that do not exist go before whatever else is wrong."""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        asked = [word.partition("=")[0] for word in self._given if word.startswith("--") and len(word) > 2]
        unknown = [word for word in dict.fromkeys(asked) if not any(option.startswith(word) for option in options)]
        if unknown:
            message = "; ".join(f"there is no option {word}{meant(word, options)}" for word in unknown)
        self.exit(2, f"{self.prog}: {message} (all options: {self.prog} --help)\n")

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            known = ", ".join(map(str, action.choices))
            hint = meant(value, action.choices)
            raise argparse.ArgumentError(action, f"must be one of {known}, got {value!r}{hint}")


def build_parser():
    """Return the parser of all commands."""
    parser = Parser(
        prog="srmfast",
        usage="srmfast COMMAND …",
        description="Do a network's activations align with its privileged basis? Exact Spotlight Resonance for stores of any size.",
        epilog="srmfast COMMAND --help tells what one takes. Exit codes: 0 done, 1 failed (one line says why), 2 wrong usage.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"srmfast {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, prog="srmfast", help=argparse.SUPPRESS)
    modules = {name: importlib.import_module(f"srmfast.commands.{name}") for names in GROUPS.values() for name in names}
    for title, names in GROUPS.items():
        listed = "\n".join(f"    {name:<10} {modules[name].SUMMARY}" for name in names)
        parser.description += f"\n\n  {title}:\n{listed}"
    for name, module in modules.items():
        command = commands.add_parser(
            name, description=module.SUMMARY, epilog=f"Python: {module.PYTHON}", formatter_class=_Columns
        )
        # "--epsilon -0.5,0.5" and "--rows -9:" are values, no options.
        command._negative_number_matcher = re.compile(r"-\.?\d")
        command.set_defaults(command=module.call, parser=command)
        module.add_arguments(command)
        command.usage = command.usage or _usage(command)
    return parser
