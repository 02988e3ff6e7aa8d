"""Which program answers a request: read from its signature, its operation, its host."""

from __future__ import annotations

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from devtools.cloud.routes import BY_KINESIS_EMULATOR, BY_LOCALSTACK, UNSIGNED, is_passed_on, service_of

KEYS = Credentials("test", "test")


def signed(service: str) -> dict[str, str]:
    """The headers that botocore's own signer makes."""
    request = AWSRequest("POST", "http://127.0.0.1:4566/", data=b"{}")
    SigV4Auth(KEYS, service, "us-east-1").add_auth(request)
    return dict(request.headers)


@pytest.mark.parametrize(
    ("service", "by_emulator", "by_localstack"),
    [
        ("kinesis", True, True),
        ("s3", False, True),
        ("sqs", False, True),
        ("monitoring", False, True),
        ("states", False, True),
        ("dynamodb", False, False),
        ("lambda", False, False),
        ("iam", False, False),
        ("ses", False, False),
        ("ecr", False, False),
        ("glue", False, False),
        ("some-service-of-tomorrow", False, False),
    ],
)
def test_a_signature_decides(service: str, by_emulator: bool, by_localstack: bool) -> None:
    assert is_passed_on(BY_KINESIS_EMULATOR, "/", signed(service)) == by_emulator
    assert is_passed_on(BY_LOCALSTACK, "/", signed(service)) == by_localstack


def test_a_signature_counts_for_more_than_a_host_or_an_operation() -> None:
    headers = {**signed("lambda"), "Host": "s3.localhost:4566", "X-Amz-Target": "Kinesis_20131202.ListStreams"}
    assert service_of("/", headers) == "lambda"


def test_a_presigned_link_tells_in_its_query() -> None:
    request = AWSRequest("GET", "http://127.0.0.1:4566/bucket/key")
    SigV4QueryAuth(KEYS, "s3", "us-east-1").add_auth(request)
    assert service_of(str(request.url).removeprefix("http://127.0.0.1:4566"), {}) == "s3"


@pytest.mark.parametrize(
    ("path", "headers", "service"),
    [
        ("/", {"X-Amz-Target": "Kinesis_20131202.PutRecords"}, "kinesis"),
        ("/service/Kinesis_20131202/operation/PutRecords", {}, "kinesis"),
        ("/", {"X-Amz-Target": "DynamoDBStreams_20120810.ListStreams"}, "dynamodb"),
        ("/key", {"Host": "bucket.s3.localhost:4566"}, "s3"),
        ("/key", {"Host": "lambda.s3.us-east-1.amazonaws.com"}, "s3"),
        ("/", {"Host": "sqs.us-east-1.localhost:4566"}, "sqs"),
        ("/bucket/key", {"Host": "localhost:4566"}, UNSIGNED),
        ("/bucket/key?X-Amz-Credential=broken", {}, UNSIGNED),
    ],
)
def test_without_a_signature_the_operation_or_the_host_tells(path: str, headers: dict[str, str], service: str) -> None:
    assert service_of(path, headers) == service


def test_pages_go_to_the_program_whose_they_are() -> None:
    assert is_passed_on(BY_LOCALSTACK, "/_localstack/health", {})
    assert is_passed_on(BY_LOCALSTACK, "/public-bucket/key", {})
    assert not is_passed_on(BY_LOCALSTACK, "/moto-api/config", {})
    assert not is_passed_on(BY_KINESIS_EMULATOR, "/public-bucket/key", {})
