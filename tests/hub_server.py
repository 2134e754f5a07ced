"""A stand-in for the hub on loopback: dataset repositories that are made, committed to, listed and read over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    made: list[dict] = field(default_factory=list)
    refuse: int = 0
    """A status that every writing request is answered with."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def give(self, status, content, headers=()):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer(self):
        path, body = unquote(urlsplit(self.path).path), self.body()
        self.hub.asked.append(f"{self.command} {path}")
        self.hub.tokens.append(self.headers.get("authorization"))
        if self.command == "POST" and self.hub.refuse:
            return self.give(self.hub.refuse, {"error": "no"})
        if path == "/api/validate-yaml":
            return self.give(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/preupload/\w+", path):
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            return self.give(200, {"files": files})
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/commit/\w+", path):
            return self.commit(match[1], body)
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/\w+", path):
            held = self.hub.repositories.get(match[1], {})
            paths = json.loads(body)["paths"] if body[:1] == b"{" else re.findall(rb"paths=([^&]+)", body)
            names = [each if isinstance(each, str) else unquote(each.decode()) for each in paths]
            return self.give(
                200,
                [{"type": "file", "path": n, "size": len(held[n]), "oid": _oid(held[n])} for n in names if n in held],
            )
        if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+?)(?:/revision/(.+))?", path):
            return self.info(match[1])
        if match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.file(match[1], match[3])
        return self.give(404, {"error": f"no {path}"})

    do_GET = do_HEAD = do_POST = answer  # noqa: N815 - the library's own names

    def create(self, told):
        name = f"{told.get('organization') or 'me'}/{told['name']}"
        self.hub.made.append(told)
        self.hub.repositories.setdefault(name, {})
        self.give(200, {"url": f"{self.hub.address}/datasets/{name}"})

    def commit(self, name, body):
        for line in body.splitlines():
            told = json.loads(line)
            if told["key"] == "file":
                self.hub.repositories[name][told["value"]["path"]] = base64.b64decode(told["value"]["content"])
        self.give(200, {"commitUrl": f"{self.hub.address}/datasets/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    def info(self, name):
        if name not in self.hub.repositories:
            return self.give(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        siblings = [{"rfilename": each} for each in self.hub.repositories[name]]
        return self.give(
            200, {"id": name, "sha": COMMIT, "siblings": siblings, "private": True, "tags": [], "downloads": 0}
        )

    def file(self, name, path):
        content = self.hub.repositories.get(name, {}).get(path)
        if content is None:
            return self.give(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        return self.give(200, content, {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": COMMIT})


def _oid(content):
    return hashlib.sha1(content).hexdigest()


@contextmanager
def hub_server(monkeypatch, cache):
    """A hub, and huggingface_hub made to speak to it; its cache is a folder of the test."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    constants = "huggingface_hub.constants."
    monkeypatch.setattr(f"{constants}ENDPOINT", hub.address)
    monkeypatch.setattr(
        f"{constants}HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(f"{constants}HF_HUB_OFFLINE", False)
    monkeypatch.setattr(f"{constants}HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(f"{constants}HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.setenv("HF_TOKEN", "hf_ThisIsTheTokenOfATest0123456789")
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
