"""What a user asks of a run, checked as far as it can be without opening anything."""

from dataclasses import dataclass

import numpy as np

from srmfast.angles import check_angles
from srmfast.engine.limit import check_max_norm
from srmfast.engine.rules import check_token_ids
from srmfast.errors import InputError
from srmfast.spec import DEFAULT_ANGLES, DEFAULT_EPSILON, check_choice, check_epsilons, check_keep


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of `srmfast.run` that determine its numbers; see there for their meaning."""

    epsilon: object = DEFAULT_EPSILON
    angles: int = DEFAULT_ANGLES
    planes: object = "permutations"
    labels: object = None
    groups: object = None
    mask: object = None
    lengths: object = None
    padding: str = "right"
    exclude_tokens: object = None
    tokens: object = None
    max_norm: object = None
    centre: object = False
    keep: str = "auto"
    seed: int = 0
    rows: object = None
    sample: int = 0
    zero_rows: str = "drop"
    nonfinite: str = "error"
    missing_chunks: str = "error"
    feature_axis: int | str | None = None
    index: object = None
    flatten: bool = False
    pool: str | None = None
    basis_transpose: bool = False

    def __post_init__(self):
        object.__setattr__(self, "epsilon", check_epsilons(self.epsilon))
        object.__setattr__(self, "angles", check_angles(self.angles))
        check_keep(self.keep)
        if not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise InputError(f"seed must be a whole number of at least 0, got {self.seed!r}")
        object.__setattr__(self, "seed", int(self.seed))
        if isinstance(self.planes, (list, tuple)):
            object.__setattr__(self, "planes", np.asarray(self.planes))
        self._check_rules()
        check_choice("zero_rows", self.zero_rows, ("drop", "keep"))
        check_choice("nonfinite", self.nonfinite, ("error", "skip"))
        check_choice("missing_chunks", self.missing_chunks, ("error", "skip", "zeros"))

    def _check_rules(self):
        object.__setattr__(self, "exclude_tokens", check_token_ids(self.exclude_tokens))
        object.__setattr__(self, "max_norm", check_max_norm(self.max_norm))
        check_choice("padding", self.padding, ("right", "left"))
        if self.padding == "left" and self.lengths is None:
            raise InputError("padding left says where lengths begin and needs them; give --lengths F|key")
        if self.tokens is not None and not self.exclude_tokens:
            raise InputError("tokens are given to leave some out, but none are named; give --exclude-tokens IDS")

    @property
    def planes_name(self):
        """How the result calls the planes asked for."""
        return "array" if isinstance(self.planes, np.ndarray) else str(self.planes)
