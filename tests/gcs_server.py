"""A local Google Cloud Storage server for reading: objects by ranges, listings, and failures on command."""

import json
import re
import threading
import urllib.parse
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class GcsServer:
    """Holds objects (name -> bytes) of one bucket; `failures` are the statuses of the next answers."""

    def __init__(self):
        self.objects, self.failures, self.asked = {}, [], 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: _Handler(self, *args))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def describe(self, name):
        body = self.objects[name]
        return {"name": name, "bucket": "bucket", "size": str(len(body)), "etag": f"{zlib.crc32(body):x}"}

    def listing(self, prefix, delimiter):
        items, folders = [], set()
        for name in sorted(self.objects):
            rest = name.removeprefix(prefix)
            if name.startswith(prefix) and delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            elif name.startswith(prefix):
                items.append(self.describe(name))
        return {"items": items, "prefixes": sorted(folders)}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, server, *args):
        self.owner = server
        super().__init__(*args)

    def log_message(self, *args):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:  # the client gives up one of two questions that it asks at the same time
            self.close_connection = True

    def do_GET(self):
        owner, parts = self.owner, urllib.parse.urlsplit(self.path)
        owner.asked += 1
        query = dict(urllib.parse.parse_qsl(parts.query))
        name = urllib.parse.unquote(re.search(r"/b/[^/]+/o/?(.*)$", parts.path)[1])
        if owner.failures:
            self.answer(owner.failures.pop(0), b"{}")
        elif not name:
            self.answer(200, json.dumps(owner.listing(query.get("prefix", ""), query.get("delimiter", ""))).encode())
        elif name not in owner.objects:
            self.answer(404, b"{}")
        elif query.get("alt") != "media":
            self.answer(200, json.dumps(owner.describe(name)).encode())
        else:
            body, wanted = owner.objects[name], re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if wanted and wanted[1]:
                body = body[int(wanted[1]) : int(wanted[2]) + 1 if wanted[2] else None]
            elif wanted:
                body = body[-int(wanted[2]) :]
            self.answer(206 if wanted else 200, body)

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
