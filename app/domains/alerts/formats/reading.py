"""Read records as alerts: an object, a line, or the bytes of either, alone or in envelopes."""

from __future__ import annotations

import itertools
from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import orjson

from app.domains.alerts.alert import LARGEST_ALERT_BYTES, Alert, AlertFault
from app.domains.alerts.formats.attributes import with_nodes
from app.domains.alerts.formats.encoding import UTF8, encoding_of
from app.domains.alerts.formats.envelopes import MOST_PIECES, NODES, SEVERAL, Wrapped, too_large, unwrapped
from app.domains.alerts.formats.recognise import LINE_FORMATS, recognised, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.domains.alerts.formats.format import Format

LARGEST_RECORD_BYTES = (
    16 * 1024 * 1024
)  # of a record with several alerts; Kinesis takes 10 MiB, and gzip is inflated before
LARGEST_ADDED_BYTES = 32 * 1024 * 1024
"""Attributes of a record's alerts that got node features, together, as JSON.

Each alert gets those of its two nodes: without a limit, 10 KB of gzip became 5 GB of output. 48 numbers a node, as in
the seed's files, are 1 to 2 KB an alert, so that 16,000 alerts of one record may have them.
"""
_NEITHER = "send one alert as a JSON object, or as one line"


class Reading(NamedTuple):
    """What became of one record: an alert, or the reason why it is none.

    Attributes:
        record: The record, out of its envelopes.
        alert: The alert.
        fault: The reason.
    """

    record: Any
    alert: Alert | None = None
    fault: AlertFault | None = None


def read_alert(record: Mapping[str, Any] | str, tenant: str = "", *, received: float | None = None) -> Alert:
    """Return a record of any format as an alert.

    Args:
        record: An object as parsed JSON, or a line of text (CEF, LEEF, Snort fast, or JSON); or an envelope of one.
        tenant: The tenant of a record that names none.
        received: Arrival, seconds since 1970. A time without a year is the latest before it, by default before now; an
            alert without a readable time has this one.

    Raises:
        AlertFault: The record cannot be read; no record makes this raise anything else.
    """
    return only_alert(read_alerts(record, tenant, received=received))


def read_alert_bytes(data: bytes, tenant: str = "", *, received: float | None = None) -> Alert:
    """Return the bytes of one record, JSON or a line of text, as an alert.

    Args:
        data: UTF-8 or UTF-16.
        tenant: The tenant of a record that names none.
        received: Arrival, seconds since 1970, as in `read_alert`.

    Raises:
        AlertFault: The record cannot be read; no bytes make this raise anything else.
    """
    return only_alert(read_alerts_bytes(data, tenant, received=received))


def read_alerts(
    record: Mapping[str, Any] | list[Any] | str,
    tenant: str = "",
    *,
    received: float | None = None,
    only: Format | None = None,
) -> list[Reading]:
    """Return the alerts of a record, one or those of an envelope, in their order; it never raises.

    Args:
        record: As in `read_alert`, or a list of such records.
        tenant: The tenant of records that name none.
        received: Arrival, seconds since 1970, as in `read_alert`.
        only: The only format that is read; None for all.
    """
    value = record if isinstance(record, str | list) or type(record) is dict else dict(record)
    return _whole(_readings(value, None, tenant, received, only))


def read_alerts_bytes(
    data: bytes, tenant: str = "", *, received: float | None = None, only: Format | None = None
) -> list[Reading]:
    """Return the alerts of the bytes of a record, as `read_alerts` does."""
    return _whole(readings_of(data, tenant, received=received, only=only))


def readings_of(
    data: bytes, tenant: str = "", *, received: float | None = None, only: Format | None = None
) -> Iterator[Reading]:
    """Yield the alerts of the bytes of a record, each once it is read: a caller may stop at the first fault."""
    if len(data) > LARGEST_RECORD_BYTES:
        yield Reading(data, fault=too_large())
        return
    try:
        encoding = encoding_of(data)
        text = data.decode() if encoding is UTF8 and not data.startswith(BOM_UTF8) else data.decode(encoding)
    except UnicodeDecodeError as error:
        fault = AlertFault("not_utf8", f"byte {error.start} is not UTF-8; send JSON or text in UTF-8")
        yield Reading(data, fault=fault)
        return
    yield from _readings(text, len(data), tenant, received, only)


class Document(msgspec.Struct, frozen=True):
    """The alerts of an object or a list.

    Attributes:
        alerts: Those that could be read, in their order.
        indexes: The position of each of them in the document, from 0; the alerts of an envelope count one by one.
        faults: The position and the fault of each of the others.
        node_features: Features of hosts, as they came.
        cluster_config: The seed system's settings for clusters, as they came.
        config: The seed system's settings for flows, as they came.
    """

    alerts: list[Alert]
    indexes: list[int]
    faults: list[tuple[int, AlertFault]]
    node_features: dict[str, Any]
    cluster_config: dict[str, Any]
    config: dict[str, Any]


def read_document(
    document: Mapping[str, Any] | list[Any], tenant: str = "", *, received: float | None = None
) -> Document:
    """Read the alerts of a document; a faulty one affects no others.

    Args:
        document: `{"input": […], "node_feature": {…}, …}`, a list of alerts or lines, an envelope, or one alert.
        tenant: The tenant of alerts that name none.
        received: Arrival, seconds since 1970.

    Raises:
        AlertFault: `bad_field`: `input`, `node_feature`, `cluster_config` or `config` is not of its type.
    """
    whole = {"input": document} if isinstance(document, list) else dict(document)
    node_features, cluster_config, config = settings_of(whole)
    readings = read_alerts(whole, tenant, received=received)
    alerts = [(index, each.alert) for index, each in enumerate(readings) if each.alert is not None]
    faults = [(index, each.fault) for index, each in enumerate(readings) if each.fault is not None]
    return Document(
        [alert for _, alert in alerts], [index for index, _ in alerts], faults, node_features, cluster_config, config
    )


