"""Read one record as one alert: an object, a line, or the bytes of either."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from app.domains.alerts.alert import LARGEST_ALERT_BYTES, Alert, AlertFault
from app.domains.alerts.formats import snort
from app.domains.alerts.formats.attributes import with_nodes
from app.domains.alerts.formats.recognise import contained, recognised
from app.text import is_nested_deeper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domains.alerts.formats.format import Format

MAX_DEPTH = 64  # of JSON: all formats stay below 20
MAX_ENVELOPES = 4  # a hit in an answer in an event; deeper envelopes are malicious
NODES = "node_feature"
"""Key of the hosts' features in the seed's file."""

_NEITHER = "send one alert as a JSON object, or as one line"
_SEVERAL = "put the file under input/, or feed it with `millrace feed --pipeline alerts`, which splits it"


def read_alert(record: Mapping[str, Any] | str, tenant: str = "", *, received: float | None = None) -> Alert:
    """Return a record of any format as an alert.

    Args:
        record: An object as parsed JSON, or a line of text (CEF, Snort fast, or JSON).
        tenant: The tenant of a record that names none.
        received: Arrival, seconds since 1970, by default now; a time without a year is the latest before it.

    Raises:
        AlertFault: The record cannot be read; no record makes this raise anything else.
    """
    if isinstance(record, str):
        return _of_text(record, tenant, received)
    whole = record if type(record) is dict else dict(record)
    if size_of(whole) > LARGEST_ALERT_BYTES:
        raise _too_large()
    return _of_object(whole, tenant, received)


def read_alert_bytes(data: bytes, tenant: str = "", *, received: float | None = None) -> Alert:
    """Return the bytes of one record, JSON or a line of text, as an alert.

    Args:
        data: UTF-8.
        tenant: The tenant of a record that names none.
        received: Arrival, seconds since 1970.

    Raises:
        AlertFault: The record cannot be read; no bytes make this raise anything else.
    """
    if len(data) > LARGEST_ALERT_BYTES:
        raise _too_large()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise AlertFault("not_utf8", f"byte {error.start} is not UTF-8; send JSON or text in UTF-8") from None
    return _of_text(text, tenant, received)


class Document(msgspec.Struct, frozen=True):
    """The alerts of an object or a list.

    Attributes:
        alerts: Those that could be read, in their order.
        indexes: The position of each of them in the document, from 0.
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
    records = contained(whole)
    if records is None:
        if "input" in whole:
            raise AlertFault("bad_field", "input is not a list; send a list of alerts")
        records = [whole]
    node_features, cluster_config, config = (_object(whole, key) for key in (NODES, "cluster_config", "config"))
    alerts, indexes, faults = [], [], []
    for index, record in enumerate(records):
        try:
            alert = read_object(record, tenant, received)
        except AlertFault as fault:
            faults.append((index, fault))
        else:
            add_nodes(alert, node_features)
            alerts.append(alert)
            indexes.append(index)
    return Document(alerts, indexes, faults, node_features, cluster_config, config)


