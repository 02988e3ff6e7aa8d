"""Pipelines of alerts.

    alerts-technique   stateless, so it scales with the shards: alert → alert with techniques, keyed by tenant
    alerts             state per tenant, the partition key: alert, with or without techniques → alert with techniques
                       and cluster, changes of clusters and flows, contents of tickets

`alerts` alone suffices for one tenant. With many tenants, or more alerts than one shard takes, `alerts-technique` reads
the incoming stream and `alerts` reads its role `enriched` (`docs/decisions/0021-alert-streams.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import Alert, AlertFault, EnrichedAlert, latest_time
from app.domains.alerts.attack import attack_table
from app.domains.alerts.formats.own_tables import load_own_formats
from app.domains.alerts.records import (
    ALERT_ROLES,
    ENRICHED,
    TECHNIQUE_ROLES,
    EnrichedRecord,
    TextDecoder,
    encoded,
    key_of,
    outputs_of,
    read_record,
)
from app.domains.alerts.settings import CLOCK_SKEW_S, AlertSettings
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.tenant import TenantFactory
from app.domains.alerts.tickets import tactics_of
from app.errors import UnreadableStateError
from app.stream.outcomes import Outcomes, Quarantine, digest_of
from app.stream.pipeline import Pipeline, StatefulPipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domains.alerts.tenant import Tenant
    from app.settings import Settings
    from app.stream.batch import Batch


class TechniquePipeline(Pipeline[bytes]):
    """Adds its techniques to each alert."""

    name = "alerts-technique"
    record_type = bytes
    decoder = TextDecoder()
    roles = TECHNIQUE_ROLES
    unordered_roles = frozenset(TECHNIQUE_ROLES)

    def __init__(self, resolver: TechniqueResolver, tenant: str) -> None:
        """Use a resolver, and a tenant for alerts that name none."""
        self._resolver, self._tenant = resolver, tenant
        self._table = attack_table()

    @classmethod
    def open(cls, settings: Settings) -> TechniquePipeline:
        """Load the model that the settings name.

        Raises:
            ModelError: The bundle is missing or damaged.
            SettingsError: A file of `ALERTS_FORMATS` is missing or faulty.
        """
        variables = settings.read(AlertSettings)
        load_own_formats(variables.alerts_formats)
        return cls(TechniqueResolver.open(settings), variables.alerts_tenant)

    def process(self, batch: Batch[bytes]) -> Outcomes:
        """Emit each record's enriched alerts, keyed by their tenant."""
        outcomes = Outcomes(len(batch))
        for row, found in enumerate(enrich(batch.records, self._resolver, batch.arrivals_s)):
            if isinstance(found, Quarantine):
                outcomes.quarantine(row, found.reason, found.message)
                continue
            for each in found:
                tenant = each.alert.tenant or self._tenant
                tactics = tactics_of(each.techniques.ids, self._table)
                record = EnrichedRecord(alert=each.alert, techniques=each.techniques, tactics=tactics, tenant=tenant)
                data = encoded(record)
                outcomes.emit(row, key_of(tenant), data, role=ENRICHED, version=digest_of(data))
        return outcomes

    def explain(self, record: bytes) -> Mapping[str, object]:
        """Return the alert as it was read, and its techniques with their source."""
        return explained(record, self._resolver)


