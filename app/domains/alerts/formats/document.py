"""Whole files of alerts: the seed's, a list, the answer of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import Alert, AlertFault
from app.domains.alerts.formats.reading import NODES, add_nodes, read_object
from app.domains.alerts.formats.recognise import contained

if TYPE_CHECKING:
    from collections.abc import Mapping


class Document(msgspec.Struct, frozen=True):
    """What a file holds.

    Attributes:
        alerts: Those that could be read, in their order.
        indexes: The place of each of them in the file, from 0.
        faults: The place and the fault of each of the others.
        node_features: What the file knows of hosts, as it came.
        cluster_config: The seed's settings for clusters, as they came.
        config: The seed's settings for flows, as they came.
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
    """A file's alerts; one that cannot be read does no harm to the others.

    Args:
        document: `{"input": […], "node_feature": {…}, …}`, a list of alerts or lines, an envelope, or one alert.
        tenant: Whose the alerts are that do not say.
        received: When it came, seconds since 1970.

    Raises:
        AlertFault: `bad_field`: the file's `input`, `node_feature`, `cluster_config` or `config` is not of its type.
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
