"""Results of the commands as files in a folder, by the names that the seed system gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domains.alerts.results import flow_bundle
from app.errors import LocationError
from app.jobs.layout import tenant_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from app.domains.alerts.cli.work import TenantWork
    from app.domains.alerts.incidents import Flow


def write_results(folder: Path, tenants: Mapping[str, TenantWork], default: str) -> list[Path]:
    """Write all results: those of the default tenant into the folder, of each other one into a folder in it.

    Raises:
        LocationError: A file cannot be written.
    """
    written = [_write(_folder(folder, name, default), each.files(name)) for name, each in tenants.items()]
    return [path for paths in written for path in paths]


def write_bundles(folder: Path, flows: Iterable[Flow], tenant: str, default: str) -> list[Path]:
    """Write a bundle for each flow.

    Raises:
        LocationError: One cannot be written.
    """
    bundles = {f"flow-{flow.flow_id}.stix.json": flow_bundle(flow, tenant) for flow in flows}
    return _write(_folder(folder, tenant, default), bundles)


def _folder(folder: Path, tenant: str, default: str) -> Path:
    return folder if tenant == default else folder / tenant_slug(tenant)


def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise LocationError(f"{folder}: cannot be written: {error.strerror}; give --out a folder of your own") from None
    return [folder / name for name in files]
