"""The plan of a file: its runs, the chunks of each, and JSON objects that one step leaves for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from app.errors import BudgetError, LocationError
from app.jobs import layout
from app.storage.objects import read_up_to
from app.text import without_bom

if TYPE_CHECKING:
    from app.storage.objects import Objects

T = TypeVar("T")

FORM = 2  # of the objects between steps; a release that changes them counts it up
ORDERED = msgspec.json.Encoder(order="deterministic")
"""Writes the same bytes for the same values: an object written again after a crash is the object written before."""


class ChunkPlan(msgspec.Struct, frozen=True):
    """One chunk of a run: the internal ids of its records are `first` to `first + records - 1`."""

    unique_id: str
    first: int
    records: int = msgspec.field(name="alerts")  # the key of plans that are stored already


class RunPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's part of one file.

    Attributes:
        run: The run's name.
        file_run: The name of the file's run: the same, unless the records name a tenant.
        file: The input object's name.
        sha256: Of its bytes.
        tenant: The owner of the records.
        chunks: In the file's order.
        skipped: How many elements of the file could not be read, of whatever tenant.
        options: The file's own settings, by the key that they have in it.
        form: The form of the objects between its steps.
    """

    run: str
    file_run: str
    file: str
    sha256: str
    tenant: str
    chunks: tuple[ChunkPlan, ...]
    skipped: int = 0
    options: dict[str, dict[str, Any]] = {}
    form: int = 1  # of plans without the field

    def check_form(self) -> None:
        """Refuse a run that an earlier release began, since its objects between steps have another form.

        Raises:
            LocationError: It is one.
        """
        if self.form != FORM:
            raise LocationError(
                f"run {self.run}: an earlier release began it; let that release end it, or put {self.file} again "
                "under another name"
            )


class FilePlan(msgspec.Struct, frozen=True):
    """The runs of one file; the last object that the first step writes."""

    file: str
    runs: tuple[str, ...]
    records: int = msgspec.field(name="alerts")  # the key of plans that are stored already
    skipped: int
    error: str = ""


def read_plan(objects: Objects, run: str) -> RunPlan:
    """Return a run's plan.

    Raises:
        LocationError: There is no such run here.
    """
    return need(objects, layout.plan_name(run), RunPlan)


def read_chunk(objects: Objects, chunk: str) -> tuple[RunPlan, int]:
    """Return the plan of a chunk's run, and the chunk's index in it.

    Raises:
        LocationError: There is no such chunk here.
    """
    try:
        run, index = layout.split_chunk_id(chunk)
    except ValueError:
        raise LocationError(f"{objects.root}: {chunk!r} is no chunk's id") from None
    plan = read_plan(objects, run)
    if not 0 <= index < len(plan.chunks):
        raise LocationError(f"{objects.root}: run {run} has {len(plan.chunks)} chunks, and none is {chunk}")
    return plan, index


def need(objects: Objects, name: str, kind: type[T]) -> T:
    """Return an object that an earlier step has written.

    Raises:
        LocationError: It is not there, or not of the type.
    """
    data = objects.get(name)
    if data is None:
        raise LocationError(f"{objects.root}/{name}: there is no such object: run the step before this one first")
    return decoded(data, kind, f"{objects.root}/{name}")


def get_within(objects: Objects, name: str, most_bytes: int) -> bytes | None:
    """Return the bytes of an object that a job elsewhere may have written; None where there is none.

    Raises:
        BudgetError: It has more bytes than it may.
    """
    data = read_up_to(objects, name, most_bytes + 1)
    if data is not None and len(data) > most_bytes:
        raise BudgetError(f"{objects.root}/{name}: more than {most_bytes} bytes: put fewer records into a chunk")
    return data


def decoded(data: bytes, kind: type[T], label: str) -> T:
    """Return JSON as a type.

    Raises:
        LocationError: It is not of it; the line gives the position, and quotes no value.
    """
    try:
        return msgspec.json.decode(without_bom(data), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        where = str(error).rpartition(" - at ")[2].strip("`") if " - at " in str(error) else ""
        raise LocationError(f"{label}: not what this step reads{' at ' + where if where else ''}") from None


def put_json(objects: Objects, name: str, value: Any) -> None:  # noqa: ANN401 - whatever msgspec encodes
    """Write a value as JSON, whole or not at all, the same bytes each time."""
    objects.put(name, ORDERED.encode(value))
