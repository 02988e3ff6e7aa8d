"""Jobs elsewhere: they read the request objects as they stand in S3, and answer in the reference's own lines."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from app.domains.alerts.files.driver import do_step, run_file
from app.domains.alerts.files.protocol import ExternalJobs
from app.errors import LocationError
from app.storage.objects import MemoryObjects
from tests.unit.domains.alerts.files.files_for_tests import (
    alert,
    put_input,
    small_context,
)

if TYPE_CHECKING:
    from app.domains.alerts.files.protocol import ClusterCall
    from app.storage.objects import Objects


class TechniquesElsewhere:
    """A transform job that answers text by text, with labels and nothing more."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def submit(self, bucket: Objects, request: str, response: str) -> None:
        lines = [json.loads(line) for line in (bucket.get(request) or b"").splitlines()]
        self.lines += lines
        answers = [
            {"raw_alert": line["input"], "labels": {"techniques": ["T1046"] if "scan" in line["input"] else []}}
            for line in lines
        ]
        bucket.put(response, "\n".join(map(json.dumps, answers)).encode())


class ClustersElsewhere:
    """A transform job that knows only the request: one cluster a source, in a ZIP archive as the reference has it."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def submit(self, bucket: Objects, call: ClusterCall) -> None:
        [line] = (bucket.get(call.request) or b"").splitlines()
        request = json.loads(line)
        self.requests.append(request)
        known = json.loads(bucket.get(call.state) or b"{}") if call.state else {}
        rows: dict[int, list[int]] = {}
        alerts = []
        for number, each in enumerate(request["input"]):
            cluster = known.setdefault(each["src"], len(known))
            rows.setdefault(cluster, []).append(number)
            alerts.append({"aggalert_id": number, "ids": [each["id"]], "tech": each["tech"], "tac": [], "stage": []})
        clusters = [{"cluster_id": cluster, "cluster_aggalertids": ids} for cluster, ids in rows.items()]
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("cluster_output.json", json.dumps(clusters))
            archive.writestr("alert_output.json", json.dumps(alerts))
        bucket.put(call.next_state, json.dumps(known).encode())
        bucket.put(call.response, target.getvalue())


class FlowsElsewhere:
    """A transform job that makes one flow of all clusters."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def submit(self, bucket: Objects, request: str, response: str) -> None:
        self.requests.append(json.loads(bucket.get(request) or b""))
        ids = [row["cluster_id"] for row in self.requests[-1]["input"]]
        answer = [{"output": {"flow_output": [{"Flow_id": 7, "cluster_ids": sorted(ids), "cluster_prob": 0.25}]}}]
        bucket.put(response, json.dumps(answer).encode())


class Later:
    """A job that has been started, and answers when it likes."""

    def submit(self, *_: Any) -> None:
        pass


ALERTS = [
    alert(0, "h0", "h1", other_attributes_dict={"port": 22, "rule": "x", "url": "http://a"}),
    alert(1, "h2", "h3", "something new"),
    alert(2, "h0", "h1"),
    alert(3, "h0", "h9", tech=["T1059"]),
    alert(4, "h2", "h2"),
]
NODES = {"h0": {"os": "Linux", "group": "HR"}, "h9": {"os": "Linux", "risk": 0}, "elsewhere": {"os": "x"}}


def read(bucket: Objects, name: str) -> Any:
    return json.loads(bucket.get(name) or b"null")


def test_all_three_jobs_elsewhere() -> None:
    bucket, jobs = MemoryObjects(), ExternalJobs(TechniquesElsewhere(), ClustersElsewhere(), FlowsElsewhere())
    name = put_input(bucket, ALERTS, node_feature=NODES, cluster_config={"mu": 7}, config={"steps": 3})
    [run] = run_file(small_context(bucket, external=jobs), name, chunk_alerts=3).runs

    assert isinstance(jobs.technique, TechniquesElsewhere)
    texts = [[line["request_id"], line["input"]] for line in jobs.technique.lines]
    assert texts == [["1", "port scan"], ["2", "something new"], ["1", "port scan"]]  # each once a chunk; own ids never

    assert isinstance(jobs.cluster, ClustersElsewhere)
    first, second = jobs.cluster.requests
    assert set(first) == {"request_id", "input", "user_feedback_weights", "cluster_config", "node_feature"}
    assert (first["request_id"], first["cluster_config"]) == ("1", {"mu": 7})
    assert [each["id"] for each in first["input"] + second["input"]] == [0, 1, 2, 3, 4]  # internal, over all chunks
    attributes = first["input"][0]["other_attributes_dict"]
    assert (attributes["empty"], attributes["port"], attributes["url"]) == (False, 22, "http://a")
    assert isinstance(attributes["rule"][0], int)
    assert first["input"][1]["other_attributes_dict"] == {"empty": True}
    assert [each["tech"] for each in first["input"]] == [["T1046"], [], ["T1046"]]
    columns = read(bucket, f"scratch/intermediate/{run}/node_feature_lookup.json")
    assert columns == {"group": 0, "os": 1, "risk": 2}
    assert set(first["node_feature"]) == {"h0"}  # those of the chunk
    linux = first["node_feature"]["h0"][1]
    assert linux > 0
    assert second["node_feature"]["h9"][1] == linux  # one code for one value
    assert second["node_feature"]["h9"][2] > 0  # 0 is a value: what is missing is 0 alone
    assert second["node_feature"]["h9"][0] == 0

    assert isinstance(jobs.flow, FlowsElsewhere)
    [flow_request] = jobs.flow.requests
    assert (flow_request["request_id"], flow_request["config"]) == ("1", {"steps": 3})
    assert [row["cluster_id"] for row in flow_request["input"]] == [1, 0]  # the newest first
    row = flow_request["input"][1]
    assert (row["cluster_starttime"], row["cluster_endtime"]) == (1000.0, 1003.0)
    assert row["cluster_techs"] == ["T1046", "T1059"]
    assert (7 in row["cluster_tacs"], min(row["cluster_stages"]) >= 0) == (True, True)  # T1046 is of TA0007
    assert row["cluster_ips"] == ["h0", "h1", "h9"]

    clusters = read(bucket, f"output/{run}/cluster.json")
    assert [(each["cluster_id"], each["ids"]) for each in clusters] == [(0, ["a0", "a2", "a3"]), (1, ["a1", "a4"])]
    [flow] = read(bucket, f"output/{run}/flow.json")
    assert (flow["flow_id"], flow["cluster_prob"]) == (7, 0.25)
    assert sorted(flow["ids"]) == ["a0", "a1", "a2", "a3", "a4"]


