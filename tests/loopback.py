"""A server on loopback whose answers are given, good or bad."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def answering(*answers, models=(200, '{"data": [{"id": "m"}]}')):
    """A server that gives these answers, one a request, the last for ever; yields its address and what it was asked."""
    asked, lock, done = [], threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.give(models)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                answer = answers[min(len(asked), len(answers) - 1)]
                asked.append((self.path, body, dict(self.headers)))
            self.give(answer(body) if callable(answer) else answer)

        def give(self, answer):
            if answer == "hang":
                done.wait(20)
            if answer in ("hang", "drop"):
                self.close_connection = True
                return
            status, text, *headers = answer
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        done.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def hub(monkeypatch, answer):
    """A hub on loopback that gives every request the answer, and writes down what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def give(self):
            asked.append(f"{self.command} {self.path}")
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD = give  # noqa: N815 - the library's own names

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
