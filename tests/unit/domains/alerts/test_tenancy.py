"""Whose an alert is: the partition key, its own text, or both; and keys that no two tenants share."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import app
from app.domains.alerts.alert import AlertFault
from app.domains.alerts.cli.work import Work, enrich
from app.domains.alerts.files.driver import run_file
from app.domains.alerts.formats import read_alert
from app.domains.alerts.tenancy import LONGEST_KEY, TENANT_MISMATCH, TenantRule, former_digest, key_of
from app.errors import BudgetError
from app.settings import read_settings
from app.storage.objects import MemoryObjects
from app.storage.state import MemoryState
from tests.alerts_for_tests import STREAMS, alert, alerts_spine, emitted, payload, resolver, technique_spine
from tests.unit.domains.alerts.files.files_for_tests import put_input, small_context

if TYPE_CHECKING:
    from app.domains.alerts.tenancy import TenantFrom
    from app.stream.testing import MemorySpine

LONG = "l" * (LONGEST_KEY + 1)
POSING = key_of(LONG)
"""A name that is written as the key of another tenant."""


def enriched(inner: str, outer: str) -> bytes:
    """Return a record as `alerts-technique` writes it."""
    techniques = {"ids": ["T1046"], "source": "alert", "confidence": 1.0}
    return msgspec.json.encode({"alert": alert(0, tenant=inner), "techniques": techniques, "tenant": outer})


def reasons(spine: MemorySpine) -> list[str]:
    return [each["reason"] for each in spine.quarantined()]


@pytest.mark.parametrize(
    ("key", "record"),
    [
        ("acme", payload(0, tenant="umbrella")),
        ("acme", payload(0, tenant="Acme")),
        ("acme", payload(0, tenant="acme ")),
        ("acme", payload(0, tenant="acme\0")),
        ("acme", payload(0, tenant="ac\u200bme")),
        ("caf\u00e9", payload(0, tenant="cafe\u0301")),
        ("default", payload(0, tenant="umbrella")),
        (POSING, payload(0, tenant=POSING)),
        (former_digest(POSING), payload(0, tenant=LONG)),
        ("acme", enriched("umbrella", "acme")),
        ("acme", enriched("acme", "umbrella")),
        ("acme", enriched("umbrella", "umbrella")),
        ("acme", payload(0, tenant="acme") + b"\n" + payload(1, tenant="umbrella")),
        ("acme", payload(0) + b"\n" + payload(1, tenant="umbrella")),
    ],
)
def test_an_alert_that_names_another_tenant_than_its_key_is_set_aside(
    key: str, record: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    store = MemoryState()
    spine = alerts_spine(store)
    assert spine.run([record, payload(1)], [key, "acme"]).acknowledged == 2
    assert reasons(spine) == [TENANT_MISMATCH]
    assert [each["alert"]["id"] for each in emitted(spine, "enriched")] == ["a1"]
    assert set(store.stored) == {"alerts/acme"}
    logged = "".join(capfd.readouterr())
    assert not any(each in logged for each in ("umbrella", "Nmap", "203.0.113.7"))


@pytest.mark.parametrize(
    ("key", "tenant"),
    [
        ("acme", "acme"),
        ("acme", ""),
        ("acme", " "),
        ("acme", None),
        ("7", 7),
        (POSING, LONG),
        (LONG, LONG),
        ("a/b", "a/b"),
    ],
)
def test_an_alert_that_names_its_key_or_none_is_taken(key: str, tenant: Any) -> None:
    spine = alerts_spine()
    spine.run([payload(0, tenant=tenant)], [key])
    assert reasons(spine) == []
    [found] = emitted(spine, "enriched")
    assert found["tenant"] == (str(tenant) if tenant not in {None, "", " "} else key)


@pytest.mark.parametrize("tenant", [["umbrella"], {"id": "umbrella"}, True, 1.5, "x" * 257, "\ud800"])
def test_a_tenant_that_cannot_be_read_is_refused_and_not_passed_over(tenant: Any) -> None:
    """The alert would be counted to the tenant of those that name none."""
    for record in (alert(0, tenant=tenant), {**alert(0, tenant=tenant), "other_attributes": {}}):
        with pytest.raises(AlertFault) as raised:
            read_alert(record)
        assert raised.value.reason == "bad_tenant"
    eve = {"event_type": "alert", "alert": {"signature": "x"}, "src_ip": "192.0.2.1", "timestamp": 1_700_000_000}
    if tenant != ["umbrella"]:  # a list of one value is read as the value in products' formats
        with pytest.raises(AlertFault, match="tenant"):
            read_alert({**eve, "tenant_id": tenant})
    with pytest.raises(AlertFault, match="tenant_id names 2 tenants; send one"):
        read_alert({**eve, "tenant_id": [1, 2]})


def test_with_the_key_as_the_authority_what_an_alert_says_is_ignored() -> None:
    store = MemoryState()
    spine = alerts_spine(store, rule=TenantRule("key"))
    spine.run([payload(0, tenant="umbrella"), payload(1)], ["acme", "acme"])
    assert set(store.stored) == {"alerts/acme"}
    found = emitted(spine, "enriched")
    assert [each["tenant"] for each in found] == ["acme", "acme"]
    assert found[0]["alert"]["tenant"] == "acme"


def test_with_the_alert_as_the_authority_state_and_outputs_follow_its_tenant() -> None:
    store = MemoryState()
    spine = alerts_spine(store, rule=TenantRule("alert", "rest"))
    several = payload(2, tenant="acme") + b"\n" + payload(3, tenant="umbrella")
    records = [payload(0, tenant="acme"), payload(1, tenant="acme"), payload(1), several, b"?"]
    spine.run(records, ["one", "two", "three", "acme", "acme"])
    assert set(store.stored) == {"alerts/acme", "alerts/rest"}
    assert reasons(spine) == [TENANT_MISMATCH, "unknown_format"]
    first, second, third = emitted(spine, "enriched")
    assert first["cluster_id"] == second["cluster_id"]
    assert [each["tenant"] for each in (first, second, third)] == ["acme", "acme", "rest"]
    assert {key.partition("/")[0] for key, _ in spine.streams.records["incidents"]} == {"acme"}
    spine.run([payload(4, tenant="late", time="soon")], ["one"], start=5)  # it has the time of its arrival
    assert set(store.stored) == {"alerts/acme", "alerts/rest", "alerts/late"}


def test_the_technique_stage_takes_any_key_unless_it_is_told_otherwise() -> None:
    records, keys = [payload(0, tenant="umbrella"), payload(1)], ["acme", "acme"]
    by_source: dict[TenantFrom, list[str]] = {
        "alert": ["umbrella", "default"],
        "key": ["acme", "acme"],
        "both": ["acme"],
    }
    for source, expected in by_source.items():
        spine = technique_spine(rule=TenantRule(source))
        spine.run(records, keys)
        assert [key for key, _ in spine.streams.records["enriched"]] == expected
        second = alerts_spine(rule=TenantRule(source))
        second.run([data for _, data in spine.streams.records["enriched"]], expected)
        assert reasons(second) == []  # both stages agree on what the first one wrote


names = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "a", "a/cluster", "a/cluster/1", "a/flow/2", "A", "a ", POSING, former_digest(POSING), LONG]),
    st.sampled_from(["\0", "\u00e9", "e\u0301", "\U0001f512" * 101, "l" * LONGEST_KEY, "digest:", key_of("")]),
)
parts = st.one_of(st.just(""), st.builds("{}/{}".format, st.sampled_from(["cluster", "flow"]), st.integers(0, 20)))


@given(st.tuples(names, parts), st.tuples(names, parts))
@example(("a/cluster/1", ""), ("a", "cluster/1"))
@example((POSING, ""), (LONG, ""))
@example((POSING, "flow/1"), (LONG, "flow/1"))
def test_no_two_tenants_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (key_of(*one) == key_of(*other)) == (one == other)
    assert 1 <= len(key_of(*one).encode("utf-16-le", "surrogatepass")) // 2 <= 256  # what Kinesis takes


def test_a_long_name_takes_over_the_state_of_an_earlier_release() -> None:
    """That release stored it at a bare digest, which may be the name of a tenant."""
    store, bare = MemoryState(), former_digest(POSING)
    before = alerts_spine(store)
    before.run([payload(0)], [bare])
    value = msgspec.msgpack.decode(store.stored[f"alerts/{bare}"].value or b"")
    written = msgspec.msgpack.encode(value[:3])  # as that release wrote it: without a key
    store.stored[f"alerts/{bare}"] = store.stored[f"alerts/{bare}"]._replace(value=written)
    after = alerts_spine(store)
    after.run([payload(1, tenant=LONG)], [POSING], start=1)
    [found] = emitted(after, "enriched")
    assert found["cluster_id"] == 1
    assert [each["cluster"]["alerts"] for each in emitted(after, "incidents") if each["type"] == "cluster"] == [2]


def test_a_long_name_does_not_take_over_the_state_of_a_tenant_that_is_named_as_its_digest() -> None:
    store, bare = MemoryState(), former_digest(POSING)
    spine = alerts_spine(store)
    spine.run([payload(0), payload(1, tenant=LONG)], [bare, POSING])
    spine.run([payload(2, tenant=LONG)], [POSING], start=2)
    assert emitted(spine, "incidents") == []  # neither has two alerts that are linked


def test_the_state_of_another_tenant_is_refused() -> None:
    store = MemoryState()
    alerts_spine(store).run([payload(0)], ["acme"])
    store.stored["alerts/umbrella"] = store.stored["alerts/acme"]
    spine = alerts_spine(store)
    spine.run([payload(1)], ["umbrella"], start=1)
    [waiting] = spine.quarantined()
    assert waiting["message"].startswith("state key 'umbrella': state of alerts: it is the state of 'acme'")


TENANTS = ["acme", "Acme", LONG, POSING, former_digest(POSING), "acme/cluster/1", "default"]


@given(st.lists(st.tuples(st.sampled_from(TENANTS), st.booleans(), st.integers(0, 40)), max_size=24), st.data())
@settings(max_examples=20, deadline=None)
def test_each_tenants_outputs_are_those_that_it_would_have_alone(
    found: list[tuple[str, bool, int]], data: st.DataObject
) -> None:
    """In any order, in any cut, with other tenants' alerts between them, and with claims that are refused."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(found)), max_size=3)) | {0, len(found)})
    records = [payload(number, tenant=tenant if named else "") for tenant, named, number in found]
    keys = [key_of(tenant) for tenant, _, _ in found]
    together = alerts_spine()
    for start, stop in itertools.pairwise(cuts):
        together.run(records[start:stop], keys[start:stop], start=start, seconds=60)
    lie = msgspec.json.encode(alert(0, tenant="umbrella"))
    together.run([lie] * len(keys), keys, start=len(found), seconds=60)
    assert reasons(together) == [TENANT_MISMATCH] * len(keys)

    apart = []
    for tenant in TENANTS:
        mine = [row for row, each in enumerate(found) if each[0] == tenant]
        alone = alerts_spine()
        alone.run([records[row] for row in mine], [keys[row] for row in mine], seconds=60)
        apart += outputs(alone)
    assert sorted(outputs(together)) == sorted(apart)


