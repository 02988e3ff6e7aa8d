"""Run one candidate in its own process, driven by lines of JSON: `python -m benchmarks.worker NAME FOLDER`.

Its first line of output says that it is ready, with its times and the modules it imported. With `import-only` it reads
a list of modules and answers with the time to import them. Each input line is then a command and each output line the
answer:

    {"do": "run", "event": PATH, "stubbed": true}   → {"cpu_ms": …, "wall_ms": …}
    {"do": "sent", "event": PATH}                   → {"bodies": PATH}   one line per request
    {"do": "memory"}                                → {"rss_mb": …, "peak_mb": …}
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

IMPORT_ONLY = "import-only"


def main(name: str, folder: Path) -> None:
    """Open the candidate and serve commands until standard input ends."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a candidate's own prints must not mix with the answers
    if IMPORT_ONLY in sys.argv:
        channel.write(json.dumps({"import_ms": import_all(json.loads(sys.stdin.readline()))}) + "\n")
        return
    peer = importlib.import_module(f"benchmarks.peers.{name}").open_peer(folder)
    ready = {"ready_s": time.monotonic(), "cpu_ms": time.process_time() * 1000, "modules": list(sys.modules)}
    channel.write(json.dumps({**ready, **memory()}) + "\n")
    serve(peer, channel)


def import_all(modules: list[str]) -> float:
    """Import the modules that a ready process had loaded, in the same order; return the milliseconds."""
    began = time.perf_counter()
    for module in modules:
        with contextlib.suppress(Exception):  # some are created at run time and cannot be imported
            importlib.import_module(module)
    return (time.perf_counter() - began) * 1000


def serve(peer: Any, channel: Any) -> None:  # noqa: ANN401 - imported late, so that INIT has only the candidate's imports
    """Answer commands from standard input."""
    import gc  # noqa: PLC0415 - only after INIT

    from benchmarks.wire import Wire  # noqa: PLC0415

    wire = Wire(peer)
    handle = peer.handle or functools.partial(as_lambda_calls, peer.handler)
    read = functools.lru_cache(maxsize=1)(lambda path: Path(path).read_bytes())
    gc.collect()
    gc.freeze()  # for every candidate: objects of INIT are not searched at each collection
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "memory":
            channel.write(json.dumps(memory()) + "\n")
            continue
        event = read(command["event"])
        wire.stubbed = command.get("stubbed", True)
        wire.sent = [] if command["do"] == "sent" else None
        cpu, wall = time.process_time(), time.perf_counter()
        handle(event)
        spent: dict[str, object] = {
            "cpu_ms": (time.process_time() - cpu) * 1000,
            "wall_ms": (time.perf_counter() - wall) * 1000,
        }
        if wire.sent is not None:
            bodies = Path(command["event"]).with_suffix(".bodies")
            bodies.write_bytes(b"".join(body + b"\n" for body in wire.sent))
            spent["bodies"] = str(bodies)
        channel.write(json.dumps(spent) + "\n")


def as_lambda_calls(handler: Any, event: bytes, context: object = None) -> bytes:  # noqa: ANN401 - any handler
    """Call an ordinary handler as Lambda's runtime client does, with JSON decoding and encoding."""
    return json.dumps(handler(json.loads(event), context)).encode()


def memory() -> dict[str, float | None]:
    """Return this process's resident memory and its peak, MB of 2^20 bytes; None if the system does not report them."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return {"rss_mb": None, "peak_mb": None}
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in status.splitlines())
           if name in {"VmRSS", "VmHWM"}}  # fmt: skip
    return {"rss_mb": kib["VmRSS"] / 1024, "peak_mb": kib["VmHWM"] / 1024}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
