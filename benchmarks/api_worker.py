"""Run one candidate of the API in its own process: `python -m benchmarks.api_worker NAME FOLDER`.

Its first line of output says that it is ready, with its times and the number of modules it imported. Each input line is
then a command and each output line the answer; with `stubbed` a formula replaces the model:

    {"do": "run", "event": PATH, "stubbed": false, "times": 50}   → {"cpu_ms": …, "wall_ms": …}   for one call
    {"do": "answer", "event": PATH, "stubbed": false}             → {"status": …, "body": …}
    {"do": "memory"}                                              → {"rss_mb": …, "peak_mb": …}
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.contract import Context
from benchmarks.worker import as_lambda_calls, memory


def main(name: str, folder: Path) -> None:
    """Open the candidate and serve commands until standard input ends."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a candidate's own prints must not mix with the answers
    held, began = set(sys.modules), time.perf_counter()
    peer = importlib.import_module(f"benchmarks.peers.{name}").open_peer(folder)
    ready = {
        "ready_s": time.monotonic(),
        "cpu_ms": time.process_time() * 1000,
        "open_ms": (time.perf_counter() - began) * 1000,
        "modules": len(set(sys.modules) - held),
    }
    channel.write(json.dumps({**ready, **memory()}) + "\n")
    serve(peer, channel)


def serve(peer: Any, channel: Any) -> None:  # noqa: ANN401 - imported late, so that INIT has only the candidate's imports
    """Answer commands from standard input."""
    import gc  # noqa: PLC0415 - only after INIT

    context = Context()
    handle = peer.handle or functools.partial(as_lambda_calls, peer.handler, context=context)
    read = functools.lru_cache(maxsize=4)(lambda path: Path(path).read_bytes())
    gc.collect()
    gc.freeze()  # for every candidate: objects of INIT are not searched at each collection
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "memory":
            channel.write(json.dumps(memory()) + "\n")
            continue
        event, times = read(command["event"]), command.get("times", 1)
        peer.model.stubbed = command["stubbed"]
        answer = b""
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(times):
            answer = handle(event)
        spent: dict[str, object] = {
            "cpu_ms": (time.process_time() - cpu) * 1000 / times,
            "wall_ms": (time.perf_counter() - wall) * 1000 / times,
        }
        if command["do"] == "answer":
            found = json.loads(answer)
            spent = {"status": int(found.get("statusCode", 0)), "body": found.get("body", "")}
        channel.write(json.dumps(spent) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
