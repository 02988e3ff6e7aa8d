"""Step 1: a file into chunks, and what is to be asked of the technique job.

The order, and what happens when a write fails (a step that is tried again does it all over, and writes the same):

1. Each chunk's alerts, their ids, what is known of their techniques, and its requests. Nothing refers to them yet.
2. What was skipped, the node features, and the plan of each tenant's run. Nothing starts by them.
3. The file's own plan: from here on the file counts as cut up, and a repeated step goes to 4 at once.
4. The technique job of each chunk whose response is not there. Each response starts step 2 of its chunk.

A file that cannot be read gets `output/<run>/error.json`, and nothing of it is taken. It will never succeed as it is,
so the step itself does not fail, and nothing is tried again.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from app.domains.alerts.alert import DEFAULT_TENANT, Alert
from app.domains.alerts.files import encoding, layout
from app.domains.alerts.files.plan import (
    ChunkPlan,
    FilePlan,
    RunPlan,
    decoded,
    file_plan_name,
    plan_name,
    put_json,
    read_plan,
)
from app.domains.alerts.files.room import CHUNK_ALERTS
from app.domains.alerts.files.seam import json_lines, technique_requests
from app.domains.alerts.formats.file import AlertFile, BrokenPartError
from app.domains.alerts.formats.inflate import BrokenGzipError
from app.domains.alerts.formats.scanner import BrokenJsonError
from app.errors import UnacknowledgedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domains.alerts.files.room import Room
    from app.domains.alerts.formats.pieces import InputItem

SKIPPED_BYTES = 32 * 1024 * 1024  # of skipped alerts that are kept whole; beyond it only their reasons
SKIPPED_ROWS = 100_000  # of reasons; the count goes on
READ_TOGETHER = 100  # alerts that are handed on at once, so that reading holds little
FLUSH_CHUNKS = 2  # chunks of alerts that wait in memory, of all tenants together
_AS_TEXT = "utf-8"


def original_input(unique: str) -> str:
    """The name of a chunk's alerts."""
    return f"{layout.INTERMEDIATE}{unique}/original_input.json"


def user_ids(unique: str) -> str:
    """The name of a chunk's list of the users' own ids, by internal id."""
    return f"{layout.INTERMEDIATE}{unique}/internal_id_to_user_id.json"


def known_techniques(unique: str) -> str:
    """The name of what is known of a chunk's techniques before the job is asked."""
    return f"{layout.INTERMEDIATE}{unique}/known.json"


def technique_request(unique: str) -> str:
    """The name of what the technique job is asked about a chunk."""
    return f"{layout.INTERMEDIATE}{unique}/input_classification.json"


def technique_response(unique: str) -> str:
    """The name of what it answers."""
    return f"{layout.TECHNIQUE_RESPONSE}{unique}/input_classification.json.out"


def enrich(room: Room, name: str, chunk_alerts: int = CHUNK_ALERTS, tenant: str = DEFAULT_TENANT) -> FilePlan:
    """Cuts a file into chunks and starts the technique job of each.

    Args:
        room: Where the file is.
        name: The file's.
        chunk_alerts: How many alerts a chunk has at the most.
        tenant: Whose alerts are that name no tenant.

    Raises:
        LocationError: There is no such file.
        UnacknowledgedError: The file was put anew while it was read, or the time is up: the step is to be tried again.
    """
    digest = _digest(room, name)
    file_run = layout.file_run(name, digest if tenant == DEFAULT_TENANT else f"{digest} {tenant}")
    known = room.bucket.get(file_plan_name(file_run))
    if known is None:
        plan = _cut(room, name, digest, _Chunks(room, file_run, chunk_alerts, tenant), tenant)
    else:
        plan = decoded(known, FilePlan, file_plan_name(file_run))
    for run in plan.runs:
        _start(room, run)
    return plan


def responses(room: Room, plan: FilePlan) -> list[str]:
    """The names of a file's technique responses, whether they are there or not."""
    return [technique_response(chunk.unique_id) for run in plan.runs for chunk in read_plan(room.bucket, run).chunks]


