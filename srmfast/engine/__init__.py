"""The engine: streams stores through the kernels in bounded memory."""

from srmfast.engine.prepare import prepare
from srmfast.engine.request import Request
from srmfast.engine.run import count_rows, execute, run, run_many

__all__ = ["Request", "count_rows", "execute", "prepare", "run", "run_many"]
