"""Flows as Attack Flow bundles: what is in one, what our own rules refuse, and the published schema."""

from __future__ import annotations

import copy
import json
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from app.domains.alerts.flows.flows import build_flows
from app.domains.alerts.flows.stix import EXTENSION_ID, TACTIC_REFS, bundle_of, timestamp
from app.domains.alerts.flows.stix_check import check_bundle
from app.domains.alerts.incidents import Flow, FlowEdge, FlowNode
from tests.flows_for_tests import LINKED, TABLE, cluster, clusters_of, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domains.alerts.incidents import ClusterSummary

DATA = Path(__file__).parents[5] / "shared" / "data" / "alerts"
SCHEMAS, EXAMPLE = DATA / "attack_flow_schemas.tar.gz", DATA / "attack_flow_min_valid.json"
PUBLISHED = "attack-flow-schema-2.0.0.json"

[FLOW] = build_flows(
    [
        cluster(1, [step(1_000, "T1595", "6.6.6.6", "web1"), step(1_100, "T1190", "6.6.6.6", "web1")]),
        cluster(2, [step(2_000, "T1059.001", "web1", "web1")]),
        cluster(3, [step(5_000, "T1021.001", "web1", "2001:db8::1", alerts=4), step(5_005, "", "-", "2001:db8::1")]),
    ],
    TABLE,
    LINKED,
)
BUNDLE = bundle_of(FLOW, TABLE, created=9_000.0, modified=9_500.1234, tenant="acme")


def of(bundle: dict[str, Any], type_: str) -> list[dict[str, Any]]:
    return [each for each in bundle["objects"] if each["type"] == type_]


def action(bundle: dict[str, Any], node: str) -> dict[str, Any]:
    index = [each.id for each in FLOW.nodes].index(node)
    return of(bundle, "attack-action")[index]


def test_a_flow_starts_at_the_steps_that_follow_from_none() -> None:
    [flow] = of(BUNDLE, "attack-flow")
    assert flow["start_refs"] == [action(BUNDLE, "1-1")["id"]]
    assert (flow["scope"], flow["name"]) == ("incident", "Flow 1")
    assert (flow["created"], flow["modified"]) == ("1970-01-01T02:30:00.000Z", "1970-01-01T02:38:20.123Z")
    assert flow["description"].startswith("Steps: 5; alerts: 8; clusters: 3; ")


def test_a_step_is_an_action_with_its_technique_its_tactic_and_its_time() -> None:
    shell = action(BUNDLE, "2-2")
    assert shell["name"] == "Command and Scripting Interpreter: PowerShell"
    assert (shell["technique_id"], shell["tactic_id"]) == ("T1059.001", "TA0002")
    assert shell["technique_ref"] == TABLE.techniques["T1059.001"].stix_id
    assert shell["tactic_ref"] == TACTIC_REFS["TA0002"]
    assert (shell["execution_start"], shell["execution_end"]) == (
        "1970-01-01T00:33:20.000Z",
        "1970-01-01T00:33:25.000Z",
    )
    edge = next(each for each in FLOW.edges if each.target == "2-2")
    assert shell["confidence"] == round(100 * edge.probability)
    assert f"Follows from step {edge.source} ({edge.probability:.0%}): " in shell["description"]


def test_a_step_of_no_technique_has_the_alerts_words() -> None:
    unknown = action(BUNDLE, "3-1003")
    assert unknown["name"] == "Alert of "
    assert not {"technique_id", "technique_ref", "tactic_id", "tactic_ref"} & unknown.keys()


def test_a_tactic_without_a_known_stix_id_is_named_without_it() -> None:
    [flow] = build_flows([cluster(1, [step(1, "T1685", "a", "a"), step(2, "T1685", "a", "b")])], TABLE, LINKED)
    bundle = bundle_of(flow, TABLE)
    assert of(bundle, "attack-action")[0]["tactic_id"] == "TA0112"
    assert "tactic_ref" not in of(bundle, "attack-action")[0]
    assert check_bundle(bundle) == []


def test_where_several_steps_lead_to_one_an_or_stands_between() -> None:
    operator = of(BUNDLE, "attack-operator")[0]
    last, *_ = [node.id for node in FLOW.nodes if sum(edge.target == node.id for edge in FLOW.edges) > 1]
    earlier = [action(BUNDLE, edge.source) for edge in FLOW.edges if edge.target == last]
    assert (operator["operator"], operator["effect_refs"]) == ("OR", [action(BUNDLE, last)["id"]])
    assert all(operator["id"] in each["effect_refs"] for each in earlier)


