"""Runs cells in a kernel as notebooks do: reads a JSON list from standard input, writes what each cell gave to standard output.

A cell is {"source": str} with, perhaps, {"stop": str}: the kernel is interrupted, as by the stop button, once the cell has printed that.
"""

import json
import os
import sys

from jupyter_client.manager import start_new_kernel

SECONDS = 120.0  # to wait for a message


def main():
    os.environ.pop("MPLBACKEND", None)  # the kernel's own shows pictures in cells
    cells = json.load(sys.stdin)
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        json.dump([run(manager, client, **cell) for cell in cells], sys.stdout)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(manager, client, source, stop=None):
    """Return a cell's outputs: kinds of what it displays, text by stream, name of an error."""
    asked = client.execute(source)
    given = {"shown": [], "stdout": "", "stderr": "", "error": None, "result": None}
    while True:
        message = client.get_iopub_msg(timeout=SECONDS)
        if message["parent_header"].get("msg_id") != asked:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            given[content["name"]] += content["text"]
            if stop and stop in given["stdout"] + given["stderr"]:
                manager.interrupt_kernel()
                stop = None
        elif kind in ("display_data", "execute_result"):
            given["shown"].append(sorted(content["data"]))
            given["result"] = content["data"]["text/plain"]
        elif kind == "error":
            given["error"] = content["ename"]
        elif kind == "status" and content["execution_state"] == "idle":
            return given


if __name__ == "__main__":
    main()
