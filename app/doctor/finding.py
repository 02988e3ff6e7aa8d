"""Findings of the doctor: each with its severity, its reason and the command that mends it."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

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
    """Make a report of the checks' results: a line where all is well, a finding where not."""
    every = list(results)
    order = list(Severity)
    findings = [each for each in every if isinstance(each, Finding)]
    return Report(
        [each for each in every if isinstance(each, str)],
        sorted(findings, key=lambda finding: order.index(finding.severity)),
    )


def options(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield settings of AWS's API as options of AWS's command line, quoted for a shell."""
    for name, value in values.items():
        option = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
        if value is True:
            yield f"-{option}"
        elif isinstance(value, dict):
            yield f"-{option} {shlex.quote(msgspec.json.encode(value).decode())}"
        elif isinstance(value, (list, tuple)):
            yield f"-{option} {shlex.join(map(str, value))}"
        else:
            yield f"-{option} {shlex.quote(str(value))}"
