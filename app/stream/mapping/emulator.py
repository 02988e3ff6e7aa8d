"""Invoke a function behind a Lambda emulator over HTTP: any container that speaks the invoke API.

The Runtime Interface Emulator, which AWS's base images carry, answers otherwise than Lambda does, and this is where
that is made good: it answers 200 when the function failed, and reports a timeout in plain text only. It also ends
when a second caller comes (`pool.py` sends one at a time), and cuts an event that is too large, which then is not JSON
(`driver.py` does not send it).
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import urllib3

from app.budgets import is_over_elements
from app.errors import SettingsError
from app.stream.mapping.invoke import OK, TOO_LARGE, UNHANDLED, Answer
from app.stream.workers import Threads, call_within

if TYPE_CHECKING:
    from collections.abc import Mapping

INVOKE_PATH = "/2015-03-31/functions/function/invocations"
CONNECT_TIMEOUT_S = 5  # an emulator is near; longer means that it is not up
MOST_ANSWER_BYTES = 8 * 1024 * 1024  # above Lambda's own 6 MB, which an emulator may not hold to
EMULATOR_TIMEOUT_S = 905.0  # past Lambda's own limit of 15 minutes: the emulator's timeout is the one that ends a call

_TIMED_OUT = re.compile(r"Task timed out after [\d.]+ seconds")
_REACHED = frozenset({OK, TOO_LARGE, 502, 504})  # with any other status the event has not reached the function
_BUSY = ("ReserveFailed", "AlreadyReserved")
_ERROR_KEYS = ("errorType", "errorMessage")


class Emulator:
    """One function behind one URL."""

    def __init__(self, url: str, timeout_s: float = EMULATOR_TIMEOUT_S) -> None:
        """Take a URL; nothing is called yet.

        Args:
            url: `http://host:port` of a Runtime Interface Emulator, or a whole URL that takes invocations.
            timeout_s: Seconds to wait for an answer. It is to be longer than the function's own timeout, since an
                emulator does not notice that its caller has left.

        Raises:
            SettingsError: It is not an HTTP URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsError(f"--function-url {url!r}: give http://host:port of an emulator")
        self.url = url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{INVOKE_PATH}"
        self._timeout_s = timeout_s
        self._workers = Threads(1)
        self._http = self._connect()

    def _connect(self) -> urllib3.PoolManager:
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=self._timeout_s)
        return urllib3.PoolManager(maxsize=1, retries=False, timeout=timeout)

    def invoke(self, event: bytes) -> Answer:
        """Post an event and read the answer."""
        try:
            headers, body, status = call_within(
                self._workers, CONNECT_TIMEOUT_S + self._timeout_s, _post, self._http, self.url, event
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            return Answer(fault=f"{self.url} does not answer: is it up?", invoked=False, status=503)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
            self._http = self._connect()
            return Answer(fault=f"{self.url} gave no answer in time: set --timeout longer than the function's own")
        except urllib3.exceptions.HTTPError as error:
            return Answer(fault=f"{self.url}: {type(error).__name__} while the function ran")
        if len(body) > MOST_ANSWER_BYTES:
            return Answer(fault=f"{self.url}: an answer of more than {MOST_ANSWER_BYTES} bytes, which is not read on")
        return read_answer(status, headers, body)


def _post(http: urllib3.PoolManager, url: str, event: bytes) -> tuple[Mapping[str, str], bytes, int]:
    """Return headers, body and status of an answer; of a body without end, one byte more than is taken."""
    headers = {"Content-Type": "application/json"}
    response = http.request("POST", url, body=event, headers=headers, redirect=False, preload_content=False)
    body = response.read(MOST_ANSWER_BYTES + 1, decode_content=False)
    if len(body) > MOST_ANSWER_BYTES:
        response.close()
    return response.headers, body, response.status


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Interpret an emulator's response.

    Only an answer that a function can have given is a success: JSON, which a function that returns nothing answers too.
    A page has come from something else, and an empty body from an emulator whose function has ended.

    Args:
        status: Its HTTP status.
        headers: Its headers; AWS's own say that the function failed, most emulators' do not.
        body: The return of the function, or an error as JSON or text.
    """
    request_id, unreadable = headers.get("x-amzn-RequestId") or str(uuid.uuid4()), None
    value: Any = ""
    if is_over_elements(body):
        unreadable = "an answer of more values and fields than a mapping reads"
    else:
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            value = body.decode("utf-8", "replace")
            unreadable = "an answer that is not JSON" if body.strip() else "an empty answer: see the function's log"
    busy = status != OK and any(each in str(value) for each in _BUSY)
    if status in _REACHED and not busy:
        failed = UNHANDLED if headers.get("X-Amz-Function-Error") else None
        fault = _fault_in(value) or failed or (unreadable if status == OK else None)
        if fault is not None:
            return Answer(fault=fault, request_id=request_id)
    if status == OK:
        return Answer(value, request_id=request_id)
    fault = "the emulator is busy with another caller" if busy else f"HTTP {status}"
    return Answer(fault=fault, invoked=status in _REACHED and not busy, status=status, request_id=request_id)


def _fault_in(value: object) -> str | None:
    """Return the error in a body, without its message, which may quote a payload."""
    if isinstance(value, str):
        found = _TIMED_OUT.search(value)
        return found[0] if found else None
    if isinstance(value, dict) and any(key in value for key in _ERROR_KEYS) and "batchItemFailures" not in value:
        found = _TIMED_OUT.search(str(value.get("errorMessage")))
        return found[0] if found else str(value.get("errorType") or UNHANDLED)[:100]
    return None
