"""The command, the steps of a file and the stream give the same clusters, flows and refusals for the same alerts."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from app.domains.alerts.alert import LARGEST_ALERT_BYTES
from app.domains.alerts.cli import commands
from app.domains.alerts.cli.input import AlertInput, alert_records
from app.domains.alerts.files.driver import open_files, run_file
from app.domains.alerts.pipeline import AlertPipeline
from app.domains.alerts.synthetic import synthetic_alerts
from app.settings import Settings
from app.stream.testing import MemorySpine

if TYPE_CHECKING:
    from collections.abc import Callable

AIT_ADS = Path(__file__).parents[5] / "shared" / "data" / "alerts" / "ait_ads_shaw.csv.gz"
ATTACK = slice(45_500, 50_500)  # rows of it; those before are of days without an attack, which have no incident
LIKE = 0.9  # a stream has forgotten what was too old or too much, and hears of a cluster's growth in steps
BATCH = 500  # records of an event


class Answer(NamedTuple):
    """What a way says of a file's alerts.

    Attributes:
        clusters: The ids of its alerts by cluster.
        flows: The clusters of each flow.
        refused: The reasons of the elements that are no alerts, in their order.
    """

    clusters: dict[int, list[Any]]
    flows: dict[int, list[int]]
    refused: list[str]


def of_files(files: dict[str, bytes], refused: list[str]) -> Answer:
    clusters, flows = (json.loads(files[name]) for name in ("cluster.json", "flow.json"))
    return Answer(
        {row["cluster_id"]: row["ids"] for row in clusters},
        {row["flow_id"]: row["cluster_ids"] for row in flows},
        refused,
    )


def by_command(path: Path, folder: Path) -> tuple[Answer, dict[str, bytes]]:
    """`millrace alerts run FILE --out FOLDER`."""
    commands.run(commands.Given(path, "", "", no_model=False), roles={"tickets"}, page=None, out=folder)
    files = {each.name: each.read_bytes() for each in folder.iterdir()}
    items = itertools.chain.from_iterable(AlertInput(path))
    return of_files(files, [each.fault.reason for each in items if each.fault]), files


def by_steps(path: Path, folder: Path) -> tuple[Answer, dict[str, bytes]]:
    """The file under `input/`, in chunks."""
    context = open_files(str(folder), Settings())
    context.objects.put(f"input/{path.name}", path.read_bytes())
    done = run_file(context, f"input/{path.name}", chunk_alerts=1_000)
    [run] = done.runs
    skipped = json.loads(context.objects.get(f"skipped_events/{run}/input.json") or b'{"skipped": []}')
    prefix = f"output/{run}/"
    files = {name.removeprefix(prefix): context.objects.get(name) or b"" for name in context.objects.names(prefix)}
    del files["manifest.json"]
    return of_files(files, [row["reason"] for row in skipped["skipped"]]), files


def by_stream(path: Path) -> Answer:
    """`millrace feed FILE --pipeline alerts`, and the pipeline behind it."""
    spine = MemorySpine(AlertPipeline.open(Settings()))
    records, _ = alert_records(path, None, endless=False)
    while batch := list(itertools.islice(records, BATCH)):
        keys, payloads = zip(*batch, strict=True)
        assert spine.run(payloads, keys, seconds=600).acknowledged == len(payloads)
    members: dict[int, list[tuple[int, Any]]] = {}
    for number, (_, data) in enumerate(spine.streams.records["enriched"]):
        record = msgspec.json.decode(data)
        members.setdefault(record["cluster_id"], []).append((number, record["alert"]["id"]))
    flows: dict[int, list[int]] = {}
    for _, data in spine.streams.records["incidents"]:
        record = msgspec.json.decode(data)
        if record["type"] == "cluster" and record["change"] == "became":
            members[record["into"]] += members.pop(record["cluster_id"])
        if record["type"] == "flow" and (record["change"] == "became" or not record["flow"]["nodes"]):
            flows.pop(record["flow_id"], None)
        elif record["type"] == "flow":
            flows[record["flow_id"]] = record["flow"]["cluster_ids"]
    return Answer(
        {cluster: [each for _, each in sorted(found)] for cluster, found in sorted(members.items())},
        flows,
        [each["reason"] for each in spine.quarantined()],
    )


def likeness(one: dict[int, list[int]], other: dict[int, list[int]]) -> float:
    """The share of (flow, cluster) that both have; 1 where neither has a flow."""
    first, second = ({(flow, each) for flow, found in flows.items() for each in found} for flows in (one, other))
    return len(first & second) / len(first | second) if first | second else 1.0


@pytest.fixture
def answers(tmp_path: Path) -> Callable[..., Answer]:
    """Has all three ways answer, and gives the answer where they agree."""

    def agreed(path: Path, *, stable: bool = True) -> Answer:
        command, files = by_command(path, tmp_path / "command")
        steps, other_files = by_steps(path, tmp_path / "steps")
        assert steps == command
        assert other_files == files  # to the byte
        stream = by_stream(path)
        assert stream.clusters == command.clusters
        if stable:
            assert likeness(command.flows, stream.flows) > LIKE
        assert stream.refused == [each for each in command.refused if each != "alert_too_large"]  # no record holds it
        return command

    return agreed


def line(number: int, **changed: Any) -> bytes:
    return json.dumps({**next(itertools.islice(synthetic_alerts(), number, None)), **changed}).encode()


def test_of_the_sample(answers: Callable[..., Answer], tmp_path: Path) -> None:
    path = tmp_path / "sample.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, synthetic_alerts(1_000))))
    answer = answers(path)
    assert sorted(each for ids in answer.clusters.values() for each in ids) == list(range(1, 1_001))
    assert answer.flows
    assert answer.refused == []


@pytest.mark.parametrize("first", [0, 1, 30])
def test_of_wrong_dates(answers: Callable[..., Answer], tmp_path: Path, first: int) -> None:
    """Two alerts of 2099 and two of 1970, the first ones of a file too."""
    path = tmp_path / "dated.jsonl"
    right = [line(number) for number in range(200)]
    wrong = [
        line(number, id=f"w{number}", time=time, src=f"s{number}", dst=f"s{number}", name=f"reading {number}")
        for number, time in enumerate(["2099-01-01T00:00:00Z", "2099-01-01T00:00:01Z", 0, 1])
    ]
    path.write_bytes(b"\n".join([*right[:first], *wrong, *right[first:]]))
    found = answers(path).clusters
    path.write_bytes(b"\n".join(right))
    expected = by_command(path, tmp_path / "right")[0].clusters
    others = sorted(ids for ids in ([each for each in ids if type(each) is int] for ids in found.values()) if ids)
    assert others == sorted(expected.values())


DAMAGED = {
    "lines": b"\n".join(
        [
            line(0),
            b'{"broken": ',
            line(1) + line(2),
            b'{"id": 1}{"id": 2}',
            b'{"input": [' + line(3) + b', {"id": 2, "time": }, null, ' + line(4) + b'], "config": {}}',
            b"[" + line(5) + b", " + line(6, src=None) + b"]",
            line(7, name=""),
            b"\xff\xfe",
            b"",
            b"a text",
            b"CEF:0|half a head",
            b'{"name": "' + b"x" * LARGEST_ALERT_BYTES + b'"}',
            b"[]",
            line(8) + b"{",
            *map(line, range(9, 60)),
        ]
    ),
    "list": json.dumps([*map(json.loads, map(line, range(60))), None, 17, "a text", {}, {"id": 3}], indent=1).encode(),
    "document": json.dumps(
        {
            "cluster_config": {"delta_s": 9},
            "input": [*map(json.loads, map(line, range(60))), {"id": 3}],
            "node_feature": {"web1": {"user": "www"}},
        },
        indent=1,
    ).encode(),
}


@pytest.mark.parametrize("kind", ["lines", "list"])
def test_of_damaged_files(answers: Callable[..., Answer], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "damaged.json.gz"
    path.write_bytes(gzip.compress(DAMAGED[kind]))
    answer = answers(path)
    assert len(answer.refused) > 4
    assert sum(map(len, answer.clusters.values())) > 50


def test_of_a_document_with_settings(tmp_path: Path) -> None:
    """A stream takes its settings from the environment, so that two ways are left."""
    path = tmp_path / "day.json"
    path.write_bytes(DAMAGED["document"])
    command, files = by_command(path, tmp_path / "command")
    steps, other_files = by_steps(path, tmp_path / "steps")
    assert (steps, other_files) == (command, files)
    assert command.refused == ["unknown_format"]
    assert b'"user":"www"' in files["cluster_ticket_output.json"]


@pytest.mark.skipif(not AIT_ADS.exists(), reason=f"AIT-ADS is not at hand: {AIT_ADS.name}")
@pytest.mark.parametrize("rows", [ATTACK, pytest.param(slice(None), marks=pytest.mark.slow)], ids=["attack", "all"])
def test_of_ait_ads(answers: Callable[..., Answer], tmp_path: Path, rows: slice) -> None:
    path = tmp_path / "ait.csv"
    with gzip.open(AIT_ADS) as file:
        header, *lines = file
    path.write_bytes(b"".join((header, *lines[rows])))
    answer = answers(path, stable=False)
    assert answer.flows or rows is not None
    assert answer.refused == []
