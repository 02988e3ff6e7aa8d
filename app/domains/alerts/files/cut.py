"""Step 1: a file into chunks, with the techniques of their alerts.

The order (after a failed write the step is tried again, does all of it over, and writes the same bytes):

1. Each chunk's alerts and their ids, and its techniques as far as there is time. Nothing refers to them yet.
2. The skipped elements, the node features, and the plan of each tenant's run. Nothing starts by them.
3. The file's own plan: from here on the file counts as cut up, and a repeated step goes to 4 at once.
4. The techniques of each chunk that has none yet, and the object that starts step 2 of the chunk.

A file that cannot be read gets `output/<run>/error.json`, and nothing of it is taken. It will never succeed as it is,
so the step itself does not fail, and nothing is tried again.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from app.budgets import is_over_elements
from app.domains.alerts.alert import DEFAULT_TENANT, Alert, AlertFault, latest_time
from app.domains.alerts.clusters.config import ClusterConfig
from app.domains.alerts.files import layout
from app.domains.alerts.files.codes import node_columns
from app.domains.alerts.files.techniques import LATEST, TIMES, resolve_chunk, start_chunk
from app.domains.alerts.flows.config import FlowConfig
from app.domains.alerts.formats.file import AlertFile
from app.domains.alerts.formats.inflate import BrokenGzipError, PackedFileError
from app.domains.alerts.formats.parts import BrokenPartError
from app.domains.alerts.formats.pieces import PieceReader
from app.domains.alerts.formats.scanner import BrokenJsonError
from app.domains.alerts.settings import CLOCK_SKEW_S, MOST_TENANTS
from app.domains.alerts.tenancy import CountedTenants, TenantRule
from app.errors import BudgetError, UnacknowledgedError, UnprocessableError
from app.jobs.layout import INPUT, chunk_id, error_name, file_plan_name, file_run, plan_name, skipped_name, tenant_run
from app.jobs.plan import FORM, ChunkPlan, FilePlan, RunPlan, decoded, put_json, read_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domains.alerts.files.protocol import Context
    from app.domains.alerts.formats.pieces import InputItem
    from app.domains.alerts.tenancy import TenantFrom

CHUNK_ALERTS = 20_000  # the seed system's own; a chunk's JSON and its alerts take some 100 MB of memory
SKIPPED_BYTES = 32 * 1024 * 1024  # of skipped alerts that are kept whole; beyond it only their reasons
SKIPPED_ROWS = 100_000  # of reasons, of as many bytes at the most; the count goes on
READ_TOGETHER = 100  # alerts that are handed on at once, so that reading holds little
FLUSH_CHUNKS = 2  # chunks of alerts that wait in memory, of all tenants together
CHUNK_BYTES = 64 * 1024 * 1024  # of JSON of alerts that wait: in memory they take up to ten times as much


def enrich(
    context: Context,
    name: str,
    chunk_alerts: int = CHUNK_ALERTS,
    tenant: str = DEFAULT_TENANT,
    clock_skew_s: float = CLOCK_SKEW_S,
    *,
    tenant_from: TenantFrom = "alert",
    most_tenants: int = MOST_TENANTS,
) -> FilePlan:
    """Cut a file into chunks and start each.

    Args:
        context: The file is here.
        name: The file's name.
        chunk_alerts: The most alerts of a chunk.
        tenant: The owner of alerts that name none.
        clock_skew_s: How far an alert may be dated after the file.
        tenant_from: Whether alerts may name their owner: `alert`; with `both`, one that names another than `tenant` is
            skipped; with `key`, what they name is ignored.
        most_tenants: How many tenants the file may have; one with more is refused.

    Raises:
        LocationError: There is no such file.
        UnacknowledgedError: The file was replaced while it was read, or the time is up: the step is to be repeated.
    """
    digest = _digest(context, name)
    run = file_run(name, digest if tenant == DEFAULT_TENANT else f"{digest} {_apart(tenant)}")
    known = context.objects.get(file_plan_name(run))
    plan = None if known is None else decoded(known, FilePlan, file_plan_name(run))
    if plan is None or plan.error:  # a file that was refused may be taken once a setting is another
        chunks = _Chunks(context, run, chunk_alerts, TenantRule(tenant_from, tenant), most_tenants)
        plan = _cut(context, name, digest, chunks, clock_skew_s)
    for chunk in chunks_of(context, plan):
        start_chunk(context, chunk)
    return plan


def chunks_of(context: Context, plan: FilePlan) -> list[str]:
    """Return the chunks of all runs of a file."""
    return [chunk.unique_id for run in plan.runs for chunk in read_plan(context.objects, run).chunks]


def _apart(tenant: str) -> str:
    """Return a tenant's name in a form that no input's name, which follows it in a digest, can extend to another's."""
    return f"#{tenant.encode('utf-8', 'surrogatepass').hex()}" if INPUT in tenant or tenant[:1] == "#" else tenant


