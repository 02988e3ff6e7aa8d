"""One candidate of the alerts' benchmark in a process of its own: `python -m benchmarks.alerts_worker NAME FOLDER`.

Its first line says that it is ready, what it took and what it imported. Then each line in is a command of the
candidate's own, `{"do": NAME, …}`, and each line out its answer; `{"do": "memory"}` every one of them has.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.worker import memory


def main(name: str, folder: Path) -> None:
    """Opens the candidate and serves commands until standard input ends."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a candidate prints is not an answer
    held = set(sys.modules)
    commands = importlib.import_module(f"benchmarks.peers.{name}").open_peer(folder)
    ready = {"cpu_ms": time.process_time() * 1000, "modules": len(set(sys.modules) - held)}
    channel.write(json.dumps({**ready, **memory()}) + "\n")
    gc.collect()
    gc.freeze()  # for each alike: what INIT made is not searched at every collection
    for line in sys.stdin:
        options = json.loads(line)
        command = options.pop("do")
        answer = memory() if command == "memory" else commands[command](**options)
        channel.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