def test_hosts_are_assets_and_addresses_are_observables_with_stix_own_ids() -> None:
    assets = {each["name"]: each for each in of(BUNDLE, "attack-asset")}
    assert set(assets) == {"6.6.6.6", "web1", "2001:db8::1"}  # and not "-"
    [v4], [v6] = of(BUNDLE, "ipv4-addr"), of(BUNDLE, "ipv6-addr")
    assert v4["id"] == "ipv4-addr--732c3ce5-54d2-50d8-b8b6-bb0d49865c6a"
    assert assets["6.6.6.6"]["object_ref"] == v4["id"]
    assert assets["2001:db8::1"]["object_ref"] == v6["id"]
    assert "object_ref" not in assets["web1"]
    assert action(BUNDLE, "2-2")["asset_refs"] == [assets["web1"]["id"]]


def test_ids_follow_from_the_tenant_and_the_flow_and_from_nothing_else() -> None:
    again = bundle_of(FLOW, TABLE, created=9_000.0, modified=9_500.1234, tenant="acme")
    assert json.dumps(again) == json.dumps(BUNDLE)
    later = bundle_of(FLOW, TABLE, created=9_000.0, modified=9_999.0, tenant="acme")
    assert [each["id"] for each in later["objects"]] == [each["id"] for each in BUNDLE["objects"]]
    assert later["id"] != BUNDLE["id"]
    theirs = bundle_of(FLOW, TABLE, created=9_000.0, modified=9_500.1234, tenant="other")
    shared = {each["id"] for each in theirs["objects"]} & {each["id"] for each in BUNDLE["objects"]}
    assert {each.partition("--")[0] for each in shared} == {
        "extension-definition",
        "identity",
        "ipv4-addr",
        "ipv6-addr",
    }


def test_without_times_the_flows_own_are_taken() -> None:
    [flow] = of(bundle_of(FLOW, TABLE), "attack-flow")
    assert (flow["created"], flow["modified"]) == (timestamp(FLOW.start_time), timestamp(FLOW.end_time))


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1.9999, "1970-01-01T00:00:01.999Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
        (-5.0, "1970-01-01T00:00:00.000Z"),
        (1e300, "9999-12-31T23:59:59.000Z"),
        (float("nan"), "1970-01-01T00:00:00.000Z"),
    ],
)
def test_every_time_can_be_written(seconds: float, written: str) -> None:
    assert timestamp(seconds) == written


def test_a_flow_that_is_none_is_refused() -> None:
    node = FlowNode("1-1", 1, "", step(1, "", "a", "b"))
    for flow in (
        Flow(1, (1,), 1.0, (), (), 0.0, 1.0),
        Flow(1, (1,), 1.0, (node,), (FlowEdge("1-1", "1-9001", 0.5, "why"),), 0.0, 1.0),
    ):
        with pytest.raises(ValueError, match="flow 1: has no nodes, or an edge to none of them"):
            bundle_of(flow, TABLE)


def test_a_long_name_is_cut() -> None:
    [flow] = build_flows([cluster(1, [step(1, "", "a" * 4_000, "b"), step(2, "", "a" * 4_000, "b")])], TABLE, LINKED)
    assert max(len(each["name"]) for each in of(bundle_of(flow, TABLE), "attack-asset")) == 1_000


