"""What is written between the steps of a run: its plan, and what each alert was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from app.domains.alerts.files import layout
from app.errors import LocationError

if TYPE_CHECKING:
    from app.domains.alerts.files.bucket import Bucket

T = TypeVar("T")

ORDERED = msgspec.json.Encoder(order="deterministic")
"""Writes the same bytes for the same values: what is written again after a crash is what was written before."""


class ChunkPlan(msgspec.Struct, frozen=True):
    """One chunk of a run: its internal ids are `first` to `first + alerts - 1`."""

    unique_id: str
    first: int
    alerts: int


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's alerts of one file.

    Attributes:
        run: The run's name.
        file_run: The name of the file's run: the same, unless the alerts name a tenant.
        file: The input object's name.
        sha256: Of its bytes.
        tenant: Whose the alerts are.
        chunks: In the file's order.
        skipped: How many elements of the file could not be read, of whatever tenant.
        cluster_config: As the file has it.
        config: The flow's, as the file has it.
    """

    run: str
    file_run: str
    file: str
    sha256: str
    tenant: str
    chunks: tuple[ChunkPlan, ...]
    skipped: int = 0
    cluster_config: dict[str, Any] = {}
    config: dict[str, Any] = {}


class FilePlan(msgspec.Struct, frozen=True):
    """The runs of one file; written last of all that the first step writes."""

    file: str
    runs: tuple[str, ...]
    alerts: int
    skipped: int
    error: str = ""


def read_plan(bucket: Bucket, run: str) -> RunPlan:
    """A run's plan.

    Raises:
        LocationError: There is no such run here.
    """
    return need(bucket, plan_name(run), RunPlan)


def read_chunk(bucket: Bucket, unique: str) -> tuple[RunPlan, int]:
    """The plan of a chunk's run, and the chunk's place in it.

    Raises:
        LocationError: There is no such chunk here.
    """
    run, place = layout.split_unique_id(unique)
    plan = read_plan(bucket, run)
    if not 0 <= place < len(plan.chunks):
        raise LocationError(f"{bucket.root}: run {run} has {len(plan.chunks)} chunks, and none is {unique}")
    return plan, place


def plan_name(run: str) -> str:
    """The name of a run's plan."""
    return f"{layout.INTERMEDIATE}{run}/plan.json"


def file_plan_name(file_run: str) -> str:
    """The name of the list of a file's runs."""
    return f"{layout.INTERMEDIATE}{file_run}/file.json"


def need(bucket: Bucket, name: str, kind: type[T]) -> T:
    """An object that an earlier step has written.

    Raises:
        LocationError: It is not there, or not of the type.
    """
    data = bucket.get(name)
    if data is None:
        raise LocationError(f"{bucket.root}/{name}: there is no such object: run the step before this one first")
    return decoded(data, kind, f"{bucket.root}/{name}")


def decoded(data: bytes, kind: type[T], what: str) -> T:
    """JSON as a type.

    Raises:
        LocationError: It is not of it; the line says where, and quotes no value.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        place = str(error).rpartition(" - at ")[2].strip("`") if " - at " in str(error) else ""
        raise LocationError(f"{what}: not what this step reads{' at ' + place if place else ''}") from None


def put_json(bucket: Bucket, name: str, value: Any) -> None:  # noqa: ANN401 - whatever msgspec encodes
    """Writes a value as JSON, whole or not at all, the same bytes each time."""
    bucket.put(name, ORDERED.encode(value))