def test_a_run_waits_for_a_job_and_goes_on_when_its_answer_arrives() -> None:
    bucket = MemoryObjects()
    name = put_input(bucket, ALERTS)
    waiting = run_file(small_context(bucket, external=ExternalJobs(Later(), Later(), Later())), name)
    assert waiting.manifests == []
    assert list(bucket.names("output/")) == []
    context = small_context(bucket)
    [request] = [each for each in bucket.names() if each.endswith("/input_classification.json")]
    response = request.replace("intermediate", "response/classification_out") + ".out"
    TechniquesElsewhere().submit(bucket, request, response)
    arrived = [response]
    while arrived:  # as the bucket's events would have it
        arrived += do_step(context, arrived.pop(0))
    assert len([each for each in bucket.names("output/") if each.endswith("manifest.json")]) == 1


def test_answers_in_another_order_are_told_by_their_text() -> None:
    class Backwards(TechniquesElsewhere):
        def submit(self, bucket: Objects, request: str, response: str) -> None:
            super().submit(bucket, request, response)
            lines = (bucket.get(response) or b"").splitlines()
            bucket.put(response, b"\n".join(reversed(lines)))

    bucket, jobs = MemoryObjects(), ExternalJobs(Backwards(), ClustersElsewhere(), FlowsElsewhere())
    run_file(small_context(bucket, external=jobs), put_input(bucket, ALERTS))
    assert isinstance(jobs.cluster, ClustersElsewhere)
    [request] = jobs.cluster.requests
    assert [each["tech"] for each in request["input"]] == [["T1046"], [], ["T1046"], ["T1059"], ["T1046"]]


ALL_ELSEWHERE = ("classification_out", "cluster_out", "flow_out")


@pytest.mark.parametrize(
    ("step", "answer", "words"),
    [
        ("classification_out", b'{"raw_alert": "x"}\n{"raw_alert": 5}', "line 2 is not of the form"),
        ("classification_out", b"<html>", "line 1 is not of the form"),
        ("cluster_out", b"<html>", "no ZIP archive"),
        ("cluster_out", b"PK<html>", "no ZIP archive"),
        ("flow_out", b"<html>", "not what this step reads"),
        ("flow_out", b'[{"output": {}}]', "not what this step reads"),
    ],
)
def test_an_answer_that_is_none_is_one_line_and_counts_for_nothing(step: str, answer: bytes, words: str) -> None:
    class Broken(MemoryObjects):
        def put(self, name: str, data: bytes) -> None:
            super().put(name, answer if f"/{step}/" in name else data)

    bucket = Broken()
    name, shared = put_input(bucket, ALERTS), bucket.objects
    jobs = ExternalJobs(TechniquesElsewhere(), ClustersElsewhere(), FlowsElsewhere())
    context = small_context(bucket, external=jobs)
    with pytest.raises(LocationError, match=words) as caught:
        run_file(context, name)
    assert "\n" not in str(caught.value)
    assert list(bucket.names("output/")) == []
    mended = MemoryObjects({each: data for each, data in shared.items() if f"/{step}/" not in each})
    done = run_file(small_context(mended, context.store, external=jobs), name)
    assert len(done.manifests) == 1


SUMMARY: dict[str, Any] = {
    "cluster_id": 1, "alerts": 2, "start_time": 1.0, "end_time": 2.0, "srcs": [], "dsts": [], "entities": [],
    "techniques": ["T9999"], "tactics": [], "steps": [],
}  # fmt: skip


