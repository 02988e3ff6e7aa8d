"""The pipelines of alerts on the spine: what reaches which stream, in which order, and what one bad alert does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.storage.objects import FolderObjects
from app.storage.state import MemoryState
from app.stream.testing import FakeStreams
from tests.alerts_for_tests import START_S, STORY, alert, alerts_spine, emitted, payload, technique_spine

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ["acme"] * len(STORY)


def test_each_alert_comes_out_with_its_techniques_and_its_cluster() -> None:
    spine = alerts_spine()
    result = spine.run([payload(number) for number in range(len(STORY))], KEYS)

    assert result.acknowledged == len(STORY)
    found = {each["alert"]["id"]: each for each in emitted(spine, "enriched")}
    assert set(found) == {f"a{number}" for number in range(len(STORY))}
    assert found["a4"]["techniques"] == {
        "ids": ["T1003.001"], "source": "alert", "confidence": 1.0, "confidences": [1.0],
    }  # fmt: skip
    assert found["a4"]["tactics"] == ["credential-access"]
    assert found["a0"]["cluster_id"] == found["a1"]["cluster_id"]
    assert all(each["tenant"] == "acme" and "/alerts/0/" in each["id"] for each in found.values())


def test_incidents_tell_of_a_cluster_from_its_second_alert_on() -> None:
    spine = alerts_spine()
    spine.run([payload(0)], KEYS[:1])
    assert emitted(spine, "incidents") == emitted(spine, "tickets") == []

    spine.run([payload(1)], KEYS[:1], start=1)
    [change, *_] = emitted(spine, "incidents")
    assert (change["type"], change["change"], change["tenant"]) == ("cluster", "opened", "acme")
    assert change["cluster"]["alerts"] == 2
    assert change["cluster"]["techniques"] == ["T1046"]
    assert emitted(spine, "tickets")[0]["cluster_id"] == change["cluster_id"]


def test_a_flow_is_emitted_when_steps_follow_from_each_other() -> None:
    spine = alerts_spine()
    spine.run([payload(number) for number in range(len(STORY))], KEYS)

    flows = [each for each in emitted(spine, "incidents") if each["type"] == "flow"]
    nodes = {node["id"]: node["step"]["technique"] for node in flows[-1]["flow"]["nodes"]}
    ordered = [(nodes[edge["source"]], nodes[edge["target"]]) for edge in flows[-1]["flow"]["edges"]]
    assert ("T1046", "T1505.003") in ordered
    assert all(edge["reason"] and 0 < edge["probability"] <= 1 for edge in flows[-1]["flow"]["edges"])


def test_changes_of_a_cluster_share_a_partition_key_and_come_in_order() -> None:
    spine = alerts_spine()
    spine.run([payload(0, id=number, time=START_S + number) for number in range(9)], ["acme"] * 9)

    sizes: dict[str, list[int]] = {}
    for key, data in spine.streams.records["incidents"]:
        change = msgspec.json.decode(data)
        if change["type"] == "cluster" and "cluster" in change:
            assert key == f"acme/cluster/{change['cluster_id']}"
            sizes.setdefault(key, []).append(change["cluster"]["alerts"])
    assert any(len(counts) > 1 for counts in sizes.values())
    assert all(counts == sorted(counts) for counts in sizes.values())


def test_one_bad_alert_harms_no_other() -> None:
    spine = alerts_spine()
    bad = [b"\xff", b"{", b"no alert at all", payload(3, name=""), msgspec.json.encode({**alert(3), "src": ""})]
    result = spine.run([payload(0), *bad, payload(1)], ["acme"] * 7)

    assert result.acknowledged == 7
    reasons = [each["reason"] for each in spine.quarantined()]
    assert reasons == ["not_utf8", "not_json", "unknown_format", "missing_name", "missing_src"]
    assert [each["alert"]["id"] for each in emitted(spine, "enriched")] == ["a0", "a1"]


def test_an_alert_whose_date_cannot_be_read_is_of_its_arrival_and_says_so() -> None:
    spine = alerts_spine()
    spine.run([payload(3, time="soon")], ["acme"])
    [record] = emitted(spine, "enriched")
    assert record["alert"]["other_attributes"]["time_from"] == "arrival"
    assert record["alert"]["time"] > 0


@pytest.mark.parametrize("end", ["", "\n"])
def test_all_alerts_of_a_record_with_several_are_taken(end: str) -> None:
    spine = alerts_spine()
    several = [
        payload(0) + end.encode() + payload(1),
        b'{"logEvents": [{"message": ' + msgspec.json.encode(payload(2).decode()) + b"}]}",
        b'{"alerts": [' + payload(3) + b", " + payload(4) + b"]}",
    ]
    assert spine.run(several, ["acme"] * 3).acknowledged == 3
    records = emitted(spine, "enriched")
    assert [each["alert"]["id"] for each in records] == ["a0", "a1", "a2", "a3", "a4"]
    assert len({each["id"] for each in records}) == 5
    assert not spine.quarantined()


def test_a_record_of_several_alerts_is_set_aside_whole_where_one_cannot_be_read() -> None:
    spine = alerts_spine()
    spine.run([b'{"alerts": [' + payload(0) + b", " + payload(1, src="") + b"]}", payload(2)], ["acme"] * 2)
    [bad] = spine.quarantined()
    assert bad["reason"] == "missing_src"
    assert bad["message"].startswith("alert 2 of 2: ")
    assert [each["alert"]["id"] for each in emitted(spine, "enriched")] == ["a2"]


def test_an_alert_of_ten_megabytes_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    spine = alerts_spine(objects=FolderObjects(tmp_path))
    spine.run([payload(0, name="x" * 10_000_000), payload(1)], ["acme"] * 2)

    [pointer] = spine.quarantined()
    assert pointer["reason"] == "alert_too_large"
    assert pointer["location"].startswith(str(tmp_path))
    assert [each["alert"]["id"] for each in emitted(spine, "enriched")] == ["a1"]


def test_lines_that_are_no_json_are_alerts_too() -> None:
    spine = alerts_spine()
    line = b"CEF:0|Example|Sensor|1|100|Port scan|5|rt=1700000000000 src=192.0.2.1 dst=192.0.2.2 externalId=77"
    spine.run([line], ["acme"])

    [found] = emitted(spine, "enriched")
    assert (found["alert"]["src"], found["alert"]["dst"], found["alert"]["name"]) == (
        "192.0.2.1", "192.0.2.2", "Port scan",
    )  # fmt: skip


def test_tenants_share_nothing() -> None:
    spine = alerts_spine()
    spine.run([payload(number) for number in (0, 0, 1, 1)], ["acme", "umbrella"] * 2)

    first = {(each["tenant"], each["cluster_id"]) for each in emitted(spine, "enriched")}
    assert len({tenant for tenant, _ in first}) == 2
    assert {each["tenant"] for each in emitted(spine, "incidents")} == {"acme", "umbrella"}


def test_techniques_alone_need_no_state_and_are_keyed_by_tenant() -> None:
    spine = technique_spine()
    spine.run([payload(0), payload(1, tenant="umbrella"), b"?"], ["any", "key", "at all"])

    assert [key for key, _ in spine.streams.records["enriched"]] == ["default", "umbrella"]
    assert [each["techniques"]["ids"] for each in emitted(spine, "enriched")] == [["T1046"], ["T1046"]]
    assert len(spine.quarantined()) == 1


def test_many_alerts_of_one_tenant_travel_in_one_call() -> None:
    streams = FakeStreams()
    technique_spine(streams).run([payload(number) for number in range(400)])
    assert max(streams.calls) > 100


def test_clustering_behind_the_technique_stage_gives_what_one_stage_gives() -> None:
    whole = alerts_spine()
    whole.run([payload(number) for number in range(len(STORY))], KEYS)

    first, second = technique_spine(), alerts_spine()
    first.run([payload(number, tenant="acme") for number in range(len(STORY))])
    passed = first.streams.records["enriched"]
    second.run([data for _, data in passed], [key for key, _ in passed])

    def clusters(spine: Any) -> dict[str, int]:
        return {each["alert"]["id"]: each["cluster_id"] for each in emitted(spine, "enriched")}

    assert clusters(second) == clusters(whole)


def test_a_repeated_batch_changes_nothing() -> None:
    store = MemoryState()
    spine = alerts_spine(store)
    payloads = [payload(number) for number in range(len(STORY))]
    spine.run(payloads, KEYS)
    state, outputs = dict(store.stored), {role: emitted(spine, role) for role in ("enriched", "incidents", "tickets")}

    result = spine.run(payloads, KEYS, start=0)

    assert result.acknowledged == len(STORY)
    assert store.stored == state
    assert {role: emitted(spine, role) for role in outputs} == outputs


def enriched_record(**changed: Any) -> bytes:
    """What `alerts-technique` writes, or somebody who says so."""
    techniques = {"ids": ["T1046"], "source": "alert", "confidence": 1.0, **changed.pop("techniques", {})}
    return msgspec.json.encode({"alert": alert(0, **changed), "techniques": techniques, "tenant": "acme"})


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("id", b"123456789012345678901234567890123456789012345678901234567890123456", "bad_id"),
        ("id", msgspec.json.encode("x" * 10_000), "bad_id"),
        ("time", b"1e308", "bad_time"),
        ("time", b"-1", "bad_time"),
        ("src", b'""', "missing_src"),
    ],
)
def test_an_enriched_record_is_held_to_the_same_bounds(field: str, value: bytes, reason: str) -> None:
    spine = alerts_spine()
    bad = enriched_record(**{field: "HERE"}).replace(b'"HERE"', value)
    assert spine.run([payload(0), bad, payload(1)], ["acme"] * 3).acknowledged == 3
    assert [each["reason"] for each in spine.quarantined()] == [reason]
    assert [each["alert"]["id"] for each in emitted(spine, "enriched")] == ["a0", "a1"]


def test_techniques_of_another_version_of_attack_are_resolved_anew() -> None:
    spine = alerts_spine()
    spine.run([enriched_record(techniques={"ids": ["T9999"]})], ["acme"])
    [found] = emitted(spine, "enriched")
    assert found["techniques"]["ids"] == ["T1046"]  # the alert's own


def test_a_record_of_another_format_may_begin_with_its_alert() -> None:
    """Some senders sort the keys of what they send."""
    eve = {
        "alert": {"signature": "ET SCAN Potential SSH Scan", "signature_id": 2001219, "severity": 2},
        "dest_ip": "10.0.0.2",
        "event_type": "alert",
        "src_ip": "10.0.0.1",
        "timestamp": "2024-05-14T08:10:00.000000+0000",
    }
    spine = alerts_spine()
    spine.run([msgspec.json.encode(eve)], ["acme"])
    assert spine.quarantined() == []
    [found] = emitted(spine, "enriched")
    assert (found["alert"]["src"], found["alert"]["name"]) == ("10.0.0.1", "ET SCAN Potential SSH Scan")


@pytest.mark.parametrize("damaged", [b"", b"junk", msgspec.msgpack.encode([99, b"", b""])])
def test_a_state_that_cannot_be_read_says_whose_it_is_and_no_alert_is_blamed(damaged: bytes) -> None:
    store = MemoryState()
    spine = alerts_spine(store)
    spine.run([payload(0)], ["acme"])
    store.stored["alerts/acme"] = store.stored["alerts/acme"]._replace(value=damaged)
    again = alerts_spine(store)
    assert again.run([payload(1)], ["acme"], start=1).resume_at is None
    [waiting] = again.quarantined()
    assert waiting["reason"] == "key_parked"  # until the state is mended
    assert waiting["message"].startswith("state key 'acme': state of alerts: ")
    assert store.stored["alerts/acme"].value == damaged
