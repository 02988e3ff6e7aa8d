"""AWS sessions, clients and endpoints, and AWS's errors as Millrace's.

PutRecords takes botocore's session alone. Every other call is made through a boto3 client, and boto3 is imported with
the first: a function that only publishes starts without it. Endpoints come from `AWS_ENDPOINT_URL` and
`AWS_ENDPOINT_URL_<SERVICE>`.
"""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import contextmanager
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.session import Session, get_session
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url

from app.errors import CloudError, CredentialsError, MillraceError, MissingStreamError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.credentials import Credentials

CONNECT_TIMEOUT_S = 2  # a regional endpoint answers within milliseconds; longer is an outage
READ_TIMEOUT_S = 5  # the slowest healthy calls (10 MiB bodies) take about two seconds


class BadAnswerError(exceptions.HTTPClientError):
    """A success that AWS does not give: nothing is known of what the call did."""

    fmt = "an answer to {operation} that is not AWS's"


LOCAL_HINT = '; for the local cloud: eval "$(scripts/cloud.sh up)"'
UNREACHABLE = (exceptions.HTTPClientError, exceptions.ConnectionError)
"""botocore's errors when an endpoint does not answer; it passes, or somebody has to start it."""

PASSING = frozenset(
    {
        "InternalFailure", "InternalServerError", "KMSThrottlingException", "LimitExceededException",
        "ProvisionedThroughputExceededException", "RequestTimeout", "RequestTimeoutException", "ResourceInUseException",
        "ServiceUnavailable", "ServiceUnavailableException", "ThrottlingException",
    }
)  # fmt: skip
"""Error codes of Kinesis that pass by themselves."""

_QUOTING = frozenset({"InvalidArgumentException", "SerializationException", "ValidationException"})  # quote the request
_REFUSED = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken", "ExpiredTokenException",
        "IncompleteSignature", "IncompleteSignatureException", "InvalidAccessKeyId", "InvalidClientTokenId",
        "InvalidSignatureException", "MissingAuthenticationTokenException", "RequestTimeTooSkewed",
        "SignatureDoesNotMatch", "UnrecognizedClientException",
        "401", "403", "HTTP 401", "HTTP 403",  # a proxy, or an emulator, that gives no code of Kinesis's
    }
)  # fmt: skip


@lru_cache(maxsize=1)
def session() -> Session:
    """Return the process's one botocore session; every client shares its credential chain.

    Raises:
        CredentialsError: `AWS_PROFILE` names a profile that does not exist.
        SettingsError: AWS's own configuration has a wrong value.
    """
    made = get_session()
    with _configuring():
        made.get_scoped_config()
    return made


def credentials() -> Credentials:
    """Return the session's credentials.

    Raises:
        CredentialsError: There are none.
        SettingsError: AWS's own configuration has a wrong value.
    """
    with _configuring():
        found = session().get_credentials()
    if found is None:
        raise explained(exceptions.NoCredentialsError(), "kinesis")
    return found


@contextmanager
def _configuring() -> Iterator[None]:
    """Raise what botocore raises in the block of AWS's variables and files as one line of ours."""
    try:
        yield
    except exceptions.ProfileNotFound as error:
        raise CredentialsError(f"{error}: check AWS_PROFILE") from None
    except exceptions.CredentialRetrievalError as error:  # its text is what a program said, which may be a secret
        provider = error.kwargs["provider"]
        raise CredentialsError(f"no AWS credentials from {provider}: check what AWS's files say of it") from None
    except (json.JSONDecodeError, RecursionError):
        raise CredentialsError("no AWS credentials: what a credential_process prints is not JSON") from None
    except (exceptions.BotoCoreError, ValueError) as error:  # a region, a mode or an option that there is not
        raise SettingsError(f"AWS configuration: {' '.join(str(error).split())}") from None


def region() -> str:
    """Return the session's region.

    Raises:
        SettingsError: No region is set.
    """
    found = session().get_config_variable("region") or os.environ.get("AWS_REGION")
    if not found:
        raise SettingsError(f"no AWS region: set AWS_DEFAULT_REGION, for example us-east-1{LOCAL_HINT}")
    return str(found)


def endpoint(service: str) -> str:
    """Return a service's URL: the configured endpoint, otherwise the region's own."""
    configured = _configured_endpoint(service)
    if configured:
        return configured.rstrip("/")
    here = region()
    for partition in session().get_data("partitions")["partitions"]:
        if re.match(partition["regionRegex"], here):
            return f"https://{service}.{here}.{partition['outputs']['dnsSuffix']}"
    raise SettingsError(f"{here!r} is not an AWS region: check AWS_DEFAULT_REGION")


def _configured_endpoint(service: str) -> str:
    """Return the endpoint that the environment or the profile sets for a service, or an empty string.

    Raises:
        SettingsError: It is no URL that botocore takes.
    """
    scoped, full = session().get_scoped_config(), session().full_config
    found = str(ConfiguredEndpointProvider(full, scoped, service, os.environ).provide() or "")
    try:
        parts = urlsplit(found)
        is_named = is_valid_endpoint_url(found) or is_valid_ipv6_endpoint_url(found)
        is_usable = parts.scheme in {"http", "https"} and parts.port != 0 and is_named
    except ValueError:  # brackets without an address, a port that is no number
        is_usable = False
    if found and not is_usable:
        raise SettingsError(f"the endpoint of {service} is {found!r}: set AWS_ENDPOINT_URL to http://host:port")
    return found