class AlertPipeline(StatefulPipeline[bytes]):
    """Adds techniques to alerts, and maintains each tenant's clusters and flows."""

    name = "alerts"
    record_type = bytes
    decoder = TextDecoder()
    roles = ALERT_ROLES
    unordered_roles = frozenset({ENRICHED})

    def __init__(self, resolver: TechniqueResolver, tenants: TenantFactory, clock_skew_s: float = CLOCK_SKEW_S) -> None:
        """Use a resolver, the models and settings of tenants, and the seconds that an alert may be dated ahead."""
        self._resolver, self._tenants, self._clock_skew_s = resolver, tenants, clock_skew_s
        self._warm: tuple[bytes, Tenant] | None = None

    @classmethod
    def open(cls, settings: Settings) -> AlertPipeline:
        """Load both models that the settings name.

        Raises:
            ModelError: A bundle is missing or damaged.
            SettingsError: A file of `ALERTS_FORMATS` is missing or faulty.
        """
        variables = settings.read(AlertSettings)
        load_own_formats(variables.alerts_formats)
        return cls(TechniqueResolver.open(settings), TenantFactory.open(settings), variables.alerts_clock_skew)

    def state_keys(self, batch: Batch[bytes]) -> list[str]:
        """Return the partition keys: each is a tenant, so that its alerts come in order."""
        return batch.partition_keys

    def former_key(self, key: str) -> str | None:
        """Return the tenant, under which an earlier release stored its state.

        With a slash it could also be the key of another pipeline's state, or of a run of files: such a tenant begins
        anew.
        """
        return key if "/" not in key else None

    def process_with(self, batch: Batch[bytes], state: Mapping[str, bytes]) -> StagedTenants:
        """Advance the tenants of a batch alert by alert."""
        found = enrich(batch.records, self._resolver, batch.arrivals_s, self._clock_skew_s)
        return self.advance(batch.partition_keys, found, state)

    def advance(
        self, keys: Sequence[str], found: Sequence[list[EnrichedAlert] | Quarantine], state: Mapping[str, bytes]
    ) -> StagedTenants:
        """Advance tenants from their states; called again to cut the staged state at a record."""
        tenants: dict[str, Tenant] = {}
        outcomes = Outcomes(len(found))
        for row, (key, alerts) in enumerate(zip(keys, found, strict=True)):
            if isinstance(alerts, Quarantine):
                outcomes.quarantine(row, alerts.reason, alerts.message)
                continue
            tenant = tenants.get(key)
            if tenant is None:
                tenant = tenants[key] = self._open_tenant(key, state.get(key))
            for each in alerts:
                for output in outputs_of(each, tenant.observe(each), key, self._tenants.table):
                    # A correction or another model between two attempts gives other techniques, and so other clusters.
                    version = digest_of(output.data)
                    outcomes.emit(row, output.partition_key, output.data, role=output.role, version=version)
        return StagedTenants(self, outcomes, keys, found, state, tenants)

    def _open_tenant(self, key: str, state: bytes | None) -> Tenant:
        """Return a tenant from its state, without decoding it again if this process wrote it last.

        Raises:
            UnreadableStateError: The state was not written by this version; the message has the state key.
        """
        if self._warm is not None and state is not None and self._warm[0] == state:
            _, tenant = self._warm
            self._warm = None  # it changes from here on: if this batch fails, the state is decoded again
            return tenant
        try:
            return self._tenants.tenant(state)
        except UnreadableStateError as error:
            raise UnreadableStateError(f"state key {key!r}: {error}") from None

    def keep_warm(self, state: bytes, tenant: Tenant) -> None:
        """Keep the tenant that was dumped last, with its dump."""
        self._warm = (state, tenant)

    def explain(self, record: bytes) -> Mapping[str, object]:
        """Return the alert as it was read, and its techniques with their source; clusters would need earlier alerts."""
        return explained(record, self._resolver)


@dataclass(slots=True)
class StagedTenants:
    """Outcomes of a batch, and its tenants' states after any record of it."""

    pipeline: AlertPipeline
    outcomes: Outcomes
    keys: Sequence[str]
    found: Sequence[list[EnrichedAlert] | Quarantine]
    before: Mapping[str, bytes]
    tenants: dict[str, Tenant]
    _whole: dict[str, bytes] = field(default_factory=dict)

    def at(self, rows: int) -> Mapping[str, bytes]:
        """Return the tenants' states after the first `rows` records; a part of the batch is computed again."""
        if rows < len(self.outcomes):
            return self.pipeline.advance(self.keys[:rows], self.found[:rows], self.before).at(rows) if rows else {}
        if not self._whole:
            self._whole = {key: tenant.dump() for key, tenant in self.tenants.items()}
            for key, tenant in self.tenants.items():
                self.pipeline.keep_warm(self._whole[key], tenant)
            self.tenants = {}
        return self._whole


def enrich(
    texts: Sequence[bytes],
    resolver: TechniqueResolver,
    arrivals_s: Sequence[float] = (),
    clock_skew_s: float = CLOCK_SKEW_S,
) -> list[list[EnrichedAlert] | Quarantine]:
    """Return each record's alerts with their techniques, or its quarantine; the resolver is called once for all."""
    read: list[list[Alert | EnrichedAlert] | Quarantine] = []
    arrivals = list(islice(chain(arrivals_s, repeat(None)), len(texts)))
    for text, received in zip(texts, arrivals, strict=True):
        try:
            read.append(read_record(text, received or None))
        except AlertFault as fault:
            read.append(Quarantine(fault.reason, fault.message))
    alerts = chain.from_iterable(each for each in read if not isinstance(each, Quarantine))
    techniques = iter(resolver.resolve([each for each in alerts if isinstance(each, Alert)]))
    enriched: list[list[EnrichedAlert] | Quarantine] = []
    for found, received in zip(read, arrivals, strict=True):
        if isinstance(found, Quarantine):
            enriched.append(found)
            continue
        latest = latest_time(received, clock_skew_s)
        pairs = (
            (each, next(techniques)) if isinstance(each, Alert) else (each.alert, each.techniques) for each in found
        )
        enriched.append([EnrichedAlert(alert, each, latest) for alert, each in pairs])
    return enriched


def explained(record: bytes, resolver: TechniqueResolver) -> dict[str, object]:
    """Return the steps from a record to its techniques, for `millrace explain`; of several alerts a list of them."""
    [found] = enrich([record], resolver)
    if isinstance(found, Quarantine):
        return {"quarantined": msgspec.to_builtins(found)}
    each = [_explained(alert) for alert in found]
    return each[0] if len(each) == 1 else {"alerts": each}


def _explained(each: EnrichedAlert) -> dict[str, object]:
    table = attack_table()
    names = {key: known.name for key in each.techniques.ids if (known := table.techniques.get(key))}
    return {
        "alert": msgspec.to_builtins(each.alert),
        "techniques": msgspec.to_builtins(each.techniques),
        "names": names,
        "tactics": list(tactics_of(each.techniques.ids, table)),
    }
