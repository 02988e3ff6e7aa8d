"""Decide which program of a local cloud answers for which AWS service.

Services are identified by the name that requests are signed with: the fourth part of a SigV4 credential scope.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

BY_KINESIS_EMULATOR = frozenset(
    {
        "kinesis",  # moto's own loses records of several writers, and goes on filling closed shards
    }
)
BY_LOCALSTACK = frozenset(
    {
        "cloudformation",  # makes streams, buckets and queues where they are
        "events",  # rules put on its queues
        "firehose",  # reads its streams, writes to its buckets
        "kinesis",  # from its own copy of the emulator, and SubscribeToShard
        "kms",  # encrypts for its buckets and parameters
        "logs",
        "monitoring",  # CloudWatch: alarms change state by themselves
        "s3",
        "scheduler",
        "secretsmanager",
        "sns",  # delivers to its queues
        "sqs",
        "ssm",
        "states",  # Step Functions: executes, and calls the other services through the router
    }
)
"""All others are moto's. LocalStack offers some of them too, but

    dynamodb   wants to download a Java; DynamoDB Streams are signed with the same name
    lambda     wants Docker, even to make a function
    iam, sts   moto's Lambda looks a function's role up in moto's IAM
    ses        version 2 is signed with the same name, and needs a licence
    ecr, ecs, glue, databrew, application-autoscaling   need a licence
"""
LACKING: Mapping[str, frozenset[str]] = {
    "4.8.1": frozenset({"monitoring"}),  # answers 500 to the protocol that botocore has spoken to CloudWatch since
}
"""The services at which a version of LocalStack fails, and moto does not."""

HEALTH = "/_health"
"""The page that the router itself answers, once it is ready."""

UNSIGNED = ""
"""A request without a service: a link to a public object, the health of a program."""

_SCOPE = re.compile(r"Credential=[^/=]+/\d{8}/[^/=]+/([a-z0-9-]+)/aws4_request")  # no `=`: no other one begins in it
_TARGETS = {"Kinesis": "kinesis", "DynamoDB": "dynamodb", "DynamoDBStreams": "dynamodb"}  # before the version's "_"
_SMITHY_RPC = "/service/"
_HOST_LABELS = BY_LOCALSTACK | {"dynamodb", "ecr", "lambda"}


def service_of(path: str, headers: Mapping[str, str]) -> str:
    """Return the signing name of the service that a request is for, or `UNSIGNED`.

    A signature names it, in the header or in a presigned link; without one the operation does (`X-Amz-Target`, or the
    path of Smithy RPC), then the host (`bucket.s3.…`, `sqs.us-east-1.…`).
    """
    if scope := _SCOPE.search(headers.get("Authorization", "")):
        return scope[1]
    if presigned := parse_qs(urlsplit(path).query).get("X-Amz-Credential"):
        return (presigned[0].split("/")[3:4] or [UNSIGNED])[0]
    target = path.removeprefix(_SMITHY_RPC) if path.startswith(_SMITHY_RPC) else headers.get("X-Amz-Target", "")
    if service := _TARGETS.get(target.partition("_")[0]):
        return service
    labels = headers.get("Host", "").partition(":")[0].split(".")
    return next((label for label in reversed(labels) if label in _HOST_LABELS), UNSIGNED)  # a bucket's name is first


def is_passed_on(served: Collection[str], path: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request goes to the program behind the router, which serves `served`, rather than to moto."""
    service = service_of(path, headers)
    if service == UNSIGNED:  # public objects, and pages of LocalStack's own
        return "s3" in served and not path.startswith("/moto-api/")
    return service in served