def _set(type_: str, name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def mutate(bundle: dict[str, Any]) -> None:
        of(bundle, type_)[-1][name] = value

    return mutate


def _without(type_: str, name: str) -> Callable[[dict[str, Any]], None]:
    def mutate(bundle: dict[str, Any]) -> None:
        del of(bundle, type_)[0][name]

    return mutate


def _drop(type_: str) -> Callable[[dict[str, Any]], None]:
    def mutate(bundle: dict[str, Any]) -> None:
        bundle["objects"].remove(of(bundle, type_)[0])

    return mutate


def _twice(bundle: dict[str, Any]) -> None:
    bundle["objects"].append(copy.deepcopy(of(bundle, "attack-asset")[0]))


def _circle(bundle: dict[str, Any]) -> None:
    action(bundle, "3-1003")["effect_refs"] = [action(bundle, "1-1001")["id"]]


def _back_to_start(bundle: dict[str, Any]) -> None:
    action(bundle, "3-1003")["effect_refs"] = [action(bundle, "1-1")["id"]]


def _lost(bundle: dict[str, Any]) -> None:
    del action(bundle, "1-1")["effect_refs"]


def _two_flows(bundle: dict[str, Any]) -> None:
    other = copy.deepcopy(of(bundle, "attack-flow")[0])
    other["id"] = other["id"][:-1] + ("0" if other["id"][-1] != "0" else "1")
    bundle["objects"].append(other)


STRANGE_ID = "attack-action--00000000-0000-5000-8000-000000000000"
MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no name of the flow": (_without("attack-flow", "name"), "name is missing"),
    "no scope": (_without("attack-flow", "scope"), "scope is missing"),
    "an unknown scope": (_set("attack-flow", "scope", "everything"), "scope is unknown"),
    "no starts": (_without("attack-flow", "start_refs"), "start_refs is missing"),
    "empty starts": (_set("attack-flow", "start_refs", []), "start_refs is"),
    "a start that is not there": (_set("attack-flow", "start_refs", [STRANGE_ID]), "leads to nothing"),
    "no name of an action": (_without("attack-action", "name"), "name is missing"),
    "a name that is no text": (_set("attack-action", "name", 7), "name is no text"),
    "an effect that is not there": (_set("attack-action", "effect_refs", [STRANGE_ID]), "leads to nothing"),
    "an effect twice": (_set("attack-operator", "effect_refs", [STRANGE_ID, STRANGE_ID]), "names something twice"),
    "empty effects": (_set("attack-action", "effect_refs", []), "effect_refs is not a list"),
    "effects that are no list": (_set("attack-action", "effect_refs", STRANGE_ID), "effect_refs is not a list"),
    "an asset that is an action": (
        lambda bundle: action(bundle, "1-1").update(asset_refs=[action(bundle, "1-1001")["id"]]),
        "asset_refs leads to nothing it may",
    ),
    "an asset of nothing": (_drop("ipv4-addr"), "object_ref leads to nothing"),
    "no author": (_drop("identity"), "lacks the extension's definition or its author"),
    "no extension": (_drop("extension-definition"), "lacks the extension's definition"),
    "another version of the extension": (_set("extension-definition", "version", "1.0.0"), "is not version 2.0.0"),
    "the wrong extension": (
        _set("attack-action", "extensions", {EXTENSION_ID: {"extension_type": "new-sro"}}),
        "extensions does not name",
    ),
    "extensions left out": (_without("attack-asset", "extensions"), "extensions does not name"),
    "an old version": (_set("attack-action", "spec_version", "2.0"), "spec_version is not 2.1"),
    "no creation": (_without("attack-action", "created"), "created is no time"),
    "a time of day alone": (_set("attack-action", "execution_start", "10:00"), "execution_start is no time"),
    "a time in another zone": (_set("attack-flow", "created", "2023-11-14T22:13:20.250+01:00"), "created is no time"),
    "a time in whole seconds": (_set("attack-flow", "created", "1970-01-01T00:00:00Z"), "created is no time"),
    "modified too early": (_set("attack-flow", "modified", "1970-01-01T00:00:00.000Z"), "modified before"),
    "an end before the start": (_set("attack-action", "execution_end", "1970-01-01T00:00:00.000Z"), "ends before"),
    "confidence beyond": (_set("attack-action", "confidence", 101), "confidence is no whole number"),
    "confidence that is a truth": (_set("attack-action", "confidence", True), "confidence is no whole number"),
    "a technique of nobody's": (_set("attack-action", "technique_id", "1059"), "technique_id is no id"),
    "a reference to no technique": (_set("attack-action", "technique_ref", STRANGE_ID), "technique_ref is no id"),
    "an unknown operator": (_set("attack-operator", "operator", "XOR"), "neither AND nor OR"),
    "an address without a value": (_without("ipv4-addr", "value"), "value is missing"),
    "an id of another type": (_set("attack-asset", "id", STRANGE_ID), "is no id of a attack-asset"),
    "an id that is none": (_set("attack-asset", "id", "attack-asset--1"), "is no id of a attack-asset"),
    "an id twice": (_twice, "occurs twice"),
    "an object of a foreign type": (_set("attack-operator", "type", "relationship"), "is no id of a relationship"),
    "a circle": (_circle, "lead back to themselves"),
    "a way back to the start": (_back_to_start, "is a start, and something leads to it"),
    "steps that no start leads to": (_lost, "cannot be reached from a start"),
    "two flows": (_two_flows, "has not one attack-flow"),
    "no flow": (_drop("attack-flow"), "has not one attack-flow"),
    "no bundle": (lambda bundle: bundle.update(type="report"), "type or id is not a bundle's"),
    "no objects": (lambda bundle: bundle.update(objects={}), "objects is not a list"),
}


