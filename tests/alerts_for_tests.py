"""Make alerts of an attack in a few steps, and pipelines without a technique model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.pipeline import BY_ALERT, BY_BOTH, AlertPipeline, TechniquePipeline
from app.domains.alerts.techniques.catalogue import shipped_catalogue
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.tenant import TenantFactory
from app.settings import Settings
from app.storage.state import MemoryState
from app.stream.testing import MemorySpine

if TYPE_CHECKING:
    from app.domains.alerts.tenancy import TenantRule
    from app.stream.testing import FakeStreams

STREAMS = {"enriched": "enriched", "incidents": "incidents", "tickets": "tickets"}
START_S = 1_700_000_000.0

STORY: tuple[tuple[float, str, str, str, str], ...] = (
    (0, "203.0.113.7", "web1", "Nmap service scan", "T1046"),
    (1, "203.0.113.7", "web1", "Nmap service scan", "T1046"),
    (30, "203.0.113.7", "web1", "Web shell written to disk", "T1505.003"),
    (31, "203.0.113.7", "web1", "Web shell written to disk", "T1505.003"),
    (90, "web1", "web1", "Credential dumping from LSASS", "T1003.001"),
    (150, "web1", "db1", "Remote service session over SSH", "T1021.004"),
    (160, "db1", "db1", "Archive collected data", "T1560"),
    (200, "db1", "203.0.113.9", "Exfiltration over DNS", "T1048.003"),
)
"""Seconds, source, destination, name, technique."""


def alert(number: int, **changed: Any) -> dict[str, Any]:
    """Return the alert with this number of the story, which repeats every day."""
    day, index = divmod(number, len(STORY))
    after_s, src, dst, name, technique = STORY[index]
    return {
        "id": f"a{number}",
        "time": START_S + 86_400 * day + after_s,
        "src": src,
        "dst": dst,
        "name": name,
        "tech": [technique],
        **changed,
    }


def payload(number: int, **changed: Any) -> bytes:
    """Return the alert with this number as a record's bytes."""
    return msgspec.json.encode(alert(number, **changed))


@functools.cache
def resolver() -> TechniqueResolver:
    """Return a resolver of the alerts' own techniques and the catalogue's, without a model."""
    return TechniqueResolver(None, shipped_catalogue(), None)


@functools.cache
def tenant_factory() -> TenantFactory:
    """Return tenants with the affinities of the shipped bundle."""
    return TenantFactory.open(Settings())


def alerts_spine(
    store: MemoryState | None = None,
    streams: FakeStreams | None = None,
    techniques: TechniqueResolver | None = None,
    rule: TenantRule = BY_BOTH,
    **settings: Any,
) -> MemorySpine:
    """Return the pipeline `alerts` on fake streams."""
    pipeline = AlertPipeline(techniques or resolver(), tenant_factory(), rule=rule)
    return MemorySpine(pipeline, streams, store=store or MemoryState(), output_streams=STREAMS, **settings)


def technique_spine(
    streams: FakeStreams | None = None, techniques: TechniqueResolver | None = None, rule: TenantRule = BY_ALERT
) -> MemorySpine:
    """Return the pipeline `alerts-technique` on fake streams."""
    return MemorySpine(TechniquePipeline(techniques or resolver(), rule), streams, output_streams=STREAMS)


def emitted(spine: MemorySpine, role: str) -> list[dict[str, Any]]:
    """Return the records of a role's stream in order."""
    return [msgspec.json.decode(data) for _, data in spine.streams.records[role]]
