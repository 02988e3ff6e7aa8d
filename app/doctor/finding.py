"""What the doctor has to say: findings, each with its severity, its reason and what mends it."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Records are lost, or none are processed."""
    WARNING = "warning"
    """Records will be lost, late or processed again when something else goes wrong."""
    INFO = "info"
    """Intended perhaps, but good to know."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be.

    Attributes:
        severity: How bad it is.
        where: What it was found in: `stream bike-predictions`, say.
        what: What was found.
        why: What it leads to.
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
        checked: What was looked at and found well, a line each.
        findings: What was not, the worst first.
    """

    checked: list[str]
    findings: list[Finding]

    @property
    def has_errors(self) -> bool:
        """Whether records are lost, or none processed."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def report_of(results: Iterable[str | Finding]) -> Report:
    """Sorts what the checks gave: a line for what is well, a finding for what is not."""
    listed = list(results)
    order = list(Severity)
    findings = [each for each in listed if isinstance(each, Finding)]
    return Report(
        [each for each in listed if isinstance(each, str)],
        sorted(findings, key=lambda finding: order.index(finding.severity)),
    )


def options(values: Mapping[str, Any]) -> Iterator[str]:
    """Settings under their names in AWS's API as options of its command line, quoted for a shell."""
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
