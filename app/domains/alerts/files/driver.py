"""All steps of a file in one process, in the order in which a bucket's events would start them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from app.domains.alerts.alert import DEFAULT_TENANT
from app.domains.alerts.files import clusters, enrich, flows, layout, techniques
from app.domains.alerts.files.room import CHUNK_ALERTS
from app.errors import StateConflictError

if TYPE_CHECKING:
    from app.domains.alerts.files.room import Room

STATE_TRIES = 20  # of one step, while other files of the tenant are worked on at the same time


class FileRun(msgspec.Struct, frozen=True):
    """What became of a file.

    Attributes:
        runs: The runs that it was cut into.
        manifests: The lists of their results; a run that waits for a job elsewhere has none yet.
        alerts: How many were read.
        skipped: How many could not be.
        error: Why nothing of the file was taken, or empty.
    """

    runs: list[str]
    manifests: list[str]
    alerts: int
    skipped: int
    error: str = ""


def run_file(room: Room, name: str, chunk_alerts: int = CHUNK_ALERTS, tenant: str = DEFAULT_TENANT) -> FileRun:
    """Works on one file from its alerts to its results; called again after a crash, it goes on where it stood.

    Args:
        room: Where the file is.
        name: The file's, below `input/`.
        chunk_alerts: How many alerts a chunk has at the most.
        tenant: Whose alerts are that name no tenant.

    Raises:
        LocationError: There is no such file.
        MillraceError: A step cannot be done.
    """
    plan = enrich.enrich(room, name, chunk_alerts, tenant)
    waiting = deque(enrich.responses(room, plan))
    manifests: list[str] = []
    while waiting:
        arrived = waiting.popleft()
        if room.bucket.get(arrived) is None:
            continue  # a job elsewhere has not answered
        for written in do_step(room, arrived):
            if written.startswith(layout.OUTPUT):
                manifests.append(written)
            else:
                waiting.append(written)
    return FileRun(list(plan.runs), list(dict.fromkeys(manifests)), plan.alerts, plan.skipped, plan.error)


def do_step(room: Room, arrived: str) -> list[str]:
    """Does the step that an object starts, and gives the objects that start the next one."""
    found = layout.split_location(arrived)
    if found is None:
        return []
    _, name, step = found
    unique = layout.uid_of(name, step)
    for _ in range(STATE_TRIES):
        try:
            return _do(room, name, step, unique)
        except StateConflictError:
            continue
    return _do(room, name, step, unique)


def _do(room: Room, name: str, step: str, unique: str) -> list[str]:
    if step == layout.PROCESS_ENRICHED:
        return techniques.process_enriched(room, unique)
    if step == layout.CREATE_CLUSTER:
        return clusters.create(room, unique)
    if step == layout.PROCESS_CLUSTER:
        return clusters.commit(room, *clusters.chunk_and_version(name))
    if step == layout.CREATE_FLOW:
        return flows.create_flow(room, unique)
    if step == layout.PROCESS_FLOW:
        manifest = flows.process_flow(room, unique)
        return [manifest] if manifest else []
    return []
