"""List the files under `app/` in which code runs on the way of a record, of an alert and of a file of alerts.

Run by `python -m devtools.house --ways`, in a separate process for the tree that is counted. It uses the names that
users deploy (the Lambda entry points, the environment, the names of the handlers), so one version of it counts any
clone. Each way runs once before it is traced: models are loaded and modules imported by then, and what is left is the
code that a reader follows.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

STREAMS = ("input", "output", "enriched", "incidents", "tickets")
STATE_TABLE, LOOKUP_TABLE, BUCKET = "state", "lookup", "files"
RECORD = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 123}
ATTACK = (
    (0, "203.0.113.7", "web1", "Nmap service scan", "T1046"),
    (30, "203.0.113.7", "web1", "Web shell written to disk", "T1505.003"),
    (90, "web1", "db1", "Remote service session over SSH", "T1021.004"),
    (160, "db1", "203.0.113.9", "Exfiltration over DNS", "T1048.003"),
)  # seconds, source, destination, name, technique
STEPS = (
    ("input/", "", "enrich-with-technique"),
    ("scratch/response/classification_out/", "/input_classification.json.out", "process-enriched-with-technique"),
    ("scratch/output/classification/", "/input.json", "create-cluster"),
    ("scratch/response/cluster_out/", "/input.zip.out", "process-cluster"),
    ("scratch/output/cluster/", "/input_flow.json", "create-flow"),
    ("scratch/response/flow_out/", "/input_flow.json.out", "process-flow"),
)  # how the name of an object begins and ends, and the handler that its arrival starts (docs/alert-files.md)
CONTEXT = SimpleNamespace(
    function_name="ways",
    function_version="1",
    memory_limit_in_mb=512,
    aws_request_id="1",
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:ways",
    get_remaining_time_in_millis=lambda: 60_000,
)


class Recorder:
    """Records the files under `app/` in which functions are called, on every thread that starts later."""

    def __init__(self, root: Path) -> None:
        """Start tracing; nothing is recorded outside `record`."""
        self._root = root
        self._files: set[str] | None = None
        threading.setprofile(self._on_call)
        sys.setprofile(self._on_call)

    @contextlib.contextmanager
    def record(self, files: set[str]) -> Iterator[None]:
        """Record into this set of files within the context."""
        self._files = files
        try:
            yield
        finally:
            self._files = None

    def _on_call(self, frame: FrameType, event: str, _: object) -> None:
        files, name = self._files, frame.f_code.co_filename
        if files is not None and event == "call" and name.startswith(f"{self._root}/app/"):
            files.add(name.removeprefix(f"{self._root}/"))


def kinesis_event(records: list[dict[str, Any]], first: int) -> dict[str, Any]:
    """Return the event that Lambda gets for these records."""
    return {
        "Records": [
            {
                "eventID": f"shardId-000000000000:{number}",
                "eventName": "aws:kinesis:record",
                "eventSource": "aws:kinesis",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/input",
                "eventVersion": "1.0",
                "awsRegion": "us-east-1",
                "invokeIdentityArn": "arn:aws:iam::000000000000:role/ways",
                "kinesis": {
                    "approximateArrivalTimestamp": 1_700_000_000.5,
                    "data": base64.b64encode(json.dumps(record).encode()).decode(),
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "a",
                    "sequenceNumber": str(49_600_000_000_000_000_000_000_000_000 + number),
                },
            }
            for number, record in enumerate(records, first)
        ]
    }


def attack(day: int) -> list[dict[str, Any]]:
    """Return the alerts of one attack."""
    return [
        {
            "id": f"a{day}-{after_s}",
            "time": 1.7e9 + day * 86_400 + after_s,
            "src": src,
            "dst": dst,
            "name": name,
            "tech": [tech],
        }
        for after_s, src, dst, name, tech in ATTACK
    ]


def run_stream(recorder: Recorder, pipeline: str, batch: Callable[[int], list[dict[str, Any]]]) -> set[str]:
    """Process two batches in the Lambda entry point and return the files of the second one."""
    os.environ["PIPELINE"] = pipeline
    for name in [name for name in sys.modules if name == "app" or name.startswith("app.")]:
        del sys.modules[name]  # the entry point reads the environment once a process
    from app.lambda_function import lambda_handler  # noqa: PLC0415 - after the environment

    files: set[str] = set()
    lambda_handler(kinesis_event(batch(0), 0), CONTEXT)
    with recorder.record(files):
        answer = lambda_handler(kinesis_event(batch(1), 100), CONTEXT)
    if answer["batchItemFailures"] or answer.get("quarantined"):
        raise SystemExit(f"{pipeline}: {answer}")
    return files


def run_file(recorder: Recorder) -> set[str]:
    """Take two files of alerts through their steps and return the files of code of the second one."""
    import boto3  # noqa: PLC0415 - after the environment

    from app.router_function import lambda_handler  # noqa: PLC0415 - after the environment

    s3 = boto3.client("s3")
    files: set[str] = set()
    for day in range(2):
        done = {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}
        s3.put_object(Bucket=BUCKET, Key=f"input/{day}.json", Body=json.dumps({"input": attack(day)}).encode())
        while True:
            arrived = {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]} - done
            if not arrived:
                break
            for key in sorted(arrived):
                done.add(key)
                for begin, end, step in STEPS:
                    if key.startswith(begin) and key.endswith(end):
                        with recorder.record(files) if day else contextlib.nullcontext():
                            lambda_handler({"handler": step, "event": {"location": f"s3://{BUCKET}/{key}"}}, CONTEXT)
        if not any(key.endswith("/manifest.json") and key.startswith(f"output/{day}-") for key in done):
            raise SystemExit(f"file {day}: no manifest among {sorted(done)}")
    return files


def main() -> None:
    """Print the files of each way as JSON."""
    root = Path.cwd()
    sys.path.insert(0, str(root))
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - a development package

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    recorder = Recorder(root)
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "OUTPUT_STREAM": "output",
        "OUTPUT_STREAMS": "enriched:enriched,incidents:incidents,tickets:tickets",
        "STATE_TABLE": STATE_TABLE,
        "LOOKUP_TABLE": LOOKUP_TABLE,
        "PARTIAL_RESPONSES": "True",
        "ROUTER_HANDLERS": ",".join(step for _, _, step in STEPS),
        "LOG_LEVEL": "ERROR",
    }
    import boto3  # noqa: PLC0415 - after the environment

    kinesis, dynamodb = boto3.client("kinesis"), boto3.client("dynamodb")
    for stream in STREAMS:
        kinesis.create_stream(StreamName=stream, ShardCount=1)
    for table, key in ((STATE_TABLE, "state_key"), (LOOKUP_TABLE, "alert")):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    with contextlib.redirect_stdout(sys.stderr):  # metrics
        ways = {
            "record": run_stream(recorder, "bike", lambda _: [RECORD]),
            "alert": run_stream(recorder, "alerts", attack),
            "file": run_file(recorder),
        }
    server.stop()
    print(json.dumps({way: sorted(files) for way, files in ways.items()}))


if __name__ == "__main__":
    main()