def _object(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    if value is None:
        return {}
    if type(value) is not dict:
        raise AlertFault("bad_field", f"{key} is not an object; send one, or leave it out")
    return value


def read_object(record: object, tenant: str, received: float | None) -> Alert:
    """Return a member of a list of alerts as an alert.

    Raises:
        AlertFault: The member cannot be read.
    """
    if isinstance(record, str):
        return _of_text(record, tenant, received)
    if type(record) is not dict:
        raise AlertFault("bad_field", f"the alert is neither an object nor a line; {_NEITHER}")
    if size_of(record) > LARGEST_ALERT_BYTES:
        raise _too_large()
    return _of_object(record, tenant, received)


def format_of(record: Mapping[str, Any] | str) -> Format:
    """Return the format of a record, recognized by a few keys; of an envelope, that of its first alert.

    Raises:
        AlertFault: `unknown_format`; the message names the formats.
    """
    inner: object = record if isinstance(record, str) else dict(record)
    for _ in range(MAX_ENVELOPES):
        if isinstance(inner, str) and _is_json(inner.strip()):
            inner = json_of(inner.strip())
        alerts = inner if isinstance(inner, list) else contained(inner) if isinstance(inner, dict) else None
        if not alerts:
            break
        inner = alerts[0]
    return recognised(inner if isinstance(inner, dict | str) else {})


def size_of(record: dict[str, Any]) -> int:
    """Return the size of a record in bytes of JSON; an estimate, up to the limit, if it cannot be written as JSON."""
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


def json_of(text: str) -> object:
    """Return the value of a JSON text; halves of surrogate pairs in it are tolerated.

    Raises:
        AlertFault: `not_json`.
    """
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.MsgspecError, ValueError) as error:
        if "trailing characters" in str(error) and _holds_values(text):
            raise AlertFault("not_one_alert", f"the record holds several JSON values; {_SEVERAL}") from None
        if "\\ud" not in text and "\\uD" not in text:
            raise AlertFault("not_json", f"{error}; send JSON, or a line of CEF or Snort") from None
        value = _forgiving(text)
    if text.count("[") + text.count("{") > MAX_DEPTH and is_nested_deeper(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _holds_values(text: str) -> bool:
    """Return whether a second JSON object or list follows a first one."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return text[end:].lstrip()[:1] in {"{", "["}


def _forgiving(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise AlertFault("not_json", f"{error}; send JSON, or a line of CEF or Snort") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _of_text(text: str, tenant: str, received: float | None) -> Alert:
    text = text.removeprefix("\ufeff").strip()
    if len(text) > LARGEST_ALERT_BYTES:
        raise _too_large()
    if _is_json(text):
        value = json_of(text)
        return _of_object(value if type(value) is dict else {"input": value}, tenant, received)
    return _of_line(text, tenant, received)


def _is_json(text: str) -> bool:
    """Return whether a line begins like an object or a list, and not like one of Snort's."""
    return text[:1] == "{" or (text[:1] == "[" and not text.startswith(snort.MARK))


def _of_line(line: str, tenant: str, received: float | None) -> Alert:
    if not line:
        raise AlertFault("not_json", f"the record is empty; {_NEITHER}")
    if any(each.strip() for each in line.split("\n")[1:]):
        raise AlertFault("not_one_alert", "the record has several lines; send a record a line")
    return recognised(line).read(line, tenant, received)


def _of_object(record: dict[str, Any], tenant: str, received: float | None) -> Alert:
    nodes: list[object] = []
    inner: object = record
    for _ in range(MAX_ENVELOPES):
        alerts = contained(inner) if type(inner) is dict else None
        if alerts is None:
            break
        if len(alerts) != 1:
            raise AlertFault("not_one_alert", f"the record holds {len(alerts)} alerts; {_SEVERAL}")
        nodes.append(inner.get(NODES) if type(inner) is dict else None)
        inner = alerts[0]
    alert = _of_one(inner, tenant, received)
    for features in nodes:
        add_nodes(alert, features)
    return alert


def _of_one(record: object, tenant: str, received: float | None) -> Alert:
    if type(record) is dict:
        return recognised(record).read(record, tenant, received)
    if isinstance(record, str):
        return _of_line(record.strip(), tenant, received)
    raise AlertFault("bad_field", f"the alert is neither an object nor a line; {_NEITHER}")


def add_nodes(alert: Alert, features: object) -> None:
    """Add a file's features of an alert's two hosts to the alert."""
    if type(features) is dict:
        ends = {end: features[host] for end, host in (("src", alert.src), ("dst", alert.dst)) if host in features}
        if ends:
            with_nodes(alert.other_attributes, ends)


def _too_deep() -> AlertFault:
    return AlertFault("not_json", f"nested deeper than {MAX_DEPTH}; send the alert without the objects in it")


def _too_large() -> AlertFault:
    return AlertFault("alert_too_large", f"more than {LARGEST_ALERT_BYTES} bytes; send the alert without its raw data")
