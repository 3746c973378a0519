"""One module a command: what it takes and the one public call it makes. No numerics here."""

NAMES = ("run", "demo", "inspect", "basis", "show", "plot")  # in the order of --help