def outputs(spine: MemorySpine) -> list[tuple[str, str, bytes]]:
    """Return all outputs with their roles and keys, without what a stream adds."""
    found = []
    for role, records in spine.streams.records.items():
        for key, data in records if role in STREAMS else ():
            value = msgspec.json.decode(data)
            del value["id"], value["source"]
            found.append((role, key, msgspec.json.encode(value)))
    return found


def file_of(*tenants: str) -> MemoryObjects:
    bucket = MemoryObjects()
    put_input(bucket, [alert(number, tenant=tenant) for number, tenant in enumerate(tenants)])
    return bucket


def test_a_file_of_too_many_tenants_is_refused_before_anything_of_it_counts() -> None:
    bucket = file_of(*(f"t{number}" for number in range(300)))
    done = run_file(small_context(bucket), "input/day.json")
    assert done.error.startswith("the alerts name more than 250 tenants: send fewer in one input, or set ALERTS_MOST_")
    assert done.runs == []
    assert len(bucket.objects) == 3  # itself, the reason, and that it was refused
    again = run_file(small_context(bucket), "input/day.json", most_tenants=300)
    assert (again.error, len(again.runs)) == ("", 300)


def test_a_command_ends_with_one_line_where_the_alerts_name_too_many_tenants() -> None:
    work = Work(read_settings({"ALERTS_MOST_TENANTS": "2"}))
    alerts = enrich([read_alert(alert(number, tenant=f"t{number}")) for number in range(3)], resolver())
    with pytest.raises(BudgetError, match="more than 2 tenants"):
        list(work.observe(alerts))
    assert set(work.tenants) == {"t0", "t1"}


