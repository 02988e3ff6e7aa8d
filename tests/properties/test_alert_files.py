"""Files of alerts: however the bytes are cut, the events ordered and repeated, and the process ended."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domains.alerts.files import cut
from app.domains.alerts.files.codes import Encoder, code_of, node_columns, node_rows
from app.domains.alerts.files.driver import do_step, run_file
from app.domains.alerts.files.layout import JOB
from app.domains.alerts.formats.scanner import BrokenJsonError, Scanner
from app.jobs.head import load_head, state_key
from app.jobs.layout import INPUT
from app.storage.objects import MemoryObjects
from app.storage.state import MemoryState
from tests.unit.domains.alerts.files.files_for_tests import (
    Crash,
    Faulty,
    FaultyObjects,
    FaultyStore,
    alert,
    put_input,
    small_context,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
alerts_of_files = st.lists(
    st.lists(
        st.builds(
            lambda src, dst, name, tenant: {"src": src, "dst": dst, "name": name, "tenant": tenant},
            st.sampled_from("abcdef"),
            st.sampled_from("abcdef"),
            st.sampled_from(["port scan", "new service", "something new"]),
            st.sampled_from(["", "", "acme"]),
        ),
        min_size=1,
        max_size=8,
    ),
    min_size=1,
    max_size=3,
)


def blocks_of(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    for size in [*sizes, len(data) + 1]:
        if block := data[at : at + size]:
            yield block
        at += size


@given(
    st.lists(values, max_size=6), st.lists(st.integers(1, 9), max_size=40), st.sampled_from([None, 1]), st.booleans()
)
@example(["\\", '"', '\\"', "]"], [1] * 40, None, True)
def test_elements_are_those_of_the_document(
    document: list[Any], sizes: list[int], indent: int | None, ascii_only: bool
) -> None:
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = [json.loads(raw or b"") for raw, _ in Scanner(blocks_of(data, sizes)).elements(10_000)]
    assert found == document


@given(st.lists(values, max_size=6), st.lists(st.integers(1, 9), max_size=40), st.integers(1, 40))
def test_only_elements_above_the_limit_are_dropped(document: list[Any], sizes: list[int], limit: int) -> None:
    data = json.dumps(document).encode()
    found = list(Scanner(blocks_of(data, sizes)).elements(limit))
    lengths = [len(json.dumps(each)) for each in document]
    assert [size for _, size in found] == lengths
    assert [raw is None for raw, _ in found] == [length > limit for length in lengths]
    assert [json.loads(raw) for raw, _ in found if raw is not None] == [
        each for each, length in zip(document, lengths, strict=True) if length <= limit
    ]


@given(st.binary(max_size=60), st.lists(st.integers(1, 9), max_size=20))
def test_any_bytes_end_with_values_or_one_refusal(data: bytes, sizes: list[int]) -> None:
    for begin in (b"", b"[", b'["'):
        try:
            list(Scanner(blocks_of(begin + data, sizes)).elements(20))
        except BrokenJsonError as error:
            assert "at byte" in str(error)


@given(values, values)
def test_codes_say_the_same_of_the_same(one: Any, other: Any) -> None:
    assert 0 < code_of(one) < 2**53
    if msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(other, order="deterministic"):
        assert code_of(one) == code_of(other)
    encoded = Encoder().attributes({"a": one, "b": one, "port": 5})
    assert encoded["a"] == encoded["b"] == [code_of(one)]
    assert (encoded["port"], encoded["empty"]) == (5, False)


@given(st.dictionaries(st.text(max_size=3), st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=4))
def test_a_node_has_a_code_for_each_feature_and_nothing_else(nodes: dict[str, dict[str, Any]]) -> None:
    columns = node_columns(nodes)
    rows = node_rows(nodes, columns, nodes)
    assert set(rows) == set(nodes)
    for node, row in rows.items():
        there = {columns[name] for name, value in nodes[node].items() if value is not None and value != ""}
        assert {place for place, code in enumerate(row) if code} == there


def named(files: list[list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {
        f"input/{number}.json": [
            alert(100 * number + place, **{key: value for key, value in each.items() if value})
            for place, each in enumerate(alerts)
        ]
        for number, alerts in enumerate(files)
    }


def deliver(
    objects: dict[str, bytes], store: MemoryState, names: list[str], chunk: int, random_: random.Random
) -> None:
    """Hands out each new object's event in any order, some twice, again after each crash, until all are done."""
    waiting = list(names)
    told: set[str] = set(names)
    crashes = 0
    while waiting:
        event = waiting.pop(random_.randrange(len(waiting)))
        faults = Faulty(
            random_.randrange(30) if random_.random() < 0.4 and crashes < 30 else None, after=random_.random() < 0.5
        )
        context = small_context(FaultyObjects(objects, faults), FaultyStore(store, faults))
        try:
            if event.startswith(INPUT):
                cut.enrich(context, event, chunk)
            else:
                do_step(context, event)
        except Crash:
            crashes += 1
            waiting.append(event)  # what failed is delivered again
        new = sorted(set(objects) - told)
        told.update(new)
        waiting += new
        if random_.random() < 0.2:
            waiting.append(event)


@given(alerts_of_files, st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=40)
def test_events_in_any_order_and_crashes_at_any_time(files: list[list[dict[str, Any]]], chunk: int, seed: int) -> None:
    objects: dict[str, bytes] = {}
    bucket, store = MemoryObjects(objects), MemoryState()
    inputs = named(files)
    for name, alerts in inputs.items():
        put_input(bucket, alerts, name)
    deliver(objects, store, list(inputs), chunk, random.Random(seed))

    for name, alerts in inputs.items():
        manifests = [
            json.loads(objects[each])
            for each in bucket.names("output/")
            if each.endswith("manifest.json") and json.loads(objects[each])["file"] == name
        ]
        rows = [row for manifest in manifests for row in json.loads(objects[f"output/{manifest['run']}/cluster.json"])]
        ids = sorted(each for row in rows for each in row["ids"])
        assert ids == sorted(each["id"] for each in alerts)  # each alert in one cluster: none lost, none twice
    for tenant in ("default", "acme"):
        head = load_head(store, state_key(JOB, bucket.root, tenant))
        if head.state is None:
            continue
        state = json.loads(msgspec.msgpack.decode(objects[head.state])[1])
        held = sorted(each["alert"]["id"] for rows in state["alerts"].values() for each in rows)
        given_ids = sorted(
            each["id"] for alerts in inputs.values() for each in alerts if each.get("tenant", "default") == tenant
        )
        assert held == given_ids


@given(alerts_of_files, st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=25)
def test_one_files_results_do_not_depend_on_how_it_came_about(
    files: list[list[dict[str, Any]]], chunk: int, seed: int
) -> None:
    [name, *_], alerts = list(named(files)), next(iter(named(files).values()))
    quiet, disturbed = MemoryObjects(), MemoryObjects()
    put_input(quiet, alerts, name)
    put_input(disturbed, alerts, name)
    run_file(small_context(quiet), name, 100)
    deliver(disturbed.objects, MemoryState(), [name], chunk, random.Random(seed))
    assert visible(disturbed) == visible(quiet)
