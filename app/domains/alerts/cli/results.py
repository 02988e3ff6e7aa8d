"""Results of the commands of alerts as files in a folder, by the names that the seed's system gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts import tickets
from app.domains.alerts.attack import attack_table
from app.domains.alerts.files.layout import tenant_slug
from app.domains.alerts.files.opening import bundle
from app.errors import LocationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from app.domains.alerts.cli.work import Kept
    from app.domains.alerts.incidents import Flow


def write_results(folder: Path, kept: Mapping[str, Kept], default: str) -> list[Path]:
    """Writes all results: of the tenant without a name into the folder, of each other one into a folder in it.

    Raises:
        LocationError: A file cannot be written.
    """
    return [path for name, each in kept.items() for path in _write(place_of(folder, name, default), _files(each, name))]


def write_bundles(folder: Path, flows: Iterable[Flow], tenant: str, default: str) -> list[Path]:
    """Writes a bundle for each flow.

    Raises:
        LocationError: One cannot be written.
    """
    bundles = {f"flow-{flow.flow_id}.stix.json": bundle(flow, tenant) for flow in flows}
    return _write(place_of(folder, tenant, default), bundles)


def place_of(folder: Path, tenant: str, default: str) -> Path:
    """Where a tenant's results go."""
    return folder if tenant == default else folder / tenant_slug(tenant)


def _files(kept: Kept, tenant: str) -> dict[str, bytes]:
    table, flows = attack_table(), kept.flows()
    clusters = {each.cluster_id: each for each in kept.clusters()}
    of = {flow.flow_id: [id_ for key in flow.cluster_ids for id_ in kept.ids.get(key, ())] for flow in flows}
    involved = {flow.flow_id: [clusters[key] for key in flow.cluster_ids if key in clusters] for flow in flows}
    return {
        "cluster.json": msgspec.json.encode(
            [tickets.cluster_row(each, kept.ids[key], (), table) for key, each in clusters.items()]
        ),
        "flow.json": msgspec.json.encode([tickets.flow_row(each, of[each.flow_id]) for each in flows]),
        "cluster_ticket_output.json": _lines(
            tickets.cluster_ticket(each, kept.first[key][: tickets.TICKET_EVENTS], table)
            for key, each in clusters.items()
        ),
        "flow_ticket_output.json": _lines(
            tickets.flow_ticket(each, of[each.flow_id], involved[each.flow_id], table) for each in flows
        ),
        "global_metrics.json": msgspec.json.encode(tickets.global_metrics(list(clusters.values()))),
        **{f"flow-{flow.flow_id}.stix.json": bundle(flow, tenant) for flow in flows},
    }


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise LocationError(f"{folder}: cannot be written: {error.strerror}; give --out a folder of your own") from None
    return [folder / name for name in files]
