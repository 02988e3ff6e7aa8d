"""An alert in the form that every format is converted to, and its techniques."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

LONGEST_ID = 256  # characters; the longest ids of the supported formats have about 150
LONGEST_ENTITY = 256  # characters of a host, user or address: a DNS name has at most 253
LONGEST_NAME = 4096  # characters that are read; further ones change no technique
LARGEST_ALERT_BYTES = 1024 * 1024  # of JSON: Kinesis's limit of a record for most of its history

DEFAULT_TENANT = "default"
_EARLIEST_ARRIVAL_S = 1e9  # 2001: an earlier one comes from a clock or a file whose time was never set

HOST, USER, HASH = "host", "user", "hash"
"""Keys of `other_attributes` with entities besides `src` and `dst`: a text or a list of texts."""
PORT, PRIORITY, URL, USER_AGENT, CERTIFICATE = "port", "priority", "url", "user_agent", "cert"
"""Keys of `other_attributes` with fixed types: whole number, number, text, text, text."""
DESCRIPTION, COMMAND_LINE, RULE_ID, PRODUCT = "description", "command_line", "rule_id", "product"
"""Keys of `other_attributes` with texts that help to find the technique."""


TIME_FROM = "time_from"
"""Key of `other_attributes` of an alert without a readable time of its own: `transport` (a syslog head), `arrival`."""


class AlertFault(Exception):  # noqa: N818 - a fault of the data, not of the program: it ends as a Quarantine or a line
    """An alert cannot be read.

    Attributes:
        reason: A code in snake case: `missing_id`, `missing_time`, `missing_src`, `missing_dst`, `missing_name`,
            `bad_id`, `bad_time`, `bad_field`, `bad_tenant`, `tenant_mismatch`, `alert_too_large`, `too_many_elements`,
            `unknown_format`, `not_one_alert`, `not_json`, `not_utf8`.
        message: The fault, the path of its field, and how to mend it. It may quote the alert, so it is never logged.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Set the reason code and the message."""
        super().__init__(message)
        self.reason, self.message = reason, message

    def kept(self) -> Self:
        """Return the fault without its traceback and its cause: their frames would keep the record in memory."""
        self.__traceback__ = self.__context__ = None
        return self


class Alert(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One security alert.

    Attributes:
        id: The sender's id: a whole number or text.
        time: Seconds since 1970, UTC.
        src: Source: an address or a host's name.
        dst: Target; equal to `src` for an alert of one host.
        name: The detector's text, from which techniques are derived.
        tech: ATT&CK technique ids from the sender, if any.
        other_attributes: Further attributes, flat; this module names the keys with a meaning.
        tenant: The tenant; empty if the alert names none.
        label: The ground truth of a labelled data set.
        severity: Severity by the sender, 0 to 100; None if it states none.
        severity_from: What `severity` was read from: "CEF severity 8 of 10".
        aliases: (name, address) of machines that the alert states to be one, as they stand in it.
        closed: Why the alert asks for no more attention, in the words of its format ("OCSF status Resolved"); empty if
            it is open.
    """

    id: int | str
    time: float
    src: str
    dst: str
    name: str
    tech: list[str] = []
    other_attributes: dict[str, Any] = {}
    tenant: str = ""
    label: int | str | None = None
    severity: int | None = None
    severity_from: str = ""
    aliases: list[tuple[str, str]] = []
    closed: str = ""


class Techniques(msgspec.Struct, frozen=True, omit_defaults=True):
    """The techniques of an alert.

    Attributes:
        ids: Technique ids of ATT&CK v19, the surest first; empty when unknown.
        source: One of `ALERT`, `LOOKUP`, `CATALOGUE`, `MODEL`, `UNKNOWN`.
        confidence: Confidence in the first id, 0 to 1; if unknown, the highest below the threshold.
        confidences: One for each id.
        dropped: Ids from the sender that ATT&CK does not know.
    """

    ALERT: ClassVar[str] = "alert"
    LOOKUP: ClassVar[str] = "lookup"
    CATALOGUE: ClassVar[str] = "catalogue"
    MODEL: ClassVar[str] = "model"
    UNKNOWN: ClassVar[str] = "unknown"

    ids: tuple[str, ...]
    source: str
    confidence: float
    confidences: tuple[float, ...] = ()
    dropped: tuple[str, ...] = ()


class EnrichedAlert(msgspec.Struct, frozen=True):
    """An alert with its techniques: the input of clustering.

    Attributes:
        alert: The alert.
        techniques: Its techniques.
        latest: The latest time that it can have, seconds since 1970, from `latest_time`.
    """

    alert: Alert
    techniques: Techniques
    latest: float = math.inf

    @property
    def is_ahead(self) -> bool:
        """Return whether the alert's date is wrong, since it lies beyond the alert's arrival."""
        return self.alert.time > self.latest


def latest_time(arrival_s: float | None, clock_skew_s: float) -> float:
    """Return the latest time that an alert can have, seconds since 1970; infinity where its arrival is unknown.

    Args:
        arrival_s: Arrival of the alert or of its file, seconds since 1970; None where it is unknown.
        clock_skew_s: How far the sender's clock may be ahead.
    """
    return math.inf if arrival_s is None or arrival_s < _EARLIEST_ARRIVAL_S else arrival_s + clock_skew_s


def texts_of(attributes: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the texts of an attribute, which may be one text or a list; other values are ignored."""
    value = attributes.get(key)
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list):
        return tuple(each for each in value if isinstance(each, str) and each)
    return ()
