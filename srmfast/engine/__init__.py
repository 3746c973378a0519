"""The engine: streams stores through the kernels in bounded memory."""

from srmfast.engine.checkpoint import Checkpoint
from srmfast.engine.identity import identity_of, identity_of_part, identity_of_result, spec_of, states_of
from srmfast.engine.prepare import prepare
from srmfast.engine.request import IN_MEMORY, Request
from srmfast.engine.run import count_folds, count_rows, execute, find_mean, run, run_many
from srmfast.engine.shards import check_shardable, count_part, merge, parse_shard

__all__ = [
    "IN_MEMORY",
    "Checkpoint",
    "Request",
    "check_shardable",
    "count_folds",
    "count_part",
    "count_rows",
    "execute",
    "find_mean",
    "identity_of",
    "identity_of_part",
    "identity_of_result",
    "merge",
    "parse_shard",
    "prepare",
    "run",
    "run_many",
    "spec_of",
    "states_of",
]
