"""A gateway's admin socket for tests of the command line: answers what it is told, and nothing that the
API's description does not allow.  It keeps no state; the real gateway is for the story tests."""
import contextlib
import json
import os
import re
import socket
import threading

import jsonschema
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
with open(os.path.join(ROOT, "docs/api/openapi.yaml")) as f:
    API = yaml.safe_load(f)


def check(schema, value):
    """@value is of the schema (a dictionary with references into the API's description)."""
    jsonschema.Draft202012Validator({**schema, "components": API["components"]}).validate(value)


def operation(method, path):
    """The operation of the API that a request is for."""
    for template, item in API["paths"].items():
        pattern = re.sub(r"\{peer\}", "[A-Za-z0-9][A-Za-z0-9._-]{0,62}", template)
        if re.fullmatch(pattern, path) and method.lower() in item:
            return item[method.lower()]
    raise AssertionError(f"the API has no {method} {path}")


def answer_schema(op, status):
    found = op["responses"].get(str(status), op["responses"]["default"])
    if "$ref" in found:
        found = API["components"]["responses"][found["$ref"].rsplit("/", 1)[1]]
    (kind, content), = found["content"].items()
    return kind, content["schema"]


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.headers, self.body = method, headers, body
        self.path, _, self.query = target.partition("?")


class Gateway:
    """Serves on @path.  `says` maps "METHOD /path" to (status, object), a function of the request that returns
    one, or a function of (request, connection) marked @raw that answers by itself."""

    def __init__(self, path):
        self.path, self.says, self.requests, self.wrong = path, {}, [], []
        self.changed = threading.Condition()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)

    def wait_for(self, condition, timeout=20):
        with self.changed:
            assert self.changed.wait_for(condition, timeout), "waited in vain for a request"

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with connection:
            try:
                request = self._read(connection)
                if request:
                    self._answer(request, connection)
            except (BrokenPipeError, ConnectionResetError):
                pass
            except Exception as e:  # shown by the test that caused it
                self.wrong.append(f"{type(e).__name__}: {e}")

    def _read(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        method, target, version = lines[0].split(" ")
        assert version == "HTTP/1.1" and target.startswith("/api/v1/"), lines[0]
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        assert len(body) == int(headers.get("content-length", 0))
        if body:
            assert headers["content-type"] == "application/json", headers
        else:
            assert "content-type" not in headers and (method != "POST" or headers["content-length"] == "0"), headers
        return Request(method, target[len("/api/v1"):], headers, json.loads(body) if body else None)

    def _answer(self, request, connection):
        op = operation(request.method, request.path)
        if "requestBody" in op:
            check(op["requestBody"]["content"]["application/json"]["schema"], request.body)
        else:
            assert request.body is None, request.body
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
        said = self.says[f"{request.method} {request.path}"]
        if getattr(said, "raw", False):
            said(request, connection)
            return
        status, value = said(request) if callable(said) else said
        kind, schema = answer_schema(op, status)
        check(schema, value)
        body = (value if isinstance(value, str) else json.dumps(value)).encode()
        send(connection, status, kind, body)


def send(connection, status, kind, body):
    connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                       "Connection: close\r\n\r\n".encode() + body)


def raw(function):
    function.raw = True
    return function