@pytest.mark.parametrize(
    ("source", "owners", "skipped"),
    [("alert", ["acme", "umbrella"], 0), ("both", ["acme"], 1), ("key", ["acme"], 0)],
)
def test_the_tenant_that_a_file_is_put_for_is_its_key(source: TenantFrom, owners: list[str], skipped: int) -> None:
    bucket = file_of("umbrella", "", "acme")
    done = run_file(small_context(bucket), "input/day.json", tenant="acme", tenant_from=source)
    manifests = [msgspec.json.decode(bucket.objects[name]) for name in done.manifests]
    assert sorted(each["tenant"] for each in manifests) == owners
    assert sum(each["alerts"] for each in manifests) == 3 - skipped
    kept = [msgspec.json.decode(bucket.objects[name]) for name in bucket.names("skipped_events/")]
    assert [row["reason"] for each in kept for row in each["skipped"]] == [TENANT_MISMATCH] * skipped
    assert [each["tenant"] for each in kept for each in each["input"]] == ["umbrella"] * skipped


def test_the_runs_of_two_tenants_or_two_files_have_different_names() -> None:
    pairs = [("default", "input/x input/a"), ("input/x", "input/a"), ("x input/b", "input/a"), ("x", "input/b input/a")]
    runs = []
    for tenant, name in [*pairs, ("#" + b"input/x".hex(), "input/a")]:
        bucket = MemoryObjects()
        put_input(bucket, [alert(1)], name)
        runs += run_file(small_context(bucket), name, tenant=tenant).runs
    assert len(set(runs)) == len(runs) == len(pairs) + 1


def bare_names(tree: ast.AST) -> list[int]:
    """Return the lines on which a tenant's name becomes part of a path or of a key with slashes as it is."""
    found: list[int] = []
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        if isinstance(node, ast.JoinedStr) and "/" in "".join(str(getattr(each, "value", "")) for each in node.values):
            parts = [each.value for each in node.values if isinstance(each, ast.FormattedValue) and each.conversion < 0]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            parts = [node.right]
        found += [part.lineno for part in parts if "tenant" in {getattr(part, "id", ""), getattr(part, "attr", "")}]
    return found


def test_a_tenants_name_becomes_a_path_or_a_key_in_one_place_only() -> None:
    """Elsewhere a name with a slash in it would reach another tenant: `tenant_slug` and `key_of` are for that."""
    assert bare_names(ast.parse('f"state/{tenant}"\nfolder / alert.tenant\nf"{tenant_slug(tenant)}/x"')) == [1, 2]
    root = Path(app.__file__).parent
    files = [*(root / "domains" / "alerts").rglob("*.py"), *(root / "jobs").glob("*.py")]
    found = {path.name for path in files if "tenant" in (text := path.read_text()) and bare_names(ast.parse(text))}
    assert found == {"tenancy.py"}
