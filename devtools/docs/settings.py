"""Make the page `docs/settings.md`: every environment variable with its default and its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args, get_type_hints

import msgspec

from app.domain import import_named
from app.errors import SettingsError
from app.registry import DOMAINS
from app.settings import Environment, Settings
from devtools.docs.schema_tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """\
# Settings

Millrace is configured by environment variables: of the function in Lambda, of the shell on a laptop. An empty variable
counts as unset. A value that a variable cannot have ends the start with one line that names the variable
([exit codes](exit-codes.md)); `millrace doctor` checks all of them, also those of a deployed function.

This page is made by `python -m devtools.docs`; a test compares it with the code.
"""

OWN = """\
A pipeline of your own declares its variables in the same way (`app/settings.py` shows how).
"""

COMMANDS = (
    ("KINESIS_STREAM_INPUT", "passenger_events", "the stream that `run` reads and `feed` writes to"),
    ("BIKE_DATA", "", "the file with the London bike-sharing data that `demo` takes its rows from"),
    (
        "ALERTS_DATA",
        "",
        "the folder of data sets that `model evaluate` measures on; `demo --alerts` reads a folder or a file",
    ),
    ("AWS_LAMBDA_FUNCTION_HANDLER", "", "the handler that `handle-lambda-request` calls"),
    ("_HANDLER", "", "another name of `AWS_LAMBDA_FUNCTION_HANDLER`, which Lambda sets"),
    ("AWS_LAMBDA_EVENT_PAYLOAD", "", "the request that `handle-lambda-request` gives to the handler"),
    (
        "AWS_LAMBDA_EVENT_RESPONSE_LOCATION",
        "",
        "the file or `s3://…` that `handle-lambda-request` writes the response to; unset, standard output",
    ),
    ("AWS_LAMBDA_FUNCTION_TIMEOUT", "900", "the seconds that the request may take"),
    ("AWS_LAMBDA_REQUEST_ID", "", "the request's id in logs; unset, a random one"),
)

SCRIPTS = (
    (
        "MILLRACE_CLOUD_DIR",
        ".cloud",
        "the folder of the local cloud's emulator, logs and process ids; its user's own, and writable by no other",
    ),
    ("MILLRACE_CLOUD_NODE_DIR", ".cloud/node", "the folder in which the Kinesis emulator is installed"),
    ("MILLRACE_CLOUD_LOCALSTACK_DIR", ".cloud", "the folder in which LocalStack is installed"),
    ("PYTHON", "python3", "the Python that the scripts make `.venv` with"),
    ("CLOUD_PORT", "4566", "the port at which `docker compose` publishes the local cloud"),
    ("FUNCTION_PORT", "8080", "the port at which `docker compose` publishes the function"),
    ("LAMBDA_BASE", "AWS's", "the base image that `docker compose` builds on"),
    ("MILLRACE_IMAGE", "", "the image whose size `bench` reports"),
    ("MILLRACE_IMAGE_CACHE", "", "the folder in which `test_image.sh` keeps the root file system of its base image"),
    ("DOCKER", "docker", "the docker command that `push_ecr.sh` calls"),
)

AWS = (
    ("AWS_ENDPOINT_URL", "", "the address of AWS, or of the local cloud; `AWS_ENDPOINT_URL_<SERVICE>` for one service"),
    ("AWS_DEFAULT_REGION", "", "the region"),
    ("AWS_PROFILE", "", "the profile with the credentials; `AWS_ACCESS_KEY_ID` and so on as in every AWS SDK"),
)


def settings() -> str:
    """Make the page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield INTRODUCTION
    yield "## Every pipeline and handler\n"
    yield _table(_rows(Settings))
    for domain in DOMAINS:
        if domain.settings:
            yield f"## The domain `{domain.name}`\n"
            yield _table(_rows(import_named(domain.settings, SettingsError, "settings")))
    yield OWN
    yield "## Commands\n"
    yield _table(COMMANDS)
    yield "## Scripts and the local cloud\n"
    yield _table(SCRIPTS)
    yield "## AWS\n"
    yield _table(AWS)


def _rows(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    """Return name, default and description of each variable that a struct declares."""
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        if field.type is Environment:
            continue
        described = [each.description for each in get_args(hints[field.name]) if isinstance(each, msgspec.Meta)]
        default = "" if field.default in {msgspec.NODEFAULT, None, ""} else str(field.default)
        yield field.name.upper(), default, next(filter(None, described), "")


def _table(rows: Iterator[tuple[str, str, str]] | tuple[tuple[str, str, str], ...]) -> str:
    return table(
        ["variable", "default", "meaning"],
        [[f"`{name}`", f"`{default}`" if default else "", text] for name, default, text in rows],
    )
