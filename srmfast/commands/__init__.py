"""One module a command: what it takes and the one public call it makes. No numerics here."""

GROUPS = {
    "to begin with": ("demo", "inspect", "run", "show", "plot", "report", "compare"),
    "other questions to the same rows": ("neurons", "specification", "project", "basis", "mean"),
    "networks": ("layers", "export", "train"),
    "long runs, and results of others": ("merge", "diff", "verify", "reproduce"),
}  # in the order of --help
NAMES = tuple(name for names in GROUPS.values() for name in names)
