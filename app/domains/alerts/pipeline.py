"""Pipelines of alerts.

    alerts-technique   stateless, so it scales with the shards: alert → alert with techniques, keyed by tenant
    alerts             state per tenant: alert, with or without techniques → alert with techniques and cluster, changes
                       of clusters and flows, contents of tickets

Whose an alert is, `tenancy.py` decides: by the partition key, by the alert's own text, or by both.

`alerts` alone suffices for one tenant. With many tenants, or more alerts than one shard takes, `alerts-technique` reads
the incoming stream and `alerts` reads its role `enriched` (`docs/decisions/0021-alert-streams.md`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

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
    outputs_of,
    read_record,
)
from app.domains.alerts.settings import CLOCK_SKEW_S, AlertSettings
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.tenancy import TENANT_MISMATCH, TenantRule, former_digest, key_of
from app.domains.alerts.tenant import TenantFactory
from app.domains.alerts.tickets import tactics_of
from app.errors import UnreadableStateError
from app.stream.batch import Batch
from app.stream.outcomes import Outcomes, Quarantine, digest_of
from app.stream.pipeline import Pipeline, StatefulPipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domains.alerts.tenant import Tenant
    from app.settings import Settings

Enriched: TypeAlias = list[tuple[str, EnrichedAlert]] | Quarantine
"""A record's alerts with their tenants and techniques, or why it is set aside."""


BY_ALERT, BY_BOTH = TenantRule("alert"), TenantRule("both")
"""The rules where `ALERTS_TENANT_FROM` is unset: the keys of the stream that `alerts-technique` reads may be any."""


class TechniquePipeline(Pipeline[bytes]):
    """Adds its techniques to each alert."""

    name = "alerts-technique"
    record_type = bytes
    decoder = TextDecoder()
    roles = TECHNIQUE_ROLES
    unordered_roles = frozenset(TECHNIQUE_ROLES)

    def __init__(self, resolver: TechniqueResolver, rule: TenantRule = BY_ALERT) -> None:
        """Use a resolver, and the rule of tenants."""
        self._resolver, self._rule = resolver, rule
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
        rule = TenantRule(variables.alerts_tenant_from or BY_ALERT.source, variables.alerts_tenant)
        return cls(TechniqueResolver.open(settings), rule)

    def process(self, batch: Batch[bytes]) -> Outcomes:
        """Emit each record's enriched alerts, keyed by their tenant."""
        outcomes = Outcomes(len(batch))
        for row, found in enumerate(enrich(batch, self._resolver, self._rule)):
            if isinstance(found, Quarantine):
                outcomes.quarantine(row, found.reason, found.message)
                continue
            for tenant, each in found:
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

    def __init__(
        self,
        resolver: TechniqueResolver,
        tenants: TenantFactory,
        clock_skew_s: float = CLOCK_SKEW_S,
        rule: TenantRule = BY_BOTH,
    ) -> None:
        """Use a resolver, the models of tenants, the seconds that an alert may be dated ahead, and a rule."""
        self._resolver, self._tenants, self._clock_skew_s, self._rule = resolver, tenants, clock_skew_s, rule
        self._warm: tuple[str, bytes, Tenant] | None = None

    @classmethod
    def open(cls, settings: Settings) -> AlertPipeline:
        """Load both models that the settings name.

        Raises:
            ModelError: A bundle is missing or damaged.
            SettingsError: A file of `ALERTS_FORMATS` is missing or faulty.
        """
        variables = settings.read(AlertSettings)
        load_own_formats(variables.alerts_formats)
        rule = TenantRule(variables.alerts_tenant_from or BY_BOTH.source, variables.alerts_tenant)
        resolver, tenants = TechniqueResolver.open(settings), TenantFactory.open(settings)
        return cls(resolver, tenants, variables.alerts_clock_skew, rule)

    def state_keys(self, batch: Batch[bytes]) -> list[str]:
        """Return the partition keys, so that a tenant's alerts come in order; with `alert` the tenants by name."""
        if self._rule.source != "alert":
            return batch.partition_keys
        columns = batch.records, batch.partition_keys, batch.arrivals_s
        return [self._state_key(*each) for each in zip(*columns, strict=True)]

    def _state_key(self, text: bytes, key: str, received: float) -> str:
        """Return the key of the tenant that a record's alerts name; one that is to be set aside changes no state."""
        try:
            tenants = {self._rule.assign(_alert_of(each), key) for each in read_record(text, received or None)}
        except AlertFault:
            tenants = set()
        return key_of(tenants.pop() if len(tenants) == 1 else self._rule.default)

    def former_key(self, key: str) -> str | None:
        """Return the key under which an earlier release stored a tenant's state: its name, or a bare digest.

        With a slash it could also be the key of another pipeline's state, or of a run of files: such a tenant begins
        anew.
        """
        if digest := former_digest(key):
            return self.stored_key(digest)
        return key if "/" not in key else None

    def is_former(self, key: str, value: bytes) -> bool:
        """Return whether a tenant with a long name takes over the state at its bare digest.

        A tenant may have that digest as its name. So the state is taken over only as the release wrote it that made
        bare digests: from this one on, each state has its key in it.
        """
        return bool(former_digest(key)) and self._tenants.key_in(value) == ""

    def process_with(self, batch: Batch[bytes], state: Mapping[str, bytes]) -> StagedTenants:
        """Advance the tenants of a batch alert by alert."""
        keys, found = self.state_keys(batch), enrich(batch, self._resolver, self._rule, self._clock_skew_s)
        if self._rule.source == "alert":
            found = [_of_one_tenant(each) for each in found]
        return self.advance(keys, found, state)

    def advance(self, keys: Sequence[str], found: Sequence[Enriched], state: Mapping[str, bytes]) -> StagedTenants:
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
            for name, each in alerts:
                for output in outputs_of(each, tenant.observe(each), name, key, self._tenants.table):
                    # A correction or another model between two attempts gives other techniques, and so other clusters.
                    version = digest_of(output.data)
                    outcomes.emit(row, output.partition_key, output.data, role=output.role, version=version)
        return StagedTenants(self, outcomes, keys, found, state, tenants)

    def _open_tenant(self, key: str, state: bytes | None) -> Tenant:
        """Return a tenant from its state, without decoding it again if this process wrote it last.

        Raises:
            UnreadableStateError: The state was not written by this version; the message has the state key.
        """
        if self._warm is not None and state is not None and self._warm[:2] == (key, state):
            tenant = self._warm[2]
            self._warm = None  # it changes from here on: if this batch fails, the state is decoded again
            return tenant
        try:
            return self._tenants.tenant(state, key)
        except UnreadableStateError as error:
            raise UnreadableStateError(f"state key {key!r}: {error}") from None

    def keep_warm(self, key: str, state: bytes, tenant: Tenant) -> None:
        """Keep the tenant that was dumped last, with its key and its dump."""
        self._warm = (key, state, tenant)

    def explain(self, record: bytes) -> Mapping[str, object]:
        """Return the alert as it was read, and its techniques with their source; clusters would need earlier alerts."""
        return explained(record, self._resolver)


