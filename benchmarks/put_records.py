"""CPU of one PutRecords call: our signed request against botocore's generated client, in the same run.

    python benchmarks/put_records.py

A server on loopback answers from its own process, so that its work is not counted. What is compared is this process's
CPU time for each call, as a ratio: absolute times are the machine's.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.stream.putrecords import GeneratedPutRecords, PutRecords, SignedPutRecords

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

ROUNDS = 60  # interleaved, so that a busy moment hits both alike
RECORDS = 500
SIZES_BYTES = (107, 1000, 10_000)  # a prediction, an alert, and what fills a call's 10 MiB halfway


class Answers(BaseHTTPRequestHandler):
    """Accepts every record."""

    protocol_version = "HTTP/1.1"
    body = json.dumps(
        {"FailedRecordCount": 0, "Records": [{"SequenceNumber": "4" * 56, "ShardId": "shardId-000000000000"}] * RECORDS}
    ).encode()

    def do_POST(self) -> None:
        """Reads the request and answers."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_arguments: Any) -> None:  # noqa: ANN401 - as http.server has it
        """Says nothing."""


def serve(ready: Connection) -> None:
    """Serves until the process is ended; tells its port first."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    ready.send(server.server_port)
    server.serve_forever()


def cpu_ms(service: PutRecords, datas: list[bytes]) -> float:
    """CPU milliseconds of this process for one call."""
    keys = [str(number) for number in range(len(datas))]
    began = time.process_time()
    service.put("stream", keys, datas)
    return (time.process_time() - began) * 1000


def main() -> None:
    """Measures and prints a table."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        os.environ.update(
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{ours.recv()}",
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",  # noqa: S106 - nobody checks it
            AWS_DEFAULT_REGION="us-east-1",
        )
        services: dict[str, PutRecords] = {"generated": GeneratedPutRecords(), "signed": SignedPutRecords(1)}
        print(f"{RECORDS} records a call, CPU ms a call, medians of {ROUNDS} interleaved rounds")
        print(f"{'bytes':>8} {'generated':>10} {'signed':>8} {'ratio':>6}")
        for size in SIZES_BYTES:
            datas = [b'{"n": "' + b"x" * (size - 9) + b'"}'] * RECORDS
            spent: dict[str, list[float]] = {name: [] for name in services}
            for _ in range(ROUNDS):
                for name, service in services.items():
                    spent[name].append(cpu_ms(service, datas))
            generated, signed = (statistics.median(spent[name][5:]) for name in services)
            print(f"{size:>8} {generated:>10.2f} {signed:>8.2f} {generated / signed:>6.1f}")
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
