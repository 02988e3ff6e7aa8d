"""What the pipelines of alerts read from a stream and what they put on theirs."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, TypeAlias

import msgspec

from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
from app.domains.alerts.attack import attack_table
from app.domains.alerts.formats import own, read_alert_bytes, seed
from app.domains.alerts.incidents import ClusterSummary, Flow  # noqa: TC001 - msgspec reads the types

LONGEST_KEY = 200  # characters of a tenant in a partition key; Kinesis takes 256, and ids of clusters stand behind it
_OWN = b'{"alert":'  # how an enriched alert of our own begins


Change: TypeAlias = Literal["opened", "grew", "merged"]


class EnrichedRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One record of the role `enriched`, but for the `id` and `source` that the spine adds.

    Attributes:
        alert: The alert as it was read.
        techniques: What was told of its techniques, ids of ATT&CK v19.
        tactics: Short names of the tactics that they serve.
        tenant: Whose it is.
        cluster_id: The cluster that it joined; None where none was looked for.
        duplicate: Whether an alert that says the same was there already.
    """

    alert: Alert
    techniques: Techniques
    tactics: tuple[str, ...] = ()
    tenant: str = ""
    cluster_id: int | None = None
    duplicate: bool = False


class ClusterRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="cluster"):
    """A cluster changed, of the role `incidents`.

    Attributes:
        change: `opened` with its second alert, `grew`, or `merged` with the clusters in `merged`.
        tenant: Whose it is.
        cluster_id: Its id.
        merged: Clusters that became part of it just now.
        cluster: As it stands.
    """

    change: Change
    tenant: str
    cluster_id: int
    merged: tuple[int, ...]
    cluster: ClusterSummary


class BecameRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="cluster"):
    """A cluster became part of another, of the role `incidents`: the last word on its own key.

    Attributes:
        change: `became`.
        tenant: Whose it is.
        cluster_id: The cluster that is no more.
        into: The cluster that holds its alerts now.
    """

    change: Literal["became"] = "became"
    tenant: str
    cluster_id: int
    into: int


class FlowRecord(msgspec.Struct, kw_only=True, tag_field="type", tag="flow"):
    """An attack flow changed, of the role `incidents`.

    Attributes:
        change: `opened`, `grew`, or `merged` with the flows in `merged`.
        tenant: Whose it is.
        flow_id: Its id.
        merged: Flows that became part of it just now.
        flow: As it stands.
    """

    change: Change
    tenant: str
    flow_id: int
    merged: tuple[int, ...]
    flow: Flow


class _Carried(msgspec.Struct):
    """What is read of an `EnrichedRecord`; its alert is held to the bounds of every other, whoever has written it."""

    alert: dict[str, Any]
    techniques: Techniques
    tenant: str = ""


class TextDecoder:
    """Leaves a text as it is: an alert may be a line that is no JSON, and its time may follow from when it came."""

    def decode(self, buf: bytes, /) -> bytes:
        """The text itself."""
        return buf


def read_record(text: bytes, received: float | None = None) -> Alert | EnrichedAlert:
    """The alert in a record of a stream: of any of the formats, or one that `alerts-technique` has enriched.

    Args:
        text: UTF-8.
        received: When it came, seconds since 1970: a time without a year is the latest before it.

    Raises:
        AlertFault: It cannot be read.
    """
    if not text.startswith(_OWN):
        return read_alert_bytes(text, received=received)
    try:
        carried = _CARRIED.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return read_alert_bytes(text, received=received)  # a record of another format may begin so too
    alert = own.read(carried.alert, carried.tenant[: seed.LONGEST_TENANT])
    if all(each in attack_table().techniques for each in carried.techniques.ids):
        return EnrichedAlert(alert, carried.techniques)
    return alert  # of another version of ATT&CK: its techniques are told anew


def key_of(tenant: str, part: str = "") -> str:
    """A partition key of a tenant, or of a cluster or flow of it, within Kinesis's limit."""
    if len(tenant) > LONGEST_KEY:
        tenant = hashlib.blake2b(tenant.encode(), digest_size=16).hexdigest()
    return f"{tenant}/{part}" if part else tenant


encoded = msgspec.json.Encoder().encode
"""A record as JSON."""
_CARRIED = msgspec.json.Decoder(_Carried)