@dataclass(slots=True)
class StagedTenants:
    """Outcomes of a batch, and its tenants' states after any record of it."""

    pipeline: AlertPipeline
    outcomes: Outcomes
    keys: Sequence[str]
    found: Sequence[Enriched]
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
                self.pipeline.keep_warm(key, self._whole[key], tenant)
            self.tenants = {}
        return self._whole


def enrich(
    batch: Batch[bytes], resolver: TechniqueResolver, rule: TenantRule, clock_skew_s: float = CLOCK_SKEW_S
) -> list[Enriched]:
    """Return each record's alerts with their tenants and techniques; the resolver is called once for all."""
    read: list[list[tuple[str, Alert | EnrichedAlert]] | Quarantine] = []
    for text, key, received in zip(batch.records, batch.partition_keys, batch.arrivals_s, strict=True):
        try:
            read.append([(rule.assign(_alert_of(each), key), each) for each in read_record(text, received or None)])
        except AlertFault as fault:
            read.append(Quarantine(fault.reason, fault.message))
    alerts = chain.from_iterable(each for each in read if not isinstance(each, Quarantine))
    plain = [(tenant, each) for tenant, each in alerts if isinstance(each, Alert)]
    techniques = iter(resolver.resolve([each for _, each in plain], [tenant for tenant, _ in plain]))
    enriched: list[Enriched] = []
    for found, received in zip(read, batch.arrivals_s, strict=True):
        if isinstance(found, Quarantine):
            enriched.append(found)
            continue
        latest = latest_time(received, clock_skew_s)
        enriched.append(
            [
                (tenant, EnrichedAlert(each, next(techniques), latest))
                if isinstance(each, Alert)
                else (tenant, EnrichedAlert(each.alert, each.techniques, latest))
                for tenant, each in found
            ]
        )
    return enriched


def _alert_of(each: Alert | EnrichedAlert) -> Alert:
    return each if isinstance(each, Alert) else each.alert


def _of_one_tenant(found: Enriched) -> Enriched:
    """Return a record's alerts, or its quarantine where they are of several tenants: it has one state key."""
    if isinstance(found, Quarantine) or len({tenant for tenant, _ in found}) == 1:
        return found
    return Quarantine(TENANT_MISMATCH, "the record's alerts name several tenants: send a record for each tenant")


def explained(record: bytes, resolver: TechniqueResolver) -> dict[str, object]:
    """Return the steps from a record to its techniques, for `millrace explain`; of several alerts a list of them."""
    [found] = enrich(Batch.of([record]), resolver, BY_ALERT)
    if isinstance(found, Quarantine):
        return {"quarantined": msgspec.to_builtins(found)}
    each = [_explained(alert) for _, alert in found]
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