_ALWAYS = {
    "BatchGetItem": {"Responses"}, "Scan": {"Items"}, "DescribeTable": {"Table"},
    "GetShardIterator": {"ShardIterator"}, "ListShards": {"Shards"},
    "GetRecords": {"MillisBehindLatest"},  # else an answer without an iterator would be the shard's end
    "GetObject": {"Body", "ContentLength"}, "HeadObject": {"ContentLength"}, "ListObjectsV2": {"IsTruncated"},
    "PutObject": {"ETag"}, "CreateMultipartUpload": {"UploadId"}, "UploadPart": {"ETag"},
    "CompleteMultipartUpload": {"ETag"},
    "GetQueueUrl": {"QueueUrl"}, "SendMessage": {"MessageId"}, "Publish": {"MessageId"},
    "GetCallerIdentity": {"Account"},
}  # fmt: skip
"""Fields that an answer of AWS always has, besides those that botocore's model calls required."""

_MAKING = threading.Lock()  # botocore's session cannot make two clients at once


@lru_cache(maxsize=1)
def _boto3_session() -> Any:  # noqa: ANN401 - boto3 is shipped without types
    """Return boto3's session over `session`: made once, since each one registers its extensions there."""
    import boto3  # noqa: PLC0415 - 60 modules that a function without state or S3 never uses

    return boto3.Session(botocore_session=session())


@cache
def client(service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    """Return the process's one boto3 client of a service, for everything but the PutRecords hot path.

    Raises:
        SettingsError: AWS's own variables, or its configuration, have a wrong value.
    """
    _configured_endpoint(service)  # a wrong one is a ValueError of botocore's
    with _configuring(), _MAKING:
        made = _boto3_session().client(
            service,
            region_name=region(),
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "standard", "total_max_attempts": 2},
                s3={"addressing_style": "path"} if "AWS_ENDPOINT_URL" in os.environ else {},
            ),
        )
    made.meta.events.register("before-parse", _check_body)
    made.meta.events.register("after-call", _check_fields)
    return made


def _check_body(operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:  # noqa: ANN401 - botocore's
    """Refuse a success in JSON's protocol without a JSON object: botocore reads it as an answer without fields."""
    is_success = response_dict["status_code"] == HTTPStatus.OK
    has_fields = operation_model.output_shape is not None  # not so CreateStream, whose answer is empty
    is_json = operation_model.service_model.resolved_protocol == "json"
    if is_success and has_fields and is_json and not response_dict["body"].lstrip().startswith(b"{"):
        raise BadAnswerError(operation=operation_model.name)


def _check_fields(model: Any, parsed: Mapping[str, Any], **_: object) -> None:  # noqa: ANN401 - botocore's
    """Refuse a success without a field that each answer has: no state, no record or no object is never read into it."""
    fields = set(model.output_shape.required_members if model.output_shape else ()) | _ALWAYS.get(model.name, set())
    if parsed["ResponseMetadata"].get("HTTPStatusCode") == HTTPStatus.OK and not fields <= parsed.keys():
        raise BadAnswerError(operation=model.name)


def forget() -> None:
    """Drop the cached sessions and clients, so that a changed environment is read again."""
    session.cache_clear()
    _boto3_session.cache_clear()
    client.cache_clear()


def explained(error: Exception, what: str) -> MillraceError:
    """Return an error of botocore's as one line of ours.

    Args:
        error: A `ClientError` or any other `BotoCoreError`.
        what: The thing that was called, for the message: `stream bike-predictions`, say.
    """
    if isinstance(error, exceptions.ClientError):
        fault = error.response.get("Error", {})
        return refusal(fault.get("Code", "Unknown"), fault.get("Message", ""), what)
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.CredentialRetrievalError)):
        return CredentialsError(
            f"{what}: no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE{LOCAL_HINT}"
        )
    if isinstance(error, BadAnswerError):
        return CloudError(f"{what}: {error}: is AWS_ENDPOINT_URL the address of a proxy, or of something else?")
    if isinstance(error, UNREACHABLE):
        where = os.environ.get("AWS_ENDPOINT_URL")
        if where is None:
            return CloudError(f"{what}: AWS does not answer: is there a network?{LOCAL_HINT}")
        return CloudError(f"{what}: {where} does not answer: is it up?{LOCAL_HINT}")
    return CloudError(f"{what}: {' '.join(str(error).split())}")


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """Raise what botocore raises in the block as one line of ours; see `explained`."""
    try:
        yield
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise explained(error, what) from error
    except UnicodeEncodeError:  # half of a surrogate pair, which an argument of a command may have
        raise CloudError(f"{what}: no name in AWS has such characters: check the name") from None


def refusal(code: str, message: str, what: str) -> MillraceError:
    """Return a service's error code as one line of ours."""
    if code in _REFUSED:
        return CredentialsError(f"{what}: AWS refuses the credentials ({code}): check the keys, region and policy")
    if code == "ResourceNotFoundException":
        return MissingStreamError(
            f"{what}: not found in this account and region: create it, or check its name and AWS_ENDPOINT_URL"
        )
    if code in _QUOTING:
        return CloudError(f"{what}: refused with {code}: check the name and the options")
    return CloudError(f"{what}: {code}: {' '.join(message.split()) or 'without a message'}")
