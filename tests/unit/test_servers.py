"""Every server of this repository is reached from this machine alone, unless it asks for tokens."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDERS = ("app", "devtools", "model", "benchmarks", "examples", "scripts")
LISTENERS = {
    "bind", "create_server", "create_unix_server", "start_server", "make_server", "run_simple", "HTTPServer",
    "TCPServer", "ThreadingHTTPServer", "ThreadingTCPServer", "ThreadedMotoServer", "UDPServer", "WSGIServer",
    "SimpleXMLRPCServer",
}  # fmt: skip
CALLS = re.compile(rf"\b(?:{'|'.join(sorted(LISTENERS))}|uvicorn\.run)\(")
LOOPBACK = {"'127.0.0.1'", "LOOPBACK"}
CHECKED = {
    ("app/handlers/api/server.py", "create_server"): "`serve` takes loopback, or asks for tokens: test_serve.py",
}
NOT_SOCKETS = {
    ("app/handlers/api/application.py", "bind"),  # a request's fields
    ("benchmarks/__main__.py", "start_server"),  # Millrace's own cloud, in a process
}


def test_every_server_listens_on_loopback() -> None:
    found: list[str] = []
    for path in sorted(path for folder in FOLDERS for path in Path(folder).rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if CALLS.search(text) else ():
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            is_uvicorn = ast.unparse(node.func) == "uvicorn.run"
            if not (name in LISTENERS or is_uvicorn) or (path.as_posix(), name) in {*CHECKED, *NOT_SOCKETS}:
                continue
            arguments = ast.unparse(node)
            if not any(each in arguments for each in LOOPBACK):
                found.append(f"{path}:{node.lineno} {arguments}")
    assert not found, "let it listen on 127.0.0.1, or ask for tokens and say so in CHECKED"


def test_what_is_said_to_be_checked_is_there() -> None:
    for path, name in {*CHECKED, *NOT_SOCKETS}:
        assert f"{name}(" in Path(path).read_text()


def test_no_file_names_the_address_of_all_machines() -> None:
    every = re.compile(r"""["']0\.0\.0\.0["':]""")
    found = [
        str(path)
        for folder in FOLDERS
        for path in Path(folder).rglob("*")
        if path.suffix in {".py", ".sh", ".js", ".mjs"} and every.search(path.read_text(errors="replace"))
    ]
    assert not found
    published = [line for line in Path("docker-compose.yml").read_text().splitlines() if "ports:" in line]
    assert all('["127.0.0.1:' in line for line in published)
