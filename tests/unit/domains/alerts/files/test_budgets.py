"""Answers of jobs elsewhere and files of large alerts that would become too much in memory."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from app.domains.alerts.files import cut, external
from app.domains.alerts.files.driver import run_file
from app.domains.alerts.files.protocol import ExternalJobs
from app.errors import BudgetError, LocationError
from app.jobs.plan import ChunkPlan, get_within
from app.storage.objects import MemoryObjects
from tests.unit.domains.alerts.files.files_for_tests import alert, put_input, small_context

if TYPE_CHECKING:
    from app.storage.objects import Objects

CHUNK = ChunkPlan("run.00000", 0, 3)


def archive(
    clusters: bytes = b"[]", alerts: bytes = b"[]", members: int = 0, method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as file:
        file.writestr("cluster_output.json", clusters)
        file.writestr("alert_output.json", alerts)
        for number in range(members):
            file.writestr(str(number), b"")
    return target.getvalue()


class TestArchives:
    def test_one_that_inflates_to_too_much_is_not_inflated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(external, "LARGEST_INFLATED_BYTES", 10_000)
        read = 0
        inner = zipfile.ZipExtFile.read

        def counted(self: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
            nonlocal read
            data = inner(self, n)
            read += len(data)
            return data

        monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
        for answer in (archive(b" " * 1_000_000), archive(b" " * 6_000, b" " * 6_000)):
            read = 0
            with pytest.raises(BudgetError, match=r"^label: more than 10000 bytes inflated: put fewer alerts"):
                external.answered_clusters(answer, CHUNK, "label")
            assert read <= 10_001

    def test_too_many_values_are_not_parsed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(external, "MOST_ANSWER_ELEMENTS", 1_000)
        for answer in (archive(b"[" + b"{}," * 999 + b"{}]"), archive(alerts=b"[" + b"0," * 8_000 + b"0]")):
            with pytest.raises(BudgetError, match=r"^label: (cluster|alert)_output.json: more than 1000 values"):
                external.answered_clusters(answer, CHUNK, "label")

    def test_members_that_nobody_reads_are_not_listed(self) -> None:
        with pytest.raises(BudgetError, match=r"^label: more than 1000 members"):
            external.answered_clusters(archive(members=1_000), CHUNK, "label")
        assert external.answered_clusters(archive(members=5), CHUNK, "label") == []

    @pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    def test_a_method_that_takes_memory_of_its_own_is_refused(self, method: int) -> None:
        with pytest.raises(LocationError, match=r"^label: no ZIP archive, packed by deflate, with"):
            external.answered_clusters(archive(method=method), CHUNK, "label")

    def test_an_id_that_is_named_again_and_again_makes_no_long_list(self) -> None:
        clusters = [{"cluster_id": number, "cluster_aggalertids": [0] * 2_000} for number in range(100)]
        alerts = [{"aggalert_id": 0, "ids": [0] * 20_000}]
        answer = archive(json.dumps(clusters).encode(), json.dumps(alerts).encode())
        with pytest.raises(LocationError, match="alert 0 is in two clusters"):
            external.answered_clusters(answer, CHUNK, "label")


def test_answers_of_lines_have_a_budget_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "MOST_ANSWER_ELEMENTS", 100)
    lines = b'{"raw_alert": "x", "labels": {"techniques": []}}\n' * 30
    with pytest.raises(BudgetError, match=r"^label: more than 100 values"):
        external.answered_techniques([], [], lines, "label")
    with pytest.raises(BudgetError, match=r"^label: more than 100 values"):
        external.answered_flows(b'{"output": {"flow_output": []}}\n' * 60, {}, "label")


@pytest.mark.parametrize("step", ["classification_out", "cluster_out", "flow_out"])
def test_an_answer_with_too_many_bytes_is_not_read(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Much:
        def submit(self, bucket: Objects, *call: Any) -> None:
            bucket.put(call[0].response if len(call) == 1 else call[1], b"x" * 5_000)

    monkeypatch.setattr(external, "LARGEST_ANSWER_BYTES", 4_000)
    monkeypatch.setattr("app.domains.alerts.files.clusters.LARGEST_ANSWER_BYTES", 4_000)
    job = Much()
    jobs = {
        "classification_out": ExternalJobs(technique=job),
        "cluster_out": ExternalJobs(cluster=job),
        "flow_out": ExternalJobs(flow=job),
    }[step]
    bucket = MemoryObjects()
    with pytest.raises(BudgetError, match=f"/{step}/.*: more than 4000 bytes: put fewer records into a chunk"):
        run_file(small_context(bucket, external=jobs), put_input(bucket, [alert(1), alert(2)]))
    assert list(bucket.names("output/")) == []


def test_an_object_within_its_bytes_is_read_whole() -> None:
    bucket = MemoryObjects({"a": b"1234"})
    assert (get_within(bucket, "a", 4), get_within(bucket, "b", 4)) == (b"1234", None)


def test_a_chunk_is_cut_by_its_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "CHUNK_BYTES", 10_000)
    large = [alert(number, other_attributes_dict={"x": "x" * 3_000}) for number in range(8)]
    bucket = MemoryObjects()
    [run] = run_file(small_context(bucket), put_input(bucket, large)).runs
    plan = json.loads(bucket.objects[f"scratch/intermediate/{run}/plan.json"])
    assert [each["alerts"] for each in plan["chunks"]] == [4, 4]


def test_an_element_with_too_many_values_is_kept_as_text() -> None:
    many = b'{"Records":[' + b"[]," * 600_000 + b"[]]}"
    bucket = MemoryObjects({"input/day.json": many})
    done = run_file(small_context(bucket), "input/day.json")
    assert (done.alerts, done.skipped) == (0, 1)
    [name] = bucket.names("skipped_events/")
    skipped = json.loads(bucket.objects[name])
    assert skipped["input"] == [many.decode()]
    assert skipped["skipped"][0]["reason"] == "too_many_elements"
