"""What a user asks of a run, checked as far as it can be without opening anything."""

import glob
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from srmfast.angles import check_angles
from srmfast.displayed import Displayed
from srmfast.engine.limit import check_max_norm
from srmfast.engine.rules import check_token_ids
from srmfast.engine.strata import check_strata
from srmfast.errors import InputError, shown
from srmfast.spec import DEFAULT_ANGLES, DEFAULT_EPSILON, check_choice, check_epsilons, check_keep, check_rotations

IN_MEMORY = "array in memory"
BOTH = "both"  # treatments of the mean: rows are counted as stored, and again with it subtracted
_PATHS = (
    "labels",
    "groups",
    "mask",
    "lengths",
    "tokens",
    "planes",
    "centre",
    "inner_product",
)  # options that may name a file


@dataclass(frozen=True, kw_only=True, repr=False)
class Request(Displayed):
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
    inner_product: object = None
    keep: str = "auto"
    null: int = 0
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
    inputs: object = None
    batch: int | None = None
    basis_transpose: bool = False
    controls: bool = False
    strata: object = None

    def _line(self):
        """Name what is not as it is by default, arrays by their shape."""
        usual = type(self)()
        said = []
        for name in self.__dataclass_fields__:
            value, default = getattr(self, name), getattr(usual, name)
            if hasattr(value, "shape"):
                said.append(f"{name}=array {tuple(value.shape)}")
            elif value is not default and value != default:
                said.append(f"{name}={value!r}")
        return ", ".join(said)

    def __post_init__(self):
        object.__setattr__(self, "epsilon", check_epsilons(self.epsilon))
        object.__setattr__(self, "angles", check_angles(self.angles))
        check_keep(self.keep)
        if not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise InputError(f"seed must be a whole number of at least 0, got {self.seed!r}")
        object.__setattr__(self, "seed", int(self.seed))
        object.__setattr__(self, "null", check_rotations(self.null))
        if isinstance(self.planes, (list, tuple)):
            object.__setattr__(self, "planes", np.asarray(self.planes))
        self._check_rules()
        if isinstance(self.centre, str) and self.centre == f"{BOTH}:":
            raise InputError(
                f"centre {BOTH}: names the file of the mean, got none; for example {BOTH}:mean.npy, or {BOTH} alone"
            )
        check_choice("zero_rows", self.zero_rows, ("drop", "keep"))
        check_choice("nonfinite", self.nonfinite, ("error", "skip"))
        check_choice("missing_chunks", self.missing_chunks, ("error", "skip", "zeros"))

    def _check_rules(self):
        object.__setattr__(self, "exclude_tokens", check_token_ids(self.exclude_tokens))
        object.__setattr__(self, "max_norm", check_max_norm(self.max_norm))
        object.__setattr__(self, "strata", check_strata(self.strata))
        check_choice("padding", self.padding, ("right", "left"))
        if self.padding == "left" and self.lengths is None:
            raise InputError("padding left says where lengths begin and needs them; give --lengths F|key")
        told_apart = any(family.startswith("token") for family in self.strata)
        if self.tokens is not None and not self.exclude_tokens and not told_apart:
            raise InputError(
                "tokens are given to leave some out, but none are named; give --exclude-tokens IDS, or --strata token"
            )

    @property
    def treatments(self):
        """What `centre` is in each counting of a store: one, or of "both" that of the rows as stored and that of the others."""
        if not isinstance(self.centre, str) or not f"{self.centre}:".startswith(f"{BOTH}:"):
            return (self.centre,)
        return False, self.centre[len(BOTH) + 1 :] or True

    def check_one_treatment(self, what):
        """Refuse "both" where one treatment of the mean is all that there can be."""
        if len(self.treatments) > 1:
            raise InputError(
                f"{what} of the rows as stored or of the centred ones, got centre {self.centre}; do it twice"
            )

    def treating(self, centre):
        """Return the request of one treatment of the mean and one basis: that of a result."""
        return replace(self, centre=centre, controls=False)

    @property
    def store_options(self):
        """The options that `open_store` takes."""
        return dict(
            feature_axis=self.feature_axis, index=self.index, flatten=self.flatten, pool=self.pool, inputs=_whole_inputs(self.inputs),
            batch=self.batch,
        )  # fmt: skip

    def to_dict(self, store=None):
        """Return the options, and the path of the store, as JSON-able values.

        Paths are whole, so that they can be found again, addresses without their secrets, arrays `IN_MEMORY`.
        """
        given = {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "inputs": _whole_inputs(self.inputs, shown)
        }
        named = isinstance(self.planes, str) and not os.path.splitext(self.planes)[1]  # permutations, random:9 …
        paths = set(_PATHS) - ({"planes"} if named else set())
        return {"store": store and shown(store)} | {name: _plain(value, name in paths) for name, value in given.items()}

    @classmethod
    def from_dict(cls, values):
        """Return the request that `to_dict` described, whose arrays have been put back."""
        known = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        if known.get("index"):
            known["index"] = dict(known["index"])
        if isinstance(known.get("inputs"), list):
            known["inputs"] = dict(known["inputs"])
        return cls(**known)

    @property
    def planes_name(self):
        """How the result calls the planes asked for: a file by its name alone, as its folder changes with the machine."""
        return "array" if isinstance(self.planes, np.ndarray) else os.path.basename(shown(str(self.planes)).rstrip("/"))


def _plain(value, may_be_path=False):
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (str, Path)):
        return shown(whole_path(str(value))) if may_be_path else str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, slice):
        return ":".join("" if part is None else str(int(part)) for part in (value.start, value.stop, value.step))
    if isinstance(value, dict):
        return [[_plain(key), _plain(position)] for key, position in value.items()]
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return IN_MEMORY


def _whole_inputs(inputs, show=str):
    """Return the inputs of a model with whole paths, as `show` gives them: they are never keys."""
    if isinstance(inputs, dict):
        return {name: _whole_inputs(spec, show) for name, spec in inputs.items()}
    if not isinstance(inputs, (str, Path)):
        return inputs
    path, mark, key = str(inputs).partition("::")
    return show(path if "://" in path else os.path.abspath(path)) + mark + key


def whole_path(text):
    """Return a path with its folder when it names something that is there; a key, a URL or a name as it is."""
    path, mark, key = text.partition("::")
    if "://" in path:
        return text
    there = os.path.isfile(path) or (os.path.isdir(path) and (mark or os.path.splitext(path)[1] or os.sep in path))
    pattern = glob.has_magic(path) and not os.path.exists(path) and os.path.splitext(path)[1]
    return os.path.abspath(path) + mark + key if there or pattern else text