def _start(room: Room, run: str) -> None:
    """Starts the technique jobs of a run, unless they are done; where nothing is asked, the empty answer is given."""
    for chunk in read_plan(room.bucket, run).chunks:
        request, response = technique_request(chunk.unique_id), technique_response(chunk.unique_id)
        if room.bucket.get(response) is not None:
            continue
        room.check_time(f"run {run}")
        if room.bucket.get(request):
            room.jobs.technique.submit(room.bucket, request, response)
        else:
            room.bucket.put(response, b"")


def _digest(room: Room, name: str) -> str:
    digest = hashlib.sha256()
    for block in room.bucket.blocks(name):
        digest.update(block)
    return digest.hexdigest()


def _cut(room: Room, name: str, digest: str, chunks: _Chunks, tenant: str) -> FilePlan:
    read = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for block in room.bucket.blocks(name):
            read.update(block)
            yield block

    file_run, skipped = chunks.file_run, _SkippedAlerts()
    file = AlertFile(blocks(), batch=READ_TOGETHER)
    if broken := _gather(file, chunks, skipped, tenant):
        return _refuse(room, name, file_run, f"{broken}; nothing of the file was taken", skipped)
    if read.hexdigest() != digest:
        raise UnacknowledgedError(f"{room.bucket.root}/{name}: put anew while it was read: it is to be tried again")
    chunks.flush()
    if not chunks.runs:
        why = (
            f"none of its {skipped.count} elements is an alert: {skipped.first}"
            if skipped.count
            else 'no alerts in it: put {"input": [...]} there, or an alert a line'
        )
        return _refuse(room, name, file_run, why, skipped)
    if skipped.count:
        put_json(room.bucket, skipped_name(file_run), skipped.document())
    _put_node_features(room, file_run, file.node_feature)
    plans = [
        RunPlan(
            run=run,
            file_run=file_run,
            file=name,
            sha256=digest,
            tenant=whose,
            chunks=tuple(chunks.runs[whose]),
            skipped=skipped.count,
            cluster_config=file.cluster_config,
            config=file.config,
        )
        for whose, run in chunks.names.items()
    ]
    for plan in plans:
        ranges = [{"unique_id": each.unique_id, "first": each.first, "alerts": each.alerts} for each in plan.chunks]
        put_json(room.bucket, f"{layout.INTERMEDIATE}{plan.run}/internal_id_to_unique_id.json", ranges)
        put_json(room.bucket, plan_name(plan.run), plan)
    alerts = sum(each.alerts for plan in plans for each in plan.chunks)
    done = FilePlan(name, tuple(plan.run for plan in plans), alerts, skipped.count)
    put_json(room.bucket, file_plan_name(file_run), done)
    return done


def _gather(file: AlertFile, chunks: _Chunks, skipped: _SkippedAlerts, tenant: str) -> str:
    """Read a file into chunks; return why it cannot be read to its end, or an empty text."""
    try:
        for each in itertools.chain.from_iterable(file):
            if each.alert is None:
                skipped.add(each)
            else:
                each.alert.tenant = each.alert.tenant or tenant
                chunks.add(each.alert)
    except BrokenJsonError as error:
        return f"not JSON: {error}"
    except (BrokenGzipError, BrokenPartError) as error:
        return str(error)
    return ""


def skipped_name(file_run: str) -> str:
    """The name of what could not be read."""
    return f"{layout.SKIPPED}{file_run}/input.json"


def error_name(run: str) -> str:
    """The name of what is wrong with a run as a whole."""
    return f"{layout.OUTPUT}{run}/error.json"


def node_features(file_run: str, part: str) -> str:
    """The name of a file's node features: `node_feature` or `node_feature_lookup`."""
    return f"{layout.INTERMEDIATE}{file_run}/{part}.json"


def _put_node_features(room: Room, file_run: str, nodes: dict[str, dict[str, Any]]) -> None:
    columns = encoding.node_columns(nodes)
    put_json(room.bucket, node_features(file_run, "node_feature_original"), nodes)
    put_json(room.bucket, node_features(file_run, "node_feature_lookup"), columns)
    put_json(room.bucket, node_features(file_run, "node_feature"), encoding.node_rows(nodes, columns, nodes))