def _digest(context: Context, name: str) -> str:
    digest = hashlib.sha256()
    for block in context.objects.blocks(name):
        digest.update(block)
    return digest.hexdigest()


def _cut(context: Context, name: str, digest: str, chunks: _Chunks, clock_skew_s: float) -> FilePlan:
    read, objects = hashlib.sha256(), context.objects
    arrival_s = objects.modified_s(name)

    def blocks() -> Iterator[bytes]:
        for block in objects.blocks(name):
            read.update(block)
            yield block

    file, skipped = AlertFile(blocks(), PieceReader(received=arrival_s), batch=READ_TOGETHER), _SkippedAlerts()
    if broken := _gather(file, chunks, skipped):
        return _refuse(context, name, chunks.file_run, f"{broken}; nothing of the file was taken", skipped)
    if read.hexdigest() != digest:
        raise UnacknowledgedError(f"{objects.root}/{name}: replaced while it was read; the step is tried again")
    chunks.flush()
    if not chunks.runs:
        why = (
            f"none of its {skipped.count} elements is an alert: {skipped.first}"
            if skipped.count
            else 'no alerts in it: put {"input": [...]} there, or an alert a line'
        )
        return _refuse(context, name, chunks.file_run, why, skipped)
    if why := _bad_setting(context, file):
        return _refuse(context, name, chunks.file_run, why, skipped)
    if skipped.count:
        put_json(objects, skipped_name(chunks.file_run), skipped.document())
    put_json(objects, layout.node_features(chunks.file_run), file.node_feature)
    if context.jobs.external.cluster is not None:
        put_json(objects, layout.node_columns(chunks.file_run), node_columns(file.node_feature))
    latest = latest_time(arrival_s, clock_skew_s)
    plans = [
        RunPlan(
            run=run,
            file_run=chunks.file_run,
            file=name,
            sha256=digest,
            tenant=owner,
            chunks=tuple(chunks.runs[owner]),
            skipped=skipped.count,
            options={
                "cluster_config": file.cluster_config,
                "config": file.config,
                TIMES: {LATEST: None if math.isinf(latest) else latest},
            },
            form=FORM,
        )
        for owner, run in chunks.names.items()
    ]
    for plan in plans:
        ranges = [{"unique_id": each.unique_id, "first": each.first, "alerts": each.records} for each in plan.chunks]
        put_json(objects, layout.chunk_ranges(plan.run), ranges)
        put_json(objects, plan_name(plan.run), plan)
    alerts = sum(each.records for plan in plans for each in plan.chunks)
    done = FilePlan(name, tuple(plan.run for plan in plans), alerts, skipped.count)
    put_json(objects, file_plan_name(chunks.file_run), done)
    return done


def _bad_setting(context: Context, file: AlertFile) -> str:
    """Return what is wrong with a file's settings; jobs elsewhere know their own."""
    external = context.jobs.external
    try:
        if external.cluster is None:
            ClusterConfig.from_request(file.cluster_config)
        if external.flow is None:
            FlowConfig.from_request(file.config)
    except UnprocessableError as error:
        return str(error)
    return ""


def _gather(file: AlertFile, chunks: _Chunks, skipped: _SkippedAlerts) -> str:
    """Read a file into chunks; return why it cannot be read to its end, or an empty text."""
    try:
        for each in itertools.chain.from_iterable(file):
            if each.alert is None:
                skipped.add(each)
            else:
                _add(each, each.alert, chunks, skipped)
    except BrokenJsonError as error:
        return f"not JSON: {error}"
    except (BrokenGzipError, BrokenPartError, BudgetError, PackedFileError) as error:
        return str(error)
    return ""


def _add(item: InputItem, alert: Alert, chunks: _Chunks, skipped: _SkippedAlerts) -> None:
    """Add an alert to its tenant's chunk, or to those that are skipped where it names another tenant than it may.

    Raises:
        BudgetError: The file has too many tenants.
    """
    try:
        alert.tenant = chunks.rule.assign(alert, chunks.tenant)
    except AlertFault as fault:
        raw = msgspec.json.encode(alert) if item.raw is None else item.raw
        skipped.add(msgspec.structs.replace(item, alert=None, fault=fault.kept(), raw=raw))
    else:
        chunks.add(alert, item.size)


