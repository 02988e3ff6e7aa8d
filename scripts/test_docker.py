#!/usr/bin/env python3
"""Post an event to the Lambda emulator in a running container, and print the function's answer as JSON.

Start the container with: docker run --rm -p 127.0.0.1:8080:8080 -e TEST_RUN=True millrace:v1. It needs Python alone.

The emulator answers most failures with status 200; the exit code tells them apart: 0 for the function's answer, 1 for
an error of function or emulator, 2 for an event that cannot be sent.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

URL = "http://localhost:8080/2015-03-31/functions/function/invocations"
EVENT_BYTES = 6 * 1024 * 1024  # Lambda refuses more; the emulator cuts the event 100 bytes later and says nothing
ANSWER_WITHIN_S = 905  # Lambda's longest timeout, and a moment for the emulator to say that it passed


class InvokeError(Exception):
    """The function or the emulator failed; the message is one line that says which."""


def seed_event() -> bytes:
    """Return an event with one record of the bike pipeline, as Lambda receives it."""
    record = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 123}
    sequence_number = "49633930873543048396023173467440720160140773540570857474"
    kinesis = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "1",
        "sequenceNumber": sequence_number,
        "data": base64.b64encode(json.dumps(record).encode()).decode(),
        "approximateArrivalTimestamp": 1665202866.428,
    }
    envelope = {
        "kinesis": kinesis,
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-kinesis",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/passenger_events",
    }
    return json.dumps({"Records": [envelope]}).encode()


def invoke(event: bytes, url: str = URL, answer_within_s: float = ANSWER_WITHIN_S) -> Any:  # noqa: ANN401 - any JSON
    """Send the emulator one event, and return the function's answer.

    The emulator ends when it gets a second event before it has answered the first.

    Raises:
        InvokeError: The event is too large, nothing answers, or the function failed.
    """
    if len(event) > EVENT_BYTES:
        raise InvokeError(f"the event has {len(event)} bytes, and Lambda takes {EVENT_BYTES}: send fewer records")
    request = urllib.request.Request(url, event, {"Content-Type": "application/json"})  # noqa: S310 - see main
    try:
        with urllib.request.urlopen(request, timeout=answer_within_s) as response:  # noqa: S310
            status, body = response.status, response.read()
            failed = response.headers.get("X-Amz-Function-Error")  # of AWS; the emulator says it in the body alone
    except urllib.error.HTTPError as error:
        status, body, failed = error.code, error.read(), None
    except TimeoutError:
        raise InvokeError(f"no answer from {url} within {answer_within_s:g} s") from None
    except urllib.error.URLError as error:
        raise InvokeError(
            f"nothing answers at {url} ({error.reason}): is the container up, with -p 127.0.0.1:8080:8080?"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise InvokeError(
            f"the emulator hung up ({error!r}): see docker logs; it takes one event at a time, and ends at a second"
        ) from None
    return _answer(status, body, failed)


def _answer(status: int, body: bytes, failed: str | None = None) -> Any:  # noqa: ANN401
    """Return the function's answer, or raise the error that the emulator sent in its place."""
    if not body:
        raise InvokeError(f"the function ended without an answer (status {status}): docker logs says why")
    try:
        answer = json.loads(body)
    except ValueError:  # "Task timed out after 3.00 seconds" comes as plain text, with status 200
        raise InvokeError(_one_line(body.decode(errors="replace"))) from None
    if isinstance(answer, dict) and "errorType" in answer:
        raise InvokeError(_one_line(f"{answer['errorType']}: {answer.get('errorMessage', '')}"))
    if failed:
        raise InvokeError(f"{failed}: {_one_line(body.decode(errors='replace'))}")
    if status != http.client.OK:
        raise InvokeError(f"status {status}: {_one_line(body.decode(errors='replace'))}")
    return answer


def _one_line(text: str) -> str:
    line = " ".join(text.split())[:1000]
    return "".join(letter if letter.isprintable() else "�" for letter in line)


def main() -> int:
    """Post the event; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--event", type=Path, metavar="FILE", help="a Lambda event in JSON; the seed's own without")
    parser.add_argument("--url", default=URL, help="where the emulator listens (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.url.startswith(("http://", "https://")):
        parser.error(f"--url {arguments.url}: give http://host:port/2015-03-31/functions/function/invocations")
    try:
        event = arguments.event.read_bytes() if arguments.event else seed_event()
        json.loads(event)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"test_docker.py: {arguments.event}: {error}\n")
        return 2
    try:
        print(json.dumps(invoke(event, arguments.url), indent=2))
    except InvokeError as error:
        sys.stderr.write(f"test_docker.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