def _refuse(room: Room, name: str, file_run: str, why: str, skipped: _SkippedAlerts) -> FilePlan:
    """Says what is wrong with a file, where its user looks."""
    if skipped.count:
        put_json(room.bucket, skipped_name(file_run), skipped.document())
    report = {"file": name, "run": file_run, "error": why, "skipped": skipped.count}
    put_json(room.bucket, error_name(file_run), report)
    plan = FilePlan(name, (), 0, skipped.count, why)
    put_json(room.bucket, file_plan_name(file_run), plan)
    return plan


class _Chunks:
    """Gathers alerts by tenant, and writes a chunk when it is full."""

    def __init__(self, room: Room, file_run: str, chunk_alerts: int, tenant: str) -> None:
        self._room, self.file_run, self._chunk_alerts, self._tenant = room, file_run, chunk_alerts, tenant
        self._waiting: dict[str, list[Alert]] = {}
        self._count = 0
        self.names: dict[str, str] = {}
        self.runs: dict[str, list[ChunkPlan]] = {}

    def add(self, alert: Alert) -> None:
        waiting = self._waiting.setdefault(alert.tenant, [])
        waiting.append(alert)
        self._count += 1
        if len(waiting) >= self._chunk_alerts:
            self._write(alert.tenant)
        elif self._count >= FLUSH_CHUNKS * self._chunk_alerts:
            self._write(max(self._waiting, key=lambda tenant: len(self._waiting[tenant])))

    def flush(self) -> None:
        """Writes what is left."""
        for tenant in list(self._waiting):
            self._write(tenant)

    def _write(self, tenant: str) -> None:
        alerts = self._waiting.pop(tenant)
        self._count -= len(alerts)
        run = self.names.get(tenant)
        if run is None:
            run = self.file_run if tenant == self._tenant else layout.tenant_run(self.file_run, tenant)
            self.names[tenant] = run
        chunks = self.runs.setdefault(tenant, [])
        first = chunks[-1].first + chunks[-1].alerts if chunks else 0
        chunk = ChunkPlan(layout.unique_id(run, len(chunks)), first, len(alerts))
        bucket = self._room.bucket
        put_json(bucket, original_input(chunk.unique_id), alerts)
        put_json(bucket, user_ids(chunk.unique_id), [alert.id for alert in alerts])
        known = self._room.known.resolve(alerts)
        requests, _ = technique_requests(alerts, known)
        put_json(bucket, known_techniques(chunk.unique_id), known)
        bucket.put(technique_request(chunk.unique_id), json_lines(requests))
        chunks.append(chunk)


@dataclass
class _SkippedAlerts:
    """What could not be read, with its reasons, in the form in which it can be mended and put again."""

    count: int = 0
    first: str = ""
    _input: list[msgspec.Raw | str | None] = field(default_factory=list)
    _rows: list[InputItem] = field(default_factory=list)
    _bytes: int = 0

    def add(self, skipped: InputItem) -> None:
        self.count += 1
        if skipped.fault is not None:
            self.first = self.first or f"{skipped.fault.reason}: {skipped.fault.message}"
        if len(self._rows) >= SKIPPED_ROWS:
            return
        raw = skipped.raw
        if raw is not None:
            self._bytes += len(raw)
        self._rows.append(msgspec.structs.replace(skipped, raw=None))
        self._input.append(_shown(raw) if raw is not None and self._bytes <= SKIPPED_BYTES else None)

    def document(self) -> dict[str, object]:
        rows = [
            {"index": row.index, "reason": row.fault.reason, "message": row.fault.message}
            for row in self._rows
            if row.fault is not None
        ]
        return {"count": self.count, "input": self._input, "skipped": rows}


def _shown(raw: bytes) -> msgspec.Raw | str:
    """An element as it came: as JSON where it is, otherwise as text."""
    try:
        msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return raw.decode(_AS_TEXT, "replace")
    return msgspec.Raw(raw)
