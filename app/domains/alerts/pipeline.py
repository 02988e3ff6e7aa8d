"""The pipelines of alerts: techniques alone, which any shard may do, and incidents, which a tenant's shard does.

    alerts-technique   stateless; alert → enriched alert, keyed by tenant; it grows with the shards
    alerts             its state is a tenant's, its state key the partition key; alert or enriched alert → enriched
                       alert with its cluster, changes of clusters and flows, and what tickets are made from

One tenant needs `alerts` alone. With many, or with more alerts than a shard takes, `alerts-technique` reads the
incoming stream and `alerts` the stream of its role `enriched` (`docs/decisions/0021-alert-streams.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import Alert, AlertFault, EnrichedAlert
from app.domains.alerts.attack import attack_table
from app.domains.alerts.events import outputs_of
from app.domains.alerts.records import EnrichedRecord, TextDecoder, encoded, key_of, read_record
from app.domains.alerts.roles import ALERT_ROLES, ENRICHED, TECHNIQUE_ROLES
from app.domains.alerts.settings import AlertSettings
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.tenant import Incidents
from app.domains.alerts.tickets import tactics_of
from app.errors import CloudError
from app.stream.outcomes import Outcomes, Quarantine
from app.stream.pipeline import Pipeline, StatefulPipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domains.alerts.tenant import Tenant
    from app.settings import Settings
    from app.stream.batch import Batch


class TechniquePipeline(Pipeline[bytes]):
    """Tells each alert's techniques."""

    name = "alerts-technique"
    record_type = bytes
    decoder = TextDecoder()
    roles = TECHNIQUE_ROLES
    unordered_roles = frozenset(TECHNIQUE_ROLES)

    def __init__(self, resolver: TechniqueResolver, tenant: str) -> None:
        """Takes what tells techniques, and whose alerts are that do not say."""
        self._resolver, self._tenant = resolver, tenant
        self._table = attack_table()

    @classmethod
    def open(cls, settings: Settings) -> TechniquePipeline:
        """Loads the model that the settings name.

        Raises:
            ModelError: There is none such, or it is not what its manifest says.
        """
        return cls(TechniqueResolver.open(settings), settings.read(AlertSettings).alerts_tenant)

    def process(self, batch: Batch[bytes]) -> Outcomes:
        """Emit one enriched alert for each record, keyed by its tenant."""
        outcomes = Outcomes(len(batch))
        for row, each in enumerate(enrich(batch.records, self._resolver, batch.arrivals_s)):
            if isinstance(each, Quarantine):
                outcomes.quarantine(row, each.reason, each.message)
                continue
            tenant = each.alert.tenant or self._tenant
            tactics = tactics_of(each.techniques.ids, self._table)
            record = EnrichedRecord(alert=each.alert, techniques=each.techniques, tactics=tactics, tenant=tenant)
            outcomes.emit(row, key_of(tenant), encoded(record), role=ENRICHED)
        return outcomes

    def explain(self, record: bytes) -> Mapping[str, object]:
        """The alert as it was read, and its techniques with their source."""
        return explained(record, self._resolver)


