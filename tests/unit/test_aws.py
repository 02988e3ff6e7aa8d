"""Answers that AWS does not give are errors, whatever reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from app import aws
from app.errors import CloudError
from app.storage.items import get_items
from app.storage.objects import S3Objects
from app.storage.state_table import DynamoDbState
from app.stream.aggregation_ranges import list_ranges
from app.stream.deadline import SYSTEM_CLOCK, ServiceClock
from app.stream.shards import ShardReader, StartingPosition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HTML = b"<html>maintenance</html>"


class _Raw:
    """The body of an answer, as botocore reads it from a connection."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


@pytest.fixture
def answer_with(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bytes], Any]]:
    """Return a function that makes a service's client answer each call with one body, with status 200."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    aws.forget()

    def use(service: str, body: bytes) -> Any:
        client = aws.client(service)
        client.meta.events.register(
            "before-send", lambda request, **_: AWSResponse(request.url, 200, HTTPHeaders(), _Raw(body))
        )
        return client

    yield use
    aws.forget()


@pytest.mark.parametrize("body", [b"", b"null", b"[]", HTML, b"{}", b'{"message": "maintenance"}'])
def test_an_empty_success_is_not_an_absence_of_state_records_or_shards(
    body: bytes, answer_with: Callable[[str, bytes], Any]
) -> None:
    kinesis = answer_with("kinesis", body)
    answer_with("dynamodb", body)
    with pytest.raises(CloudError, match="table t: an answer to BatchGetItem that is not AWS's"):
        list(get_items("t", [{"id": "a"}], "table t"))
    with pytest.raises(CloudError, match="an answer to BatchGetItem that is not AWS's"):
        DynamoDbState("t").load(["a"])
    with pytest.raises(CloudError, match="stream s: an answer to ListShards that is not AWS's"):
        list_ranges("s")
    with pytest.raises(aws.BadAnswerError):
        kinesis.get_records(ShardIterator="i")
    with pytest.raises(aws.BadAnswerError):
        kinesis.get_shard_iterator(StreamName="s", ShardId="0", ShardIteratorType="LATEST")


@pytest.mark.parametrize("body", [b"{}", b'{"Records": []}', b'{"MillisBehindLatest": 0}'])
def test_an_answer_without_its_fields_is_not_the_end_of_a_shard(
    body: bytes, answer_with: Callable[[str, bytes], Any]
) -> None:
    kinesis, service = answer_with("kinesis", body), ServiceClock("stream s", SYSTEM_CLOCK)
    reader = ShardReader("s", "shardId-0", frozenset(), StartingPosition(), kinesis, SYSTEM_CLOCK, service)
    assert reader.read() == 0
    assert not reader.ended


def test_items_of_another_table_are_not_the_answer(answer_with: Callable[[str, bytes], Any]) -> None:
    answer_with("dynamodb", b'{"Responses": {}, "UnprocessedKeys": {}}')
    with pytest.raises(CloudError, match="table t: DynamoDB answers without the table"):
        list(get_items("t", [{"id": "a"}], "table t"))


def test_an_empty_success_is_neither_a_written_object_nor_an_empty_bucket(
    answer_with: Callable[[str, bytes], Any],
) -> None:
    answer_with("s3", b"")
    objects = S3Objects("bucket", "prefix")
    with pytest.raises(CloudError, match="an answer to PutObject that is not AWS's"):
        objects.put("name", b"data")
    with pytest.raises(CloudError, match="ListObjectsV2"):
        list(objects.names())
    with pytest.raises(CloudError, match="GetObject"):
        objects.get("name")