def _refuse(context: Context, name: str, run: str, why: str, skipped: _SkippedAlerts) -> FilePlan:
    """Say why nothing of a file is taken, where its user looks."""
    if skipped.count:
        put_json(context.objects, skipped_name(run), skipped.document())
    report = {"file": name, "run": run, "error": why, "skipped": skipped.count}
    put_json(context.objects, error_name(run), report)
    plan = FilePlan(name, (), 0, skipped.count, why)
    put_json(context.objects, file_plan_name(run), plan)
    return plan


class _Chunks:
    """Gathers alerts by tenant, and writes a chunk when it is full."""

    def __init__(self, context: Context, file_run: str, chunk_alerts: int, rule: TenantRule, most_tenants: int) -> None:
        self._context, self.file_run, self._chunk_alerts = context, file_run, chunk_alerts
        self.rule, self.tenant, self._tenants = rule, rule.default, CountedTenants(most_tenants)
        self._waiting: dict[str, list[Alert]] = {}
        self._sizes: Counter[str] = Counter()  # bytes of JSON that wait
        self._count = self._bytes = 0
        self.names: dict[str, str] = {}
        self.runs: dict[str, list[ChunkPlan]] = {}

    def add(self, alert: Alert, size: int) -> None:
        self._tenants.add(alert.tenant)
        waiting = self._waiting.setdefault(alert.tenant, [])
        waiting.append(alert)
        self._count += 1
        self._bytes += size
        self._sizes[alert.tenant] += size
        if len(waiting) >= self._chunk_alerts:
            self._write(alert.tenant)
        elif self._bytes >= CHUNK_BYTES:
            self._write(max(self._waiting, key=self._sizes.__getitem__))
        elif self._count >= FLUSH_CHUNKS * self._chunk_alerts:
            self._write(max(self._waiting, key=lambda tenant: len(self._waiting[tenant])))

    def flush(self) -> None:
        """Write the alerts that are left."""
        for tenant in list(self._waiting):
            self._write(tenant)

    def _write(self, tenant: str) -> None:
        alerts = self._waiting.pop(tenant)
        self._count -= len(alerts)
        self._bytes -= self._sizes.pop(tenant)
        run = self.names.get(tenant)
        if run is None:
            run = self.file_run if tenant == self.tenant else tenant_run(self.file_run, tenant)
            self.names[tenant] = run
        chunks = self.runs.setdefault(tenant, [])
        first = chunks[-1].first + chunks[-1].records if chunks else 0
        chunk = ChunkPlan(chunk_id(run, len(chunks)), first, len(alerts))
        objects = self._context.objects
        put_json(objects, layout.chunk_alerts(chunk.unique_id), alerts)
        put_json(objects, layout.user_ids(chunk.unique_id), [alert.id for alert in alerts])
        if self._context.is_late():  # then point 4 does it, chunk by chunk, over several tries
            objects.delete(layout.techniques(chunk.unique_id))  # of a try that read other bytes, perhaps
        else:
            resolve_chunk(self._context, chunk.unique_id, alerts)
        chunks.append(chunk)


@dataclass
class _SkippedAlerts:
    """Gathers the elements that cannot be read, in the form in which they can be mended and put again."""

    count: int = 0
    first: str = ""
    _input: list[msgspec.Raw | str | None] = field(default_factory=list)
    _rows: list[msgspec.Raw] = field(default_factory=list)  # as JSON, since there are many
    _bytes: int = 0
    _row_bytes: int = 0

    def add(self, skipped: InputItem) -> None:
        self.count += 1
        if skipped.fault is None:
            return
        reason, message = skipped.fault.reason, skipped.fault.message
        self.first = self.first or f"{reason}: {message}"
        if len(self._rows) >= SKIPPED_ROWS or self._row_bytes >= SKIPPED_BYTES:
            return
        raw = skipped.raw
        if raw is not None:
            self._bytes += len(raw)
        row = {"index": skipped.index, "reason": reason, "message": message}
        self._rows.append(msgspec.Raw(msgspec.json.encode(row)))
        self._row_bytes += len(self._rows[-1])
        self._input.append(_shown(raw) if raw is not None and self._bytes <= SKIPPED_BYTES else None)

    def document(self) -> dict[str, object]:
        return {"count": self.count, "input": self._input, "skipped": self._rows}


def _shown(raw: bytes) -> msgspec.Raw | str:
    """Return an element as it came: as JSON where it is, otherwise, or where it is too much to be read, as text."""
    if is_over_elements(raw):
        return raw.decode("utf-8", "replace")
    try:
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return raw.decode("utf-8", "replace")
    return msgspec.Raw(raw)
