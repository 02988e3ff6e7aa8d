"""The parts of the file path: names, a folder's store, what stands between two steps."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.domains.alerts.files import clusters, handlers, layout
from app.domains.alerts.files.driver import run_file
from app.domains.alerts.files.external import answered_clusters
from app.domains.alerts.files.layout import LAYOUT
from app.domains.alerts.files.techniques import process_enriched, read_enriched
from app.errors import LocationError, RequestError, UnacknowledgedError, UnprocessableError
from app.jobs.events import located
from app.jobs.plan import ChunkPlan, read_plan
from app.storage.objects import FolderObjects, MemoryObjects
from tests.unit.domains.alerts.files.files_for_tests import alert, put_input, small_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from app.handlers.base import LambdaHandler


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("input/a.json", ("", "input/a.json", layout.ENRICH)),
        ("a/b/input/c/d", ("a/b", "input/c/d", layout.ENRICH)),
        ("input/scratch/output/classification/x/input.json", ("", None, layout.ENRICH)),
        ("lookup/x.csv", ("", None, layout.UPDATE_LOOKUP)),
        ("scratch/output/classification/r.00000/input.json", ("", None, layout.CREATE_CLUSTER)),
        ("p/scratch/response/cluster_out/r.00000/7/input.zip.out", ("p", None, layout.PROCESS_CLUSTER)),
        ("scratch/output/cluster/r/input_flow.json", ("", None, layout.CREATE_FLOW)),
        ("scratch/response/flow_out/r/input_flow.json.out", ("", None, layout.PROCESS_FLOW)),
    ],
)
def test_what_an_object_starts(key: str, found: tuple[str, str | None, str]) -> None:
    root, name, step = found
    assert LAYOUT.arrival(key) == (root, name or key.removeprefix(f"{root}/" if root else ""), step)


@pytest.mark.parametrize(
    "key",
    ["input/", "input", "output/r/cluster.json", "my-input/a.json", "lookup/a.txt", "state/x/input.json", "inputs/a"],
)
def test_what_starts_nothing(key: str) -> None:
    assert LAYOUT.arrival(key) is None


@pytest.mark.parametrize("place", ["00001", "99999", "-1"])
def test_a_chunk_that_is_not_there_is_one_line(place: str) -> None:
    context = small_context(MemoryObjects())
    [run] = run_file(context, put_input(context.objects, [alert(1)])).runs
    steps: list[Callable[[str], object]] = [
        lambda unique: process_enriched(context, unique),
        lambda unique: clusters.create(context, unique),
        lambda unique: clusters.commit(context, unique, 1),
    ]
    for step in steps:
        with pytest.raises(LocationError, match=f"run {run} has 1 chunks, and none is"):
            step(f"{run}.{place}")


def test_a_damaged_response_is_one_line() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        rows = [{"aggalert_id": number, "ids": [number]} for number in range(200)]
        archive.writestr("cluster_output.json", "[]")
        archive.writestr("alert_output.json", json.dumps(rows))
    data = target.getvalue()
    for at in range(30, len(data)):
        with contextlib.suppress(LocationError):
            answered_clusters(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :], ChunkPlan("run.00000", 0, 9), "it")


def test_a_location_is_in_s3_and_of_the_step() -> None:
    assert located("s3://b/p/input/a b.json", layout.ENRICH, LAYOUT) == ("s3://b/p", "input/a b.json")
    for location in ("s3://b/input/a.json", "s3:///scratch/output/cluster/r/input_flow.json", "folder"):
        with pytest.raises(RequestError, match=r"^\$\.location: give s3://"):
            located(location, layout.CREATE_FLOW, LAYOUT)


def test_what_a_file_knows_of_its_hosts_comes_to_its_alerts_wherever_it_stands() -> None:
    bucket = MemoryObjects()
    name = put_input(bucket, [alert(1, "h1", "h2")], node_feature={"h2": {"userid": "ada"}})
    [run] = run_file(small_context(bucket), name).runs
    plan = read_plan(bucket, run)
    [each] = read_enriched(bucket, plan, plan.chunks[0].unique_id)
    assert each.alert.other_attributes["user"] == "ada"


def test_the_ids_of_a_run_can_be_found_again() -> None:
    bucket = MemoryObjects()
    [run] = run_file(small_context(bucket), put_input(bucket, [alert(n) for n in range(5)]), 2).runs
    ranges = json.loads(bucket.objects[f"scratch/intermediate/{run}/internal_id_to_unique_id.json"])
    assert [(each["first"], each["alerts"]) for each in ranges] == [(0, 2), (2, 2), (4, 1)]
    users = [
        json.loads(bucket.objects[f"scratch/intermediate/{each['unique_id']}/internal_id_to_user_id.json"])
        for each in ranges
    ]
    assert users == [["a0", "a1"], ["a2", "a3"], ["a4"]]


def test_a_file_that_is_put_anew_while_it_is_read_is_tried_again() -> None:
    class Changing(MemoryObjects):
        reads = 0

        def blocks(self, name: str) -> Iterator[bytes]:
            self.reads += 1
            if self.reads == 2:
                put_input(self, [alert(7)], name)
            return super().blocks(name)

    bucket = Changing()
    name = put_input(bucket, [alert(1)])
    with pytest.raises(UnacknowledgedError, match="replaced while"):
        run_file(small_context(bucket), name)
    assert list(bucket.names("output/")) == []
    [run] = run_file(small_context(bucket), name).runs
    assert [row["ids"] for row in json.loads(bucket.objects[f"output/{run}/cluster.json"])] == [["a7"]]


@pytest.mark.parametrize("name", ["scratch/response/cluster_out/x/1/input.zip.out", "elsewhere"])
def test_a_response_is_known_by_its_name(name: str) -> None:
    with pytest.raises(UnprocessableError, match="no response about clusters"):
        layout.chunk_and_version(name)


def test_a_run_that_is_not_there_is_one_line() -> None:
    with pytest.raises(LocationError, match="run the step before this one first"):
        clusters.create(small_context(MemoryObjects()), "nothing.00000")


def test_a_file_of_many_tenants_is_cut_within_bounds(tmp_path: Path) -> None:
    bucket = FolderObjects(tmp_path)
    alerts = [alert(n, tenant=f"t{n % 5}") for n in range(23)]
    done = run_file(small_context(bucket), put_input(bucket, alerts), chunk_alerts=3)
    assert (len(done.runs), done.alerts, len(done.manifests)) == (5, 23, 5)


@pytest.mark.parametrize(
    "handler",
    [
        handlers.EnrichWithTechniqueHandler,
        handlers.ProcessEnrichedWithTechniqueHandler,
        handlers.UpdateLookupTableHandler,
        handlers.CreateClusterHandler,
        handlers.ProcessClusterHandler,
        handlers.CreateFlowHandler,
        handlers.ProcessFlowHandler,
    ],
)
def test_each_handler_says_what_it_takes_and_gives(handler: type[LambdaHandler[Any, Any]]) -> None:
    assert "location" in json.dumps(handler.request_schema())
    assert handler.response_schema()
    assert handler.summary().endswith(".")
    with pytest.raises(RequestError, match="unknown field"):
        handler.decode({"location": "s3://b/k", "else": 1})
    assert msgspec.json.encode(handler.request_schema())


@pytest.mark.parametrize(
    ("location", "allowed"),
    [
        ("s3://bucket/secrets.csv", ""),
        ("s3://bucket/lookup/secrets.txt", ""),
        ("s3://bucket/lookup", ""),
        ("/etc/passwd", ""),
        ("s3://bucket/lookup/a.csv", "s3://bucket/analysts"),
        ("s3://bucket/analysts2/lookup/a.csv", "s3://bucket/analysts"),
        ("s3://bucket/analysts/../lookup/a.csv", "s3://bucket/analysts"),
        ("s3://other/analysts/lookup/a.csv", "s3://bucket"),
        ("/etc/passwd", "/etc"),
        ("/etc/lookup/a.csv", "/etc"),
    ],
)
def test_corrections_are_read_only_from_where_they_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str, allowed: str
) -> None:
    monkeypatch.setattr(handlers, "read_location", lambda _: pytest.fail("it was read"))
    for name, value in {"LOOKUP_TABLE": str(tmp_path / "table.csv"), "ALLOWED_LOCATIONS": allowed}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        RequestError, match=r"^\$\.location: (give s3://bucket/|.* is below none of ALLOWED_LOCATIONS$)"
    ):
        handlers.UpdateLookupTableHandler.get_handler()({"location": location})


@pytest.mark.parametrize(
    ("location", "allowed"),
    [
        ("s3://bucket/lookup/a.csv", ""),
        ("s3://bucket/site/lookup/a.csv", ""),
        ("s3://bucket/analysts/a.csv", "s3://bucket/analysts"),
        ("s3://bucket/lookup/a.csv", "s3://other,s3://bucket"),
    ],
)
def test_corrections_are_read_from_where_they_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str, allowed: str
) -> None:
    monkeypatch.setattr(handlers, "read_location", lambda _: b'alerts,techniques\nport scan,"[""T1046""]"\n')
    for name, value in {"LOOKUP_TABLE": str(tmp_path / "table.csv"), "ALLOWED_LOCATIONS": allowed}.items():
        monkeypatch.setenv(name, value)
    assert handlers.UpdateLookupTableHandler.get_handler()({"location": location})["taken"] == 1


def test_a_step_works_only_where_it_may() -> None:
    """It reads and writes anywhere below its root, so that the root has to be allowed."""
    name = "s3://bucket/site/input/a.json"
    assert located(name, layout.ENRICH, LAYOUT, ["s3://bucket/site"]) == ("s3://bucket/site", "input/a.json")
    for allowed in ("s3://bucket/site/input", "s3://bucket/site2", "s3://bucket2"):
        with pytest.raises(RequestError, match="below none of ALLOWED_LOCATIONS"):
            located(name, layout.ENRICH, LAYOUT, [allowed])
