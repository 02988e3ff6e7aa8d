"""Call Kinesis's PutRecords, with a signed request of our own or by botocore's generated client.

The request's body is built here and signed by botocore's SigV4 signer with its credential chain and HTTP session: a
fifth of the generated client's CPU for the same bytes on the wire
(`docs/decisions/0006-own-putrecords-body.md`).
The API: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from app import aws
from app.errors import CloudError
from app.stream.puts import PutAnswer, TransientError, refused_entries
from app.stream.workers import Threads, call_within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.stream.puts import PutRecords

ANSWER_WITHIN_S = 10.0  # sending and answering; a socket's own timeout begins again with each byte

_NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else the end of a small body waits 40 ms for the server's ACK
_NOT_KINESIS = "an answer that is not Kinesis's"
_SERVER_FAULT = 500
_OK = 200


class _Entry(msgspec.Struct, rename="pascal", gc=False):
    data: bytes
    partition_key: str


class _Request(msgspec.Struct, rename="pascal", gc=False):
    stream_name: str
    records: list[_Entry]


class _Fault(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    message: str = ""


class _Summary(msgspec.Struct, rename={"kib": "MaxRecordSizeInKiB"}):
    kib: int = 1024


class _Description(msgspec.Struct, rename={"summary": "StreamDescriptionSummary"}):
    summary: _Summary


_answer = msgspec.json.Decoder(PutAnswer)
_encode_into = msgspec.json.Encoder().encode_into


class SignedPutRecords:
    """Requests built here, signed and sent by parts of botocore."""

    def __init__(self, connections: int) -> None:
        """Find endpoint and credentials; open no connection yet.

        Args:
            connections: Largest number of concurrent calls.

        Raises:
            CredentialsError: The credential chain has none.
        """
        self._region = aws.region()
        self._url = aws.endpoint("kinesis") + "/"
        self._credentials = aws.credentials()
        self._http = URLLib3Session(
            timeout=(aws.CONNECT_TIMEOUT_S, aws.READ_TIMEOUT_S),  # type: ignore[arg-type]  # the stubs know one only
            max_pool_connections=connections,
            verify=aws.session().get_config_variable("ca_bundle") or True,
            proxies=get_environ_proxies(self._url),
            socket_options=[_NO_DELAY],  # type: ignore[list-item]  # the stubs say text; urllib3 takes these
        )
        self._calls = Threads(connections)
        self._limits: dict[str, int] = {}

    def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
        """Call PutRecords once."""
        entries = list(map(_Entry, datas, keys))
        body = bytearray()
        _encode_into(_Request(stream, entries), body)  # grows faster than what `encode` writes to
        answer = self._call("PutRecords", stream, bytes(body))
        with _reading():
            return refused_entries(_answer.decode(answer), len(entries))

    def record_limit_bytes(self, stream: str) -> int:
        """Ask the stream, once."""
        if stream not in self._limits:
            body = msgspec.json.encode({"StreamName": stream})
            answer = self._call("DescribeStreamSummary", stream, body)
            with _reading():
                self._limits[stream] = msgspec.json.decode(answer, type=_Description).summary.kib * 1024
        return self._limits[stream]

    def _call(self, action: str, stream: str, body: bytes) -> bytes:
        """Make a signed call in Kinesis's JSON protocol, and return the answer's body."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"Kinesis_20131202.{action}",
        }
        request = AWSRequest("POST", self._url, headers, body)
        try:
            # Read again at each call, since a role's keys are rotated; frozen, so that none is mixed with another.
            SigV4Auth(self._credentials.get_frozen_credentials(), "kinesis", self._region).add_auth(request)
            response = call_within(self._calls, ANSWER_WITHIN_S, self._http.send, request.prepare())
            answer: bytes = response.content
        except TimeoutError:
            raise TransientError("an answer that does not end") from None
        except aws.UNREACHABLE as error:
            raise TransientError(type(error).__name__) from error
        except BotoCoreError as error:
            raise aws.explained(error, f"stream {stream}") from error
        if response.status_code == _OK:
            return answer
        code, message = _fault_of(answer)
        if response.status_code >= _SERVER_FAULT or code in aws.PASSING:
            raise TransientError(code or f"HTTP {response.status_code}")
        raise aws.refusal(code or f"HTTP {response.status_code}", message, f"stream {stream}")


class GeneratedPutRecords:
    """The same by botocore's generated client: the reference for `SignedPutRecords`."""

    def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
        """Call PutRecords once."""
        entries = [{"Data": data, "PartitionKey": key} for data, key in zip(datas, keys, strict=True)]
        answer = self._call("put_records", stream, Records=entries)
        with _reading():
            return refused_entries(msgspec.convert(answer, PutAnswer), len(entries))

    def record_limit_bytes(self, stream: str) -> int:
        """Ask the stream."""
        answer = self._call("describe_stream_summary", stream)
        with _reading():
            return msgspec.convert(answer, _Description).summary.kib * 1024

    @staticmethod
    def _call(action: str, stream: str, **arguments: object) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(aws.client("kinesis"), action)(StreamName=stream, **arguments)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status >= _SERVER_FAULT or error.response["Error"]["Code"] in aws.PASSING:
                raise TransientError(error.response["Error"]["Code"]) from error
            raise aws.explained(error, f"stream {stream}") from error
        except aws.BadAnswerError as error:
            raise TransientError(_NOT_KINESIS) from error
        except aws.UNREACHABLE as error:
            raise TransientError(type(error).__name__) from error
        except BotoCoreError as error:
            raise aws.explained(error, f"stream {stream}") from error
        return answer


@contextmanager
def _reading() -> Iterator[None]:
    """Raise what a decoder raises for an answer that has not Kinesis's form as a passing fault."""
    try:
        yield
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TransientError(_NOT_KINESIS) from error


def check_stream(service: PutRecords, stream: str) -> None:
    """Ask for a stream, so that a wrong name, key or endpoint shows before there is anything to put.

    Raises:
        MissingStreamError: The stream does not exist.
        CredentialsError: AWS refuses the credentials.
        CloudError: AWS, or the local cloud, does not answer.
    """
    try:
        service.record_limit_bytes(stream)
    except TransientError as error:
        if isinstance(error.__cause__, aws.UNREACHABLE):
            raise aws.explained(error.__cause__, f"stream {stream}") from None
        where = aws.endpoint("kinesis")
        raise CloudError(
            f"stream {stream}: {where} does not answer as Kinesis would ({error}): is it up?{aws.LOCAL_HINT}"
        ) from None


def _fault_of(answer: bytes) -> tuple[str, str]:
    """Return the error code and message of a refused call."""
    try:
        fault = msgspec.json.decode(answer, type=_Fault)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", ""
    return fault.type.rpartition("#")[2], fault.message
