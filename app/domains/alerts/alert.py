"""One alert as everything here sees it, whatever format it came in, and what was found out about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_ID = 256  # characters; the longest seen in the formats read here have about 150
LONGEST_ENTITY = 256  # characters of a host, user or address: a DNS name has 253 at the most
LONGEST_NAME = 4096  # characters that are read; what stands behind them changes no technique
LARGEST_ALERT_BYTES = 1024 * 1024  # of JSON: Kinesis's own limit of a record for most of its life

DEFAULT_TENANT = "default"

HOST, USER, HASH = "host", "user", "hash"
"""Keys of `other_attributes` that name entities beside `src` and `dst`: text, or a list of it."""
PORT, PRIORITY, URL, USER_AGENT, CERTIFICATE = "port", "priority", "url", "user_agent", "cert"
"""Keys of `other_attributes` whose types the format fixes: whole number, number, text, text, text."""
DESCRIPTION, COMMAND_LINE, RULE_ID, PRODUCT = "description", "command_line", "rule_id", "product"
"""Keys of `other_attributes` that help to tell the technique: text."""


class AlertFault(Exception):  # noqa: N818 - a fault of the data, not of the program: it ends as a Quarantine or a line
    """An alert cannot be read.

    Attributes:
        reason: A code in snake case: `missing_id`, `missing_time`, `missing_src`, `missing_dst`, `missing_name`,
            `bad_id`, `bad_time`, `bad_field`, `alert_too_large`, `unknown_format`, `not_one_alert`, `not_json`,
            `not_utf8`.
        message: What is wrong, where (the field's path), and how to mend it. It may quote the alert: never logged.
    """

    def __init__(self, reason: str, message: str) -> None:
        """Takes the reason's code and the message."""
        super().__init__(message)
        self.reason, self.message = reason, message


class Alert(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One security alert.

    Attributes:
        id: The sender's id: a whole number or text.
        time: Seconds since 1970, UTC.
        src: Where it came from: an address or a host's name.
        dst: Where it went; an alert of one host has it in both.
        name: What the detector says: the text that techniques are told from.
        tech: ATT&CK technique ids that the alert carries; it may carry none.
        other_attributes: What else is known, flat; the keys that have a meaning are named in this module.
        tenant: Whose it is; empty where the alert does not say.
        label: The truth, where a data set knows it.
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


class Techniques(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was told of an alert's techniques.

    Attributes:
        ids: Technique ids of ATT&CK v19, the surest first; empty when unknown.
        source: One of `ALERT`, `LOOKUP`, `CATALOGUE`, `MODEL`, `UNKNOWN`.
        confidence: 0 to 1: that the first id is right; of an unknown one, the best that was not enough.
        confidences: One for each id.
        dropped: Ids that the alert carried and ATT&CK does not know.
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
    """An alert with its techniques: what clustering takes."""

    alert: Alert
    techniques: Techniques


def texts_of(attributes: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The texts that an attribute holds, one or a list; anything else in it is passed over."""
    value = attributes.get(key)
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list):
        return tuple(each for each in value if isinstance(each, str) and each)
    return ()
