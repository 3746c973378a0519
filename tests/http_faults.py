"""A local HTTP server that serves a folder by ranges and fails on command."""

import collections
import hashlib
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyServer:
    """Serves the files of a folder; `faults` says what goes wrong with the next requests for a path.

    Attributes
    ----------
    url : str
        Address of the folder.
    faults : dict of str to list
        Path below the folder -> one fault for each request to come: a status (int), "stall", "cut" (the body ends
        before its announced length), "few" (a shorter body, announced as such), "drop" (no answer), "whole" (the
        range is ignored) or "fine".
    always : dict of str to fault
        Path -> what goes wrong with every request for it.
    asked : Counter
        Requests of each path.
    etags : bool
        Whether answers carry one.
    """

    def __init__(self, folder):
        self.folder, self.faults, self.always, self.etags = folder, collections.defaultdict(list), {}, True
        self.asked, self.released = collections.Counter(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: _Handler(self, *args))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, server, *args):
        self.owner = server
        super().__init__(*args)

    def log_message(self, *args):
        pass

    def do_GET(self):
        owner, path = self.owner, self.path.partition("?")[0].lstrip("/")
        owner.asked[path] += 1
        fault = owner.faults[path].pop(0) if owner.faults[path] else owner.always.get(path, "fine")
        file = owner.folder / path
        if fault == "stall":
            owner.released.wait(20)
            fault = "drop"
        if fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if isinstance(fault, int) or not file.is_file():
            self.send_error(fault if isinstance(fault, int) else 404)
            return
        body, status, extra = file.read_bytes(), 200, {}
        if owner.etags:
            extra["ETag"] = f'"{hashlib.md5(body).hexdigest()}"'
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted and fault != "whole":
            first, last = wanted.groups()
            low = int(first) if first else max(0, len(body) - int(last))
            high = min(len(body), int(last) + 1) if first and last else len(body)
            status, extra["Content-Range"] = 206, f"bytes {low}-{high - 1}/{len(body)}"
            body = body[low:high]
        if fault == "few":
            body = body[: len(body) // 2]
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "cut":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self.wfile.write(body)
