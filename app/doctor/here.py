"""Checks of this machine and this environment: Python, packages, settings, credentials, streams and models."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app import aws
from app.doctor.finding import Finding, Severity
from app.doctor.locations import examine_location
from app.doctor.settings import examine_settings, examine_shared_state, mend_variable
from app.doctor.setup import Setup
from app.doctor.state import examine_growth, examine_state
from app.doctor.streams import Streams
from app.domain import INPUT_STREAM
from app.errors import CredentialsError, EventError, MillraceError, SettingsError, UnknownPipelineError
from app.registry import PIPELINES, example_record, open_to_explain, read_all_settings
from app.stream.outcomes import Quarantine
from app.stream.payload import decode_payload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.settings import Settings

PYTHON_AT_LEAST = (3, 11)
LOCKED = Path(__file__).parents[2] / "requirements" / "runtime.txt"
HERE = "environment"


def examine_here(environ: Mapping[str, str], stream: str | None) -> Iterator[str | Finding]:
    """Check all that `millrace run` would start with.

    Args:
        environ: The environment.
        stream: The stream that would be read; by default those that `PIPELINES` names, else the pipeline's usual one.
    """
    yield from examine_python()
    reachable = False
    for result in examine_account():
        reachable = reachable or isinstance(result, str)
        yield result
    try:
        settings = read_all_settings(environ)
    except SettingsError as error:
        yield Finding(Severity.ERROR, HERE, str(error), "nothing starts", mend_variable(error, _export))
        return
    setup = Setup(settings, [stream] if stream else _usual_sources(settings), HERE, _export)
    yield from examine_settings(setup)
    yield from examine_shared_state([setup])
    yield from examine_models(settings)
    if reachable:
        yield from examine_destinations(setup)
    else:
        yield from examine_growth(setup)


def _usual_sources(settings: Settings) -> list[str]:
    """Return the streams that would be read where none is given."""
    usual = PIPELINES[settings.pipeline].stream if settings.pipeline in PIPELINES else INPUT_STREAM
    return list(settings.pipelines) or [usual]


def examine_python(locked: Path = LOCKED) -> Iterator[str | Finding]:
    """Check that Python and its packages are those that the project is tested with."""
    version = platform.python_version()
    if sys.version_info < PYTHON_AT_LEAST:
        wanted = ".".join(map(str, PYTHON_AT_LEAST))
        yield Finding(
            Severity.ERROR, "Python", f"is {version}", f"{wanted} or newer is needed", f"python{wanted} -m venv .venv"
        )
    install = "pip install --no-deps --require-hashes -r requirements/runtime.txt"
    wanted_versions = _pins(locked)
    for name, wanted in wanted_versions.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(Severity.ERROR, "packages", f"{name} is not installed", "the handler needs it", install)
            continue
        if found != wanted:
            why = f"the tests ran with {wanted}"
            yield Finding(Severity.WARNING, "packages", f"{name} is {found}", why, install)
    yield f"Python {version}, {len(wanted_versions)} locked packages looked at"


def examine_account() -> Iterator[str | Finding]:
    """Check that AWS, or the local cloud, answers and accepts the credentials; yield a text if it does."""
    where = "AWS"
    try:
        where = aws.endpoint("kinesis")
        with aws.explaining("credentials"):
            account = aws.client("sts").get_caller_identity()["Account"]
    except MillraceError as error:
        mend = 'eval "$(scripts/cloud.sh up)" for the local cloud; unset AWS_ENDPOINT_URL for AWS'
        if isinstance(error, CredentialsError):
            mend = "aws configure"
        elif isinstance(error, SettingsError):
            mend = "unset AWS_ENDPOINT_URL" if "endpoint" in str(error) else _export(AWS_DEFAULT_REGION="us-east-1")
        yield Finding(Severity.ERROR, where, str(error), "no stream can be read or written", mend)
        return
    yield f"AWS: account {account} in {aws.region()}, streams at {where}"


def examine_models(settings: Settings) -> Iterator[str | Finding]:
    """Check that each pipeline's model is found, matches its manifest, loads, and predicts."""
    for name in sorted(settings.pipeline_names()):
        where = f"pipeline {name}"
        try:
            processor = open_to_explain(msgspec.structs.replace(settings, pipeline=name, pipelines={})).processor_for(
                ""
            )
            opened = "its model is found, its digests are right, it loads" if name in PIPELINES else "opens"
            try:
                decoded = decode_payload(example_record(name), processor.decoder)
            except EventError:  # it has no example
                yield f"{where}: {opened}"
                continue
            if isinstance(decoded, Quarantine):  # the example is not one that its model takes
                yield f"{where}: {opened}"
                continue
            steps = processor.pipeline.explain(decoded)
        except UnknownPipelineError:
            continue  # examine_settings has said so
        except MillraceError as error:
            yield Finding(
                Severity.ERROR,
                where,
                str(error),
                "nothing starts",
                "check RUN_ID and MODEL_LOCATION; restore the bundle",
            )
            continue
        except Exception as error:  # noqa: BLE001 - whatever a model raises is a finding, not the end
            why = "a model that raises has its records quarantined"
            yield Finding(
                Severity.ERROR, where, f"does not predict: {type(error).__name__}", why, "set RUN_ID to another bundle"
            )
            continue
        yield f"{where}: {opened} and {'predicts' if name in PIPELINES else 'processes'} {_value_of(steps)}"


def examine_destinations(setup: Setup) -> Iterator[str | Finding]:
    """Check that the streams, the tables and the locations that the settings name can be used."""
    try:
        yield from Streams().examine(setup.settings, setup.sources)
    except MillraceError as error:
        mend = "check the endpoint, the credentials and the policy"
        yield Finding(Severity.ERROR, HERE, str(error), "a run would end here", mend)
    if setup.settings.quarantine_location:
        yield from examine_location(
            setup, "QUARANTINE_LOCATION", "no record can be set aside, and a run would end here"
        )
    yield from examine_state(setup)


def _export(**new: str) -> str:
    return "export " + " ".join(f"{name}={value}" for name, value in new.items())


def _value_of(steps: Mapping[str, object]) -> str:
    """Return the prediction at the end of a pipeline's explanation."""
    result = steps.get("result")
    prediction = result.get("prediction") if isinstance(result, dict) else None
    return msgspec.json.encode(prediction).decode() if prediction is not None else "the example"


def _pins(requirements: Path) -> dict[str, str]:
    """Return the versions in a hashed requirements file; none where there is no such file, as in an image."""
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pins = (
        line.partition(" ")[0].partition(";")[0].partition("==") for line in lines if "==" in line.partition(" ")[0]
    )
    return {name.partition("[")[0]: version for name, _, version in pins}