def settings_of(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the features of hosts, and the settings for clusters and for flows, of a document.

    Raises:
        AlertFault: `bad_field`: `input`, `node_feature`, `cluster_config` or `config` is not of its type.
    """
    if type(document.get("input", [])) is not list:
        raise AlertFault("bad_field", "input is not a list; send a list of alerts")
    return _object(document, NODES), _object(document, "cluster_config"), _object(document, "config")


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if type(value) is not dict:
        raise AlertFault("bad_field", f"{key} is not an object; send one, or leave it out")
    return value


def format_of(record: Mapping[str, Any] | str) -> Format:
    """Return the format of a record, recognized by a few keys; of an envelope, that of its first alert.

    Raises:
        AlertFault: `unknown_format`; the message names the formats.
    """
    first = next(unwrapped(record if isinstance(record, str) else dict(record)), Wrapped({}))
    return first.format or recognised(first.record if isinstance(first.record, dict | str) else {})


def only_alert(readings: list[Reading]) -> Alert:
    """Return the only alert.

    Raises:
        AlertFault: It cannot be read, or there are several.
    """
    if len(readings) != 1:
        raise AlertFault("not_one_alert", f"the record holds {len(readings)} alerts; {SEVERAL}")
    [(_, alert, fault)] = readings
    if alert is None:
        raise fault or AlertFault("bad_field", _NEITHER)
    return alert


def _whole(readings: Iterator[Reading]) -> list[Reading]:
    """Return the alerts of a record; of one that has too many the fault alone."""
    found = list(readings)
    return found if len(found) <= MOST_PIECES else found[MOST_PIECES:]


def _readings(
    value: object, size: int | None, tenant: str, received: float | None, only: Format | None
) -> Iterator[Reading]:
    found, added = unwrapped(value, received), 0
    first = list(itertools.islice(found, 2))
    if size is not None and size > LARGEST_ALERT_BYTES and len(first) == 1 and first[0].fault is None:
        yield Reading(first[0].record, fault=too_large())
        return
    for each in itertools.chain(first, found):
        is_small = size is not None and size <= LARGEST_ALERT_BYTES and not each.is_inflated
        try:
            alert = _read(each, tenant, only, is_small=is_small)
        except AlertFault as fault:
            yield Reading(each.record, fault=fault.kept())
        else:
            for features in each.nodes:
                added += add_nodes(alert, features)
            if added > LARGEST_ADDED_BYTES:
                yield Reading(each.record, fault=_too_large_with_nodes())
                continue
            yield Reading(each.record, alert)


def _read(given: Wrapped, tenant: str, only: Format | None, *, is_small: bool) -> Alert:
    """Return a record out of its envelopes as an alert.

    Raises:
        AlertFault: It cannot be read.
    """
    record = given.record
    if given.fault is not None:
        raise given.fault
    if type(record) is not dict and not isinstance(record, str):
        raise AlertFault("bad_field", f"the alert is neither an object nor a line; {_NEITHER}")
    if not record and isinstance(record, str):
        raise AlertFault("not_json", f"the record is empty; {_NEITHER}")
    if not is_small and size_of(record) > LARGEST_ALERT_BYTES:
        raise too_large()
    if only is None:
        found: Format | None = given.format
        if found is None:
            raise unknown(record)
        return found.read(record, tenant, given.received)
    of_lines = only.name in LINE_FORMATS
    if of_lines != isinstance(record, str) or (of_lines and not only.matches(record)):
        raise AlertFault("unknown_format", f"it is not of {only.title}, {only.known_by}")
    return only.read(record, tenant, given.received)


def size_of(record: object) -> int:
    """Return the size of a record in bytes of JSON; an estimate, up to the limit, if it cannot be written as JSON."""
    if isinstance(record, str):
        return len(record)
    try:
        return len(orjson.dumps(record))  # two thirds of msgspec's time or less
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        pass  # halves of surrogate pairs, or too deep for the encoder
    size, waiting = 0, [record]
    while waiting and size <= LARGEST_ALERT_BYTES:
        value: Any = waiting.pop()
        if type(value) is str:
            size += len(value) + 3
        elif type(value) is dict:
            size += 2 + 4 * len(value) + sum(map(len, value))
            waiting.extend(value.values())
        elif type(value) is list:
            size += 2 + len(value)
            waiting.extend(value)
        else:
            size += 4
    return size


def add_nodes(alert: Alert, features: object) -> int:
    """Add a file's features of an alert's two hosts to the alert; return the bytes of its attributes if it has some."""
    if type(features) is dict:
        ends = {end: features[host] for end, host in (("src", alert.src), ("dst", alert.dst)) if host in features}
        if ends:
            return with_nodes(alert.other_attributes, ends)
    return 0


def _too_large_with_nodes() -> AlertFault:
    message = (
        f"{NODES}: the record's alerts have more than {LARGEST_ADDED_BYTES} bytes with it; send fewer features, or the "
        "alerts in parts"
    )
    return AlertFault("alert_too_large", message)
