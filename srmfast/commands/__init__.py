"""One module a command: what it takes and the one public call it makes. No numerics here."""

NAMES = (
    "run",
    "demo",
    "inspect",
    "layers",
    "export",
    "basis",
    "train",
    "mean",
    "project",
    "neurons",
    "specification",
    "show",
    "plot",
    "merge",
    "diff",
    "verify",
    "reproduce",
)  # in the order of --help
