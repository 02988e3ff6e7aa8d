"""Findings of the doctor: each with its severity, its reason and the command that mends it."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
from botocore import xform_name

from app.text import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Severity(StrEnum):
    """The severity of a finding."""

    ERROR = "error"
    """Records are lost, or none are processed."""
    WARNING = "warning"
    """Records will be lost, late or processed again when something else goes wrong."""
    INFO = "info"
    """Intended perhaps, but good to know."""


class Finding(msgspec.Struct, frozen=True):
    """One fault.

    Attributes:
        severity: The severity.
        where: The part that has it: `stream bike-predictions`, say.
        what: The fault.
        why: The consequence.
        mend: The command, or the setting, that mends it.
    """

    severity: Severity
    where: str
    what: str
    why: str
    mend: str


class Report(msgspec.Struct, frozen=True):
    """The result of an examination.

    Attributes:
        checked: A line for each check that found no fault.
        findings: The faults, the worst first.
    """

    checked: list[str]
    findings: list[Finding]

    @property
    def has_errors(self) -> bool:
        """Return whether records are lost, or none are processed."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def report_of(results: Iterable[str | Finding]) -> Report:
    """Make a report of the checks' results, each once, without credentials: lines where all is well, else findings."""
    every = list(dict.fromkeys(map(_without_credentials, results)))
    order = list(Severity)
    findings = [each for each in every if isinstance(each, Finding)]
    return Report(
        [each for each in every if isinstance(each, str)],
        sorted(findings, key=lambda finding: order.index(finding.severity)),
    )


def _without_credentials(result: str | Finding) -> str | Finding:
    if isinstance(result, str):
        return without_credentials(result)
    return Finding(result.severity, *map(without_credentials, (result.where, result.what, result.why, result.mend)))


def aws_command(service: str, operation: str, **parameters: object) -> str:
    """Return the command of AWS's command line that calls an operation, quoted for a shell.

    Args:
        service: The service, as AWS's command line names it.
        operation: The operation's name in the API: `CreateStream`, say.
        parameters: Its parameters under their names in the API.
    """
    return " ".join(["aws", service, xform_name(operation, "-"), *_options(parameters)])


def _options(parameters: Mapping[str, object]) -> Iterator[str]:
    for name, value in parameters.items():
        option = xform_name(name, "-")  # as AWS's command line makes its options
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
            yield f"--{option} {shlex.join(value)}"
        elif isinstance(value, (dict, list, tuple)):
            yield f"--{option} {shlex.quote(msgspec.json.encode(value).decode())}"
        else:
            yield f"--{option} {shlex.quote(str(value))}"