def test_our_own_rules_take_what_we_make() -> None:
    assert check_bundle(BUNDLE) == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_our_own_rules_refuse(name: str) -> None:
    mutate, fault = MUTATIONS[name]
    bundle = copy.deepcopy(BUNDLE)
    mutate(bundle)
    assert any(fault in each for each in check_bundle(bundle)), check_bundle(bundle)


def _rooted(schema: Any, path: str) -> Any:
    """A schema whose references lead to the files beside it: they are written for several homes, one of them wrong."""
    if isinstance(schema, list):
        return [_rooted(each, path) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for name, value in schema.items():
        if name == "$ref" and isinstance(value, str) and not value.startswith("#"):
            inside = re.sub(r"^https?://.*/schemas/", "", value)
            if inside.startswith("../"):
                inside = inside.removeprefix("../")
            elif "/" not in inside:
                inside = f"{path.rpartition('/')[0]}/{inside}"
            found[name] = f"urn:stix:{inside}"
        elif name != "$id":
            found[name] = _rooted(value, path)
    return found


@pytest.fixture(scope="module")
def published() -> Callable[[dict[str, Any]], list[str]]:
    """What the published schemas say of a bundle's objects, each judged by the schema of its type."""
    if not SCHEMAS.exists():
        pytest.skip("attack_flow_schemas.tar.gz is not here")
    schemas: dict[str, Any] = {}
    with tarfile.open(SCHEMAS) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            if file is not None and ("/oasis-open/" in member.name or member.name.endswith(PUBLISHED)):
                path = member.name.rpartition("/oasis-open/")[2] if "/oasis-open/" in member.name else PUBLISHED
                schemas[path] = _rooted(json.loads(file.read()), path)
                schemas[path]["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    registry: Registry[Any] = Registry().with_resources(
        (f"urn:stix:{path}", Resource.from_contents(schema, DRAFT202012)) for path, schema in schemas.items()
    )
    validators = {path: Draft202012Validator({"$ref": f"urn:stix:{path}"}, registry=registry) for path in schemas}

    def faults(bundle: dict[str, Any]) -> list[str]:
        found = []
        for each in bundle["objects"]:
            of_type = [PUBLISHED] if each["type"].startswith("attack-") and each["type"] != "attack-pattern" else [
                path for path in schemas if path.rpartition("/")[2] == f"{each['type']}.json"
            ]  # fmt: skip
            assert of_type, each["type"]
            found += [
                f"{each.get('id')}: {error.message}" for path in of_type for error in validators[path].iter_errors(each)
            ]
        return found

    return faults


def test_the_published_schema_takes_a_bundle(published: Callable[[dict[str, Any]], list[str]]) -> None:
    assert published(BUNDLE) == []
    assert published(json.loads(EXAMPLE.read_bytes())) == []


@given(clusters=clusters_of(most=6))
def test_the_published_schema_takes_every_bundle(
    published: Callable[[dict[str, Any]], list[str]], clusters: list[ClusterSummary]
) -> None:
    for flow in build_flows(clusters, TABLE, LINKED):
        assert published(bundle_of(flow, TABLE)) == []


@pytest.mark.parametrize(
    "name",
    [
        "no name of the flow",
        "no scope",
        "an unknown scope",
        "no starts",
        "empty starts",
        "no name of an action",
        "a name that is no text",
        "empty effects",
        "effects that are no list",
        "the wrong extension",
        "extensions left out",
        "no creation",
        "a time of day alone",
        "a time in another zone",
        "a time in whole seconds",
        "confidence beyond",
        "a reference to no technique",
        "an unknown operator",
        "an address without a value",
        "an id that is none",
    ],
)
def test_the_published_schema_refuses_what_our_own_rules_refuse(
    name: str, published: Callable[[dict[str, Any]], list[str]]
) -> None:
    bundle = copy.deepcopy(BUNDLE)
    MUTATIONS[name][0](bundle)
    assert published(bundle) != []


@pytest.mark.skipif(not EXAMPLE.exists(), reason="attack_flow_min_valid.json is not here")
def test_our_own_rules_take_a_bundle_of_others() -> None:
    assert check_bundle(json.loads(EXAMPLE.read_bytes())) == []