def clusters_answer(ids: list[int], **row: Any) -> bytes:
    """An archive with one cluster."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("cluster_output.json", json.dumps([{"cluster_id": 1, "cluster_aggalertids": [0], **row}]))
        archive.writestr("alert_output.json", json.dumps([{"aggalert_id": 0, "ids": ids}]))
    return target.getvalue()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (clusters_answer([5], summary=SUMMARY), "alert 5 is in two clusters, or not in chunk"),
        (clusters_answer([-1]), "alert -1 is in two clusters, or not in chunk"),
        (clusters_answer([2, 2]), "alert 2 is in two clusters, or not in chunk"),
        (clusters_answer([0], cluster_id=2, summary=SUMMARY), "cluster 2 has the summary of 1"),
        (clusters_answer([0], summary=SUMMARY | {"tactics": ["TA9999"]}), "tactics that are no short names"),
    ],
)
def test_clusters_that_cannot_be_a_result_do_not_count(answer: bytes, words: str) -> None:
    class Wrong:
        def submit(self, bucket: Objects, call: ClusterCall) -> None:
            bucket.put(call.next_state, b"{}")
            bucket.put(call.response, answer)

    bucket = MemoryObjects()
    context = small_context(bucket, external=ExternalJobs(cluster=Wrong()))
    name = put_input(bucket, ALERTS)
    with pytest.raises(LocationError, match=words):
        run_file(context, name)
    [response] = [each for each in bucket.names() if each.endswith("/input.zip.out")]
    bucket.delete(response)
    mended = small_context(bucket, context.store, external=ExternalJobs(cluster=ClustersElsewhere()))
    assert len(run_file(mended, name).manifests) == 1


def test_a_summary_with_nothing_in_it_is_a_result() -> None:
    class Little:
        def submit(self, bucket: Objects, call: ClusterCall) -> None:
            bucket.put(call.next_state, b"{}")
            bucket.put(call.response, clusters_answer([0, 1], summary=SUMMARY))

    bucket = MemoryObjects()
    jobs = ExternalJobs(cluster=Little(), flow=FlowsElsewhere())
    assert len(run_file(small_context(bucket, external=jobs), put_input(bucket, ALERTS)).manifests) == 1


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([{"Flow_id": 7, "cluster_ids": [], "cluster_prob": 1}], []),
        ([{"Flow_id": 7, "cluster_ids": [0, 99], "cluster_prob": 1}], []),
        ([{"Flow_id": 7, "cluster_ids": [0], "cluster_prob": 1}], [7]),
        ([{"Flow_id": 7, "cluster_ids": [each], "cluster_prob": 1} for each in (0, 1)], None),
    ],
)
def test_flows_of_no_cluster_are_left_out_and_ids_are_unique(rows: list[Any], kept: list[int] | None) -> None:
    class Rows:
        def submit(self, bucket: Objects, _request: str, response: str) -> None:
            bucket.put(response, json.dumps([{"output": {"flow_output": rows}}]).encode())

    bucket = MemoryObjects()
    context, name = small_context(bucket, external=ExternalJobs(flow=Rows())), put_input(bucket, ALERTS)
    if kept is None:
        with pytest.raises(LocationError, match="two flows have the id 7"):
            run_file(context, name)
        return
    [run] = run_file(context, name).runs
    assert [each["flow_id"] for each in read(bucket, f"output/{run}/flow.json")] == kept


@pytest.mark.parametrize("elsewhere", ALL_ELSEWHERE)
def test_one_job_elsewhere_works_beside_the_models_here(elsewhere: str) -> None:
    jobs = ExternalJobs(
        TechniquesElsewhere() if elsewhere == "classification_out" else None,
        ClustersElsewhere() if elsewhere == "cluster_out" else None,
        FlowsElsewhere() if elsewhere == "flow_out" else None,
    )
    bucket = MemoryObjects()
    [run] = run_file(small_context(bucket, external=jobs), put_input(bucket, ALERTS), chunk_alerts=2).runs
    rows = read(bucket, f"output/{run}/cluster.json")
    assert sorted(each for row in rows for each in row["ids"]) == ["a0", "a1", "a2", "a3", "a4"]
    here = MemoryObjects()
    run_file(small_context(here), put_input(here, ALERTS), chunk_alerts=2)
    assert not any(
        "input_classification.json" in name.rpartition("/")[2] and name.endswith(".json") for name in here.names()
    )


def test_a_run_of_an_earlier_release_is_refused_in_one_line() -> None:
    bucket = MemoryObjects()
    name = put_input(bucket, ALERTS)
    waiting = run_file(small_context(bucket, external=ExternalJobs(Later())), name)
    plan = f"scratch/intermediate/{waiting.runs[0]}/plan.json"
    old = json.loads(bucket.objects[plan]) | {"cluster_config": {}}
    del old["form"]
    bucket.put(plan, json.dumps(old).encode())
    response = f"scratch/response/classification_out/{waiting.runs[0]}.00000/input_classification.json.out"
    bucket.put(response, b"")
    with pytest.raises(LocationError, match="an earlier release began it"):
        do_step(small_context(bucket), response)