class AlertPipeline(StatefulPipeline[bytes]):
    """Tells techniques, and follows each tenant's clusters and flows."""

    name = "alerts"
    record_type = bytes
    decoder = TextDecoder()
    roles = ALERT_ROLES
    unordered_roles = frozenset({ENRICHED})
    state_namespace = ""  # states of earlier releases stand under their tenant alone

    def __init__(self, resolver: TechniqueResolver, incidents: Incidents) -> None:
        """Takes what tells techniques, and what tenants are opened with."""
        self._resolver, self._incidents = resolver, incidents
        self._warm: tuple[bytes, Tenant] | None = None

    @classmethod
    def open(cls, settings: Settings) -> AlertPipeline:
        """Loads both models that the settings name.

        Raises:
            ModelError: There is none such, or it is not what its manifest says.
        """
        return cls(TechniqueResolver.open(settings), Incidents.open(settings))

    def state_keys(self, batch: Batch[bytes]) -> list[str]:
        """The partition key: the tenant, so that its alerts come in one order."""
        return batch.partition_keys

    def process_with(self, batch: Batch[bytes], state: Mapping[str, bytes]) -> StagedTenants:
        """The outputs of each alert in its turn, and the tenants as they are after it."""
        found = enrich(batch.records, self._resolver, batch.arrivals_s)
        return self.advance(batch.partition_keys, found, state)

    def advance(
        self, keys: Sequence[str], found: Sequence[EnrichedAlert | Quarantine], state: Mapping[str, bytes]
    ) -> StagedTenants:
        """Advances the tenants of alerts from their state; used again to cut the staged state at a record."""
        tenants: dict[str, Tenant] = {}
        outcomes = Outcomes(len(found))
        for row, (key, each) in enumerate(zip(keys, found, strict=True)):
            if isinstance(each, Quarantine):
                outcomes.quarantine(row, each.reason, each.message)
                continue
            tenant = tenants.get(key)
            if tenant is None:
                tenant = tenants[key] = self._open_tenant(key, state.get(key))
            observed = tenant.observe(each)
            for output in outputs_of(each, observed, key, self._incidents.table):
                outcomes.emit(row, output.partition_key, output.data, role=output.role)
        return StagedTenants(self, outcomes, keys, found, state, tenants)

    def _open_tenant(self, key: str, state: bytes | None) -> Tenant:
        """A tenant from its state, without reading it again when this process wrote it last.

        Raises:
            CloudError: The state is not one that this version wrote; it says whose.
        """
        if self._warm is not None and state is not None and self._warm[0] == state:
            _, tenant = self._warm
            self._warm = None  # from here on it is another's: if this batch fails, the state is read again
            return tenant
        try:
            return self._incidents.tenant(state)
        except CloudError as error:
            raise CloudError(f"state key {key!r}: {error}") from None

    def keep_warm(self, state: bytes, tenant: Tenant) -> None:
        """Remembers the tenant that was dumped last, and its dump."""
        self._warm = (state, tenant)

    def explain(self, record: bytes) -> Mapping[str, object]:
        """The alert as it was read, and its techniques with their source; clusters need what came before."""
        return explained(record, self._resolver)


@dataclass(slots=True)
class StagedTenants:
    """Outcomes of a batch, and its tenants' states at any record of it."""

    pipeline: AlertPipeline
    outcomes: Outcomes
    keys: Sequence[str]
    found: Sequence[EnrichedAlert | Quarantine]
    before: Mapping[str, bytes]
    tenants: dict[str, Tenant]
    _whole: dict[str, bytes] = field(default_factory=dict)

    def at(self, rows: int) -> Mapping[str, bytes]:
        """The state of each tenant after the first `rows` records; a cut is worked out again from the state before."""
        if rows < len(self.outcomes):
            return self.pipeline.advance(self.keys[:rows], self.found[:rows], self.before).at(rows) if rows else {}
        if not self._whole:
            self._whole = {key: tenant.dump() for key, tenant in self.tenants.items()}
            for key, tenant in self.tenants.items():
                self.pipeline.keep_warm(self._whole[key], tenant)
            self.tenants = {}
        return self._whole


def enrich(
    texts: Sequence[bytes], resolver: TechniqueResolver, arrivals_s: Sequence[float] = ()
) -> list[EnrichedAlert | Quarantine]:
    """Each record's alert with its techniques, or why it cannot be read; one call of the resolver for all."""
    read: list[Alert | EnrichedAlert | Quarantine] = []
    for text, received in zip_longest(texts, arrivals_s):
        try:
            read.append(read_record(text, received))
        except AlertFault as fault:
            read.append(Quarantine(fault.reason, fault.message))
    told = iter(resolver.resolve([each for each in read if isinstance(each, Alert)]))
    return [EnrichedAlert(each, next(told)) if isinstance(each, Alert) else each for each in read]


def explained(record: bytes, resolver: TechniqueResolver) -> dict[str, object]:
    """The steps from a record to its techniques."""
    [each] = enrich([record], resolver)
    if isinstance(each, Quarantine):
        return {"quarantined": msgspec.to_builtins(each)}
    table = attack_table()
    names = {key: found.name for key in each.techniques.ids if (found := table.techniques.get(key))}
    return {
        "alert": msgspec.to_builtins(each.alert),
        "techniques": msgspec.to_builtins(each.techniques),
        "names": names,
        "tactics": list(tactics_of(each.techniques.ids, table)),
    }
