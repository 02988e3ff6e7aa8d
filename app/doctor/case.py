"""A mapping as its checks see it: its settings, which may be known in part, and the change that mends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from app.doctor.finding import Finding, Severity, aws_command
from app.stream.mapping.settings import INFINITE, REPORT_FAILURES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from app.settings import Settings

RETENTION_H = 24  # a stream's default


class UnknownValueError(Exception):
    """A check asks for a value that the file does not tell."""


class KnownValues(dict[str, Any]):
    """Values of a file, some of which AWS alone knows: a check that asks for one of those ends there."""

    def __init__(self, values: Mapping[str, Any], unknown: Collection[str]) -> None:
        """Take the values, and the names of those that are not known."""
        super().__init__(values)
        self._unknown = frozenset(unknown)

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict's own
        """Return a value, or the default where there is none.

        Raises:
            UnknownValueError: There is one, and the file does not tell it.
        """
        if key in self._unknown:
            raise UnknownValueError(key)
        return super().get(key, default)


def where_known(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield findings until a check asks for a value that is not known."""
    try:
        yield from findings
    except UnknownValueError:
        return


@dataclass(frozen=True)
class Case:
    """One mapping, with the stream and the function at its ends.

    Attributes:
        mapping: As `get-event-source-mapping` or a template has it.
        settings: What the environment of its function says; None where that is not known.
        stream: As `describe-stream-summary` has it; empty where that is not known.
        record_bytes: The size of a usual record's data.
        file: The file that it is from; empty for one that AWS was asked for.
        name: Its logical id in that file, or its UUID.
        keeps_state: Whether the pipeline of its stream does, in `STATE_TABLE`.
    """

    mapping: Mapping[str, Any]
    settings: Settings | None = None
    stream: Mapping[str, Any] = field(default_factory=dict)
    record_bytes: int = 1000
    file: str = ""
    name: str = ""
    keeps_state: bool = False

    @property
    def source(self) -> str:
        """Return the name of the stream: `…:stream/NAME`, or `…:stream/NAME/consumer/…`."""
        return stream_of(self.mapping)

    @property
    def where(self) -> str:
        """Return the mapping's name in a finding."""
        if self.file:
            return " ".join(filter(None, ["mapping", self.name, "of", self.source, f"({self.file})"]))
        return f"mapping of {self.source} ({self.mapping.get('UUID')})"

    def finding(self, severity: Severity, what: str, why: str, **change: object) -> Finding:
        """Make a finding that other values of these settings mend."""
        return Finding(severity, self.where, what, why, self.change(**change))

    @property
    def in_template(self) -> bool:
        """Return whether the mapping is one of a template, which has no UUID yet."""
        return bool(self.file) and not self.mapping.get("UUID")

    def change(self, **values: object) -> str:
        """Return the command that changes settings, or the lines of the template that do."""
        if self.in_template:
            return in_file(self.file, values)
        return aws_command("lambda", "UpdateEventSourceMapping", UUID=self.mapping.get("UUID"), **values)

    def limit(self, name: str) -> int:
        """Return a limit, infinite by default."""
        return int(self.mapping.get(name, INFINITE))

    @property
    def destination(self) -> str:
        """Return the ARN of the on-failure destination, or an empty string."""
        config = self.mapping.get("DestinationConfig") or {}
        return str((config.get("OnFailure") or {}).get("Destination") or "")

    @property
    def reports_failures(self) -> bool:
        """Return whether Lambda reads `batchItemFailures`."""
        return REPORT_FAILURES in (self.mapping.get("FunctionResponseTypes") or ())

    @property
    def retention_h(self) -> int:
        """Return the hours after which a record expires."""
        return int(self.stream.get("RetentionPeriodHours", RETENTION_H))


def in_file(file: str, values: Mapping[str, object]) -> str:
    """Return the lines of a template that set values."""
    return f"in {file}: {', '.join(f'{name}: {msgspec.json.encode(value).decode()}' for name, value in values.items())}"


def stream_of(mapping: Mapping[str, Any]) -> str:
    """Return the name of a mapping's stream."""
    _, _, path = str(mapping.get("EventSourceArn", "")).partition(":stream/")
    return path.partition("/")[0] or str(mapping.get("StreamName", "a stream"))
