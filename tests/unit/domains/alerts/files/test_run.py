"""A file from its alerts to its results, with stand-ins for the models."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.domains.alerts.files import cut, techniques
from app.domains.alerts.files.driver import do_step, run_file
from app.domains.alerts.files.layout import JOB
from app.errors import CloudError, StateConflictError
from app.jobs.head import FolderState, load_head, state_key
from app.storage.objects import FolderObjects, MemoryObjects
from app.storage.state import MemoryState
from tests.unit.domains.alerts.files.files_for_tests import (
    Crash,
    Faulty,
    FaultyObjects,
    FaultyStore,
    SmallModels,
    alert,
    put_input,
    small_context,
    visible,
)

if TYPE_CHECKING:
    from pathlib import Path

    from app.storage.objects import Objects

ALERTS = [
    alert(0, "h0", "h1"),
    alert(1, "k0", "k1"),
    alert(2, "m0", "m0", "new service"),
    alert(3, "h2", "h3", tech=["T1059.001"]),
    {"id": "bad", "time": 5.0, "src": "x", "name": "no dst"},
    alert(4, "h1", "h2", "password guessing"),
    alert(5, "m1", "m1", "something new"),
    alert(6, "k1", "k2"),
]


def read(bucket: Objects, name: str) -> Any:
    return json.loads(bucket.get(name) or b"null")


def test_a_file_becomes_clusters_and_flows(tmp_path: Path) -> None:
    bucket = FolderObjects(tmp_path)
    done = run_file(small_context(bucket), put_input(bucket, ALERTS), chunk_alerts=2)
    assert (done.alerts, done.skipped, done.error) == (7, 1, "")
    [run] = done.runs
    assert done.manifests == [f"output/{run}/manifest.json"]
    clusters = read(bucket, f"output/{run}/cluster.json")
    assert {row["cluster_id"]: row["ids"] for row in clusters} == {
        0: ["a0", "a3", "a4"],  # a4 joined two clusters of earlier chunks
        1: ["a1", "a6"],
        2: ["a2"],
        4: ["a5"],
    }
    assert [(row["flow_id"], row["ids"]) for row in read(bucket, f"output/{run}/flow.json")] == [(2, ["a2", "a5"])]
    first = clusters[0]
    assert (first["start_time"], first["end_time"]) == (1000.0, 1004.0)
    assert (first["src"], first["dst"]) == (["h0", "h2", "h1"], ["h1", "h3", "h2"])
    assert (first["cluster_techs"], first["splunk_query"]) == (["T1046", "T1059.001", "T1110"], "(a0) OR (a3) OR (a4)")
    assert first["merged"] == [3]
    assert "7" in first["cluster_tacs"]  # T1046 serves discovery, TA0007
    tickets = [
        json.loads(line) for line in (bucket.get(f"output/{run}/cluster_ticket_output.json") or b"").splitlines()
    ]
    assert [(each["cluster_id"], [event["id"] for event in each["involved_events"]]) for each in tickets] == [
        (0, ["a0", "a3", "a4"]),
        (1, ["a1", "a6"]),  # one alert is no ticket
    ]
    [ticket] = [json.loads(line) for line in (bucket.get(f"output/{run}/flow_ticket_output.json") or b"").splitlines()]
    assert (ticket["flow_id"], ticket["cluster_ids"]) == (2, [2, 4])
    assert read(bucket, f"output/{run}/global_metrics.json")["metrics"]["event"]["max"] == 3
    manifest = read(bucket, f"output/{run}/manifest.json")
    results = [name for name in bucket.names(f"output/{run}/") if not name.endswith("manifest.json")]
    assert [
        f"output/{run}/{each['name']}" for each in sorted(manifest["files"], key=lambda each: each["name"])
    ] == results
    assert f"output/{run}/flow-2.stix.json" in results
    assert (manifest["file"], manifest["alerts"], manifest["skipped"]) == ("input/day.json", 7, 1)
    skipped = read(bucket, f"skipped_events/{run}/input.json")
    assert skipped["input"] == [ALERTS[4]]
    assert [(row["index"], row["reason"]) for row in skipped["skipped"]] == [(4, "missing_dst")]


@pytest.mark.parametrize("chunk_alerts", [1, 3, 7, 100])
def test_how_a_file_is_cut_does_not_show(chunk_alerts: int) -> None:
    found = []
    for size in (2, chunk_alerts):
        bucket = MemoryObjects()
        run_file(small_context(bucket), put_input(bucket, ALERTS), size)
        found.append(visible(bucket))
    assert found[0] == found[1]


def test_the_same_event_again_changes_nothing() -> None:
    bucket, store = MemoryObjects(), MemoryState()
    name = put_input(bucket, ALERTS)
    first = run_file(small_context(bucket, store), name, 2)
    before, kept = visible(bucket), dict(store.stored)
    faults = Faulty()
    again = run_file(small_context(FaultyObjects(bucket.objects, faults), FaultyStore(store, faults)), name, 2)
    assert again == first
    assert visible(bucket) == before
    assert store.stored == kept
    assert [call for call in faults.calls if call.startswith(("put", "delete", "commit"))] == []


@functools.cache
def undisturbed() -> tuple[list[str], dict[str, bytes]]:
    """What a run asks of its bucket and its store, and what a user sees of it."""
    bucket, faults = MemoryObjects(), Faulty()
    name = put_input(bucket, ALERTS)
    run_file(small_context(FaultyObjects(bucket.objects, faults), FaultyStore(MemoryState(), faults)), name, 2)
    return faults.calls, visible(bucket)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", [Crash, CloudError, StateConflictError])
def test_a_crash_at_any_call_loses_nothing_and_repeats_nothing(after: bool, error: type[BaseException]) -> None:
    calls, wanted = undisturbed()
    assert len(calls) > 80
    for at, call in enumerate(calls):
        bucket, store = MemoryObjects(), MemoryState()
        name = put_input(bucket, ALERTS)
        faults = Faulty(at, after=after, error=error)
        try:
            run_file(small_context(FaultyObjects(bucket.objects, faults), FaultyStore(store, faults)), name, 2)
        except (Crash, CloudError):
            half = visible(bucket)
            complete = [each for each in half if each.endswith("manifest.json")]
            assert all(half[each] == wanted[each] for each in half), call
            assert not complete or half == wanted, call  # a manifest stands for all
        run_file(small_context(bucket, store), name, 2)
        assert visible(bucket) == wanted, call
        head = load_head(store, state_key(JOB, bucket.root, "default"))
        assert (head.version, sum(each.chunks for each in head.runs.values())) == (4, 4), call  # each chunk once


def test_two_crashes_one_after_the_other() -> None:
    calls, wanted = undisturbed()
    for first in range(0, len(calls), 7):
        for second in range(0, len(calls), 11):
            bucket, store = MemoryObjects(), MemoryState()
            name = put_input(bucket, ALERTS)
            for at in (first, second):
                faults = Faulty(at, after=bool(at % 2))
                with contextlib.suppress(Crash):
                    run_file(small_context(FaultyObjects(bucket.objects, faults), FaultyStore(store, faults)), name, 2)
            run_file(small_context(bucket, store), name, 2)
            assert visible(bucket) == wanted


def test_two_files_of_a_tenant_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    bucket, store = FolderObjects(tmp_path), FolderState(tmp_path / "heads")
    names = [
        put_input(bucket, [alert(10 * file + n, f"h{n}", f"h{n}") for n in range(9)], f"input/{file}.json")
        for file in range(4)
    ]
    models, failures = SmallModels(), []

    def work(name: str) -> None:
        try:
            run_file(small_context(bucket, store, models), name, 3)
        except Exception as error:  # noqa: BLE001 - a thread's own would be lost
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in (*names, *names[:2])]  # two events come twice
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    manifests = [name for name in bucket.names("output/") if name.endswith("manifest.json")]
    assert len(manifests) == 4
    head = load_head(store, state_key(JOB, bucket.root, "default"))
    assert head.version == 12  # four files of three chunks, each chunk once
    state = json.loads(json.dumps(_clusters(bucket, head.state)))
    held = sorted(each["alert"]["id"] for rows in state["alerts"].values() for each in rows)
    assert held == sorted(f"a{10 * file + n}" for file in range(4) for n in range(9))
    for manifest in manifests:
        rows = read(bucket, manifest.replace("manifest", "cluster"))
        ids = [each for row in rows for each in row["ids"]]
        assert len(ids) == len(set(ids)) == 9


def _clusters(bucket: Objects, state: str | None) -> Any:
    assert state is not None
    return json.loads(msgspec.msgpack.decode(bucket.get(state) or b"")[1])


def test_a_tenants_clusters_go_on_in_its_next_file_and_in_no_other_tenants() -> None:
    bucket = MemoryObjects()
    context = small_context(bucket)
    first = put_input(bucket, [alert(0, "h0", "h1"), alert(1, "h0", "h1", tenant="acme")], "input/1.json")
    second = put_input(bucket, [alert(2, "h1", "h2"), alert(3, "h9", "h9", tenant="acme")], "input/2.json")
    runs = [*run_file(context, first).runs, *run_file(context, second).runs]
    rows = {run: read(bucket, f"output/{run}/cluster.json") for run in runs}
    found = {run.rpartition("--")[2] if "--" in run else "": None for run in runs}
    assert set(found) == {"", "acme"}
    of = [[(row["cluster_id"], row["ids"]) for row in rows[run]] for run in runs]
    assert of == [[(0, ["a0"])], [(0, ["a1"])], [(0, ["a2"])], [(1, ["a3"])]]


def test_only_the_newest_states_are_kept() -> None:
    bucket = MemoryObjects()
    context = small_context(bucket)
    run_file(context, put_input(bucket, ALERTS), 1)
    head = load_head(context.store, state_key(JOB, bucket.root, "default"))
    assert list(bucket.names("state/")) == [head.before, head.state]


def test_a_state_that_another_file_was_quicker_than_is_deleted() -> None:
    bucket = MemoryObjects()
    context = small_context(bucket)
    responses = []
    for number in range(2):
        plan = cut.enrich(context, put_input(bucket, [alert(number)], f"input/{number}.json"))
        [request] = techniques.process_enriched(context, f"{plan.runs[0]}.00000")
        responses += do_step(context, request)  # both start from the same state, and each makes version 1
    do_step(context, responses[0])
    [response] = do_step(context, responses[1])  # the other was quicker: it is asked again
    do_step(context, response)
    head = load_head(context.store, state_key(JOB, bucket.root, "default"))
    assert head.version == 2
    assert list(bucket.names("state/")) == [head.before, head.state]


def without_scratch(bucket: MemoryObjects) -> None:
    """What a lifecycle rule leaves after some days."""
    for name in list(bucket.names("scratch/")):
        bucket.delete(name)


@pytest.mark.parametrize("others", [0, 1])
def test_a_file_that_is_put_again_when_its_scratch_has_expired_is_not_applied_twice(others: int) -> None:
    """`others`: whether its run still stands in the head, or another file's commit has made the head forget it."""
    bucket = MemoryObjects()
    context = small_context(bucket)
    name = put_input(bucket, ALERTS)
    first = run_file(context, name, 2)
    for number in range(others):
        run_file(context, put_input(bucket, [alert(50)], f"input/other-{number}.json"))
    without_scratch(bucket)
    before, head = visible(bucket), load_head(context.store, state_key(JOB, bucket.root, "default"))
    assert run_file(context, name, 2) == first
    assert visible(bucket) == before
    assert load_head(context.store, state_key(JOB, bucket.root, "default")) == head


def test_a_head_forgets_runs_whose_scratch_has_expired() -> None:
    bucket = MemoryObjects()
    context = small_context(bucket)
    run_file(context, put_input(bucket, ALERTS))
    without_scratch(bucket)
    [run] = run_file(context, put_input(bucket, [alert(50)], "input/other.json")).runs
    assert list(load_head(context.store, state_key(JOB, bucket.root, "default")).runs) == [run]


def test_a_state_that_is_lost_is_told_and_is_no_conflict() -> None:
    bucket = MemoryObjects()
    context = small_context(bucket)
    run_file(context, put_input(bucket, ALERTS))
    for name in list(bucket.names("state/")):
        bucket.delete(name)
    with pytest.raises(CloudError, match=r"state/default/.*: the clusters of tenant 'default' are not there") as raised:
        run_file(context, put_input(bucket, [alert(50)], "input/other.json"))
    assert not isinstance(raised.value, StateConflictError)
