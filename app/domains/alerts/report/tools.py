"""Files of results for other tools: a layer for ATT&CK Navigator, and each flow for Attack Flow Builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.report.afb import builder_file
from app.domains.alerts.report.navigator import layer_of
from app.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domains.alerts.incidents import Flow

LAYER = "navigator.json"


def tool_files(flows: Sequence[Flow], tenant: str) -> dict[str, bytes]:
    """Return the files by their names.

    Args:
        flows: The flows of a tenant.
        tenant: The tenant.
    """
    return builder_files(flows, tenant) | {
        LAYER: msgspec.json.encode(layer_of(flows, f"Incidents of {one_line(tenant)}"))
    }


def builder_files(flows: Sequence[Flow], tenant: str) -> dict[str, bytes]:
    """Return a file for Attack Flow Builder for each flow, by its name."""
    return {f"flow-{flow.flow_id}.afb": msgspec.json.encode(builder_file(flow, tenant)) for flow in flows}
