"""The commands of alerts as a person uses them: files and pipes in, lines or pictures out, and the demo."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app import aws
from app.domains.alerts.synthetic import SAMPLE_ALERTS, synthetic_alerts
from app.stream.shards import StartingPosition, read_stream
from tests.integration.test_cli import MILLRACE, ROOT, run, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LSASS = "LSASS memory read by an unknown process"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b"\n".join(msgspec.json.encode(each) for each in synthetic_alerts()))
    return path


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def pipe(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell, in which `millrace` is this one."""
    shell = f'millrace() {{ {shlex.join(MILLRACE)} "$@"; }}; set -o pipefail; {command}'
    return subprocess.run(
        ["bash", "-c", shell],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class TestTechnique:
    """`alerts technique`: alerts or texts in, techniques with their source out."""

    def test_of_texts(self) -> None:
        [told] = lines(run("alerts", "technique", "--text", LSASS).stdout)
        assert told["text"] == LSASS
        assert told["source"] == "model"
        [technique] = told["techniques"]
        assert technique["id"] == "T1003.001"
        assert technique["name"] == "OS Credential Dumping: LSASS Memory"
        assert technique["tactics"] == ["credential-access"]
        assert technique["confidence"] == told["confidence"] > 0.5

    def test_of_a_file_of_anything(self, tmp_path: Path) -> None:
        path = tmp_path / "mixed.gz"
        own = {"id": 1, "time": 1716468856, "src": "a", "dst": "b", "name": "x", "tech": ["T1055"]}
        retired = {**own, "id": 2, "tech": ["T1086", "T9999"]}
        text = [json.dumps(own), LSASS, json.dumps(retired), json.dumps({**own, "src": None})]
        path.write_bytes(gzip.compress("\n".join(text).encode()))
        done = run("alerts", "technique", str(path))
        found = lines(done.stdout)
        assert [each["source"] for each in found] == ["alert", "model", "alert"]
        assert [each.get("id") for each in found] == [1, None, 2]
        assert [each["id"] for each in found[2]["techniques"]] == ["T1059.001"]
        assert found[2]["dropped"] == ["T9999"]
        assert "line 4: missing_src: " in done.stderr
        assert "1 of 4 alerts could not be read" in done.stderr

    def test_from_which_confidence_on_the_model_answers(self) -> None:
        ask = ("alerts", "technique", "--text", LSASS)
        [sure] = lines(run(*ask).stdout)
        for least, answers in ((0, True), (sure["confidence"] - 0.01, True), (1, False)):
            [told] = lines(run(*ask, "--least-confidence", str(least)).stdout)
            [by_setting] = lines(run(*ask, TECHNIQUE_LEAST_CONFIDENCE=str(least)).stdout)
            assert told == by_setting
            assert bool(told["techniques"]) == answers
            assert told["source"] == ("model" if answers else "unknown")
            assert told["confidence"] == sure["confidence"]
        vague = ("alerts", "technique", "--text", "Something happened on a host")
        [unknown], [guess] = (lines(run(*vague, *more).stdout) for more in ((), ("--least-confidence", "0")))
        assert (unknown["source"], guess["source"]) == ("unknown", "model")
        assert guess["techniques"][0]["confidence"] == guess["confidence"] == unknown["confidence"]
        assert "--least-confidence" in run(*ask, "--least-confidence", "1.5", expect=2).stderr

    def test_candidates_stand_beside_the_answer(self, tmp_path: Path) -> None:
        path = tmp_path / "texts.jsonl"
        path.write_text(json.dumps({"id": "a-1", "text": LSASS}) + "\nGPL ICMP_INFO PING *NIX\n")
        sure, none = lines(run("alerts", "technique", str(path), "--candidates", "3").stdout)
        assert sure["id"] == "a-1"
        assert sure["candidates"][0].items() <= sure["techniques"][0].items()
        assert [len(each["candidates"]) for each in (sure, none)] == [3, 3]
        assert (none["techniques"], "id" in none) == ([], False)
        shown = run("alerts", "technique", "--table", "--candidates", "2", "--text", LSASS).stdout
        assert "candidates" in shown
        assert (
            "--no-model"
            in run("alerts", "technique", "--candidates", "2", "--no-model", "--text", LSASS, expect=2).stderr
        )

    def test_without_the_model(self) -> None:
        [told] = lines(run("alerts", "technique", "--no-model", "--text", LSASS).stdout)
        assert (told["techniques"], told["source"], told["confidence"]) == ([], "unknown", 0)

    def test_as_a_table(self) -> None:
        shown = run("alerts", "technique", "--table", "--text", LSASS, "--text", "[bold]nothing[/] known").stdout
        assert "T1003.001 OS Credential Dumping: LSASS Memory" in shown
        assert "[bold]nothing[/] known" in shown

    def test_analysts_corrections_are_heard(self, tmp_path: Path) -> None:
        table = tmp_path / "lookup.csv"
        table.write_text('alerts,techniques\n"Door 7 was open","[""T1078""]"\n')
        [told] = lines(run("alerts", "technique", "--text", "door 12 was open", LOOKUP_TABLE=str(table)).stdout)
        assert (told["source"], [each["id"] for each in told["techniques"]]) == ("lookup", ["T1078"])


def test_clusters_are_told_alert_by_alert(sample: Path) -> None:
    told = lines(run("alerts", "cluster", str(sample)).stdout)
    assert [each["id"] for each in told] == list(range(1, SAMPLE_ALERTS + 1))
    assert set(told[0]) == {"id", "cluster_id", "opened", "merged", "duplicate"}
    opened = [each["cluster_id"] for each in told if each["opened"]]
    assert len(opened) == len(set(opened)) < SAMPLE_ALERTS / 2
    assert {each["cluster_id"] for each in told} <= set(opened)
    piped = pipe(f"gzip -c {sample} | millrace alerts cluster")
    assert lines(piped.stdout) == told


def test_a_pipe_is_answered_as_it_goes() -> None:
    alerts = [msgspec.json.encode(each).decode() for each in synthetic_alerts(3)]
    process = subprocess.Popen(
        [*MILLRACE, "alerts", "cluster"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, alert in enumerate(alerts, 1):
            process.stdin.write(alert + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
        assert process.wait(30) == 0


def test_flows_and_their_bundles(sample: Path, tmp_path: Path) -> None:
    flows = lines(run("alerts", "flow", str(sample)).stdout)
    largest = max(flows, key=lambda flow: len(flow["nodes"]))
    assert len(largest["cluster_ids"]) > 5
    assert all(edge["reason"] and 0 < edge["probability"] <= 1 for edge in largest["edges"])

    bundles = lines(run("alerts", "flow", "--stix", str(sample)).stdout)
    assert len(bundles) == len(flows)
    assert {each["type"] for each in bundles} == {"bundle"}
    done = run("alerts", "flow", "--stix", "--out", str(tmp_path / "made"), str(sample))
    assert done.stdout == ""
    written = {path.name: json.loads(path.read_bytes()) for path in (tmp_path / "made").iterdir()}
    names = [f"flow-{flow['flow_id']}" for flow in flows]
    assert set(written) == {f"{name}{ending}" for name in names for ending in (".stix.json", ".afb")}
    made = [written[f"{name}.stix.json"]["id"] for name in names]
    assert sorted(made) == sorted(each["id"] for each in bundles)
    assert "--out" in run("alerts", "flow", "--out", "x", str(sample), expect=2).stderr


class TestRun:
    """`alerts run`: all of it."""

    def test_for_a_person(self) -> None:
        shown = pipe("millrace alerts sample | millrace alerts run")
        assert shown.returncode == 0
        assert "clusters of two alerts or more" in shown.stdout
        assert "T1505.003 Server Software Component: Web Shell" in shown.stdout
        assert "an attack with probability" in shown.stdout
        assert shown.stdout.splitlines()[-1].startswith(f"{SAMPLE_ALERTS} alerts, 0 that could not be read, ")

    def test_as_lines_that_the_stream_would_have(self, sample: Path) -> None:
        incidents = lines(run("alerts", "run", "--json", str(sample)).stdout)
        assert {each["type"] for each in incidents[:-1]} == {"cluster", "flow"}
        assert incidents[-1]["type"] == "summary"  # the command's own, at the end
        both = lines(run("alerts", "run", "--json", "--role", "enriched", "--role", "tickets", str(sample)).stdout)
        assert sum("alert" in each for each in both) == SAMPLE_ALERTS
        assert len(both) > SAMPLE_ALERTS

    def test_as_files(self, sample: Path, tmp_path: Path) -> None:
        done = run("alerts", "run", "--out", str(tmp_path / "out"), "--tenant", "acme", str(sample))
        names = {path.name for path in (tmp_path / "out").iterdir()}
        assert {"cluster.json", "flow.json", "cluster_ticket_output.json", "global_metrics.json"} <= names
        assert f"{len(names)} files written to" in done.stderr
        refused = run("alerts", "run", "--out", "/proc/nope", str(sample), expect=47)
        assert "give --out a folder of your own" in refused.stderr


class TestTrouble:
    """One line that says what to do, an exit code, and never a stack trace."""

    def test_nothing_that_could_be_read(self) -> None:
        for given, why in (("", "it is empty"), ("zzz", "none of its alerts could be read")):
            done = pipe(f"printf '{given}' | millrace alerts run")
            assert done.returncode == 40
            assert done.stderr.splitlines()[-1].startswith(f"millrace: standard input: {why}; ")
            assert "Traceback" not in done.stderr

    def test_no_such_file(self) -> None:
        for command in ("alerts cluster", "feed", "feed --pipeline alerts"):
            assert "No such file" in run(*command.split(), "/nowhere", expect=47).stderr

    def test_options_that_would_do_nothing_are_refused(self, sample: Path) -> None:
        assert "--role" in run("alerts", "run", "--role", "tickets", str(sample), expect=2).stderr
        assert "--text" in run("alerts", "technique", "--text", "x", str(sample), expect=2).stderr

    @pytest.mark.parametrize("command", ["technique", "technique --table", "cluster", "flow", "run", "run --json"])
    def test_a_full_disk_and_a_closed_output(self, command: str, sample: Path) -> None:
        for output, why in (("> /dev/full", "No space left on device"), (">&-", "it is closed")):
            done = pipe(f"millrace alerts {command} {sample} --no-model {output}")
            assert done.returncode == 47
            assert done.stderr.splitlines()[-1].startswith("millrace: standard output: ")
            assert why in done.stderr
            assert "Traceback" not in done.stderr
            assert "Exception ignored" not in done.stderr

    def test_what_another_command_writes_is_a_file_too(self) -> None:
        done = pipe("millrace alerts technique --no-model <(millrace alerts sample --count 3)")
        assert ([each["id"] for each in lines(done.stdout)], done.stderr) == ([1, 2, 3], "")

    def test_no_such_format(self, sample: Path) -> None:
        assert "give one of seed, " in run("alerts", "cluster", "--format", "x", str(sample), expect=10).stderr

    def test_a_reader_that_has_seen_enough(self) -> None:
        done = pipe(
            "set +o pipefail; millrace alerts sample --count 20000 | millrace alerts cluster --no-model | head -n 1"
        )
        assert json.loads(done.stdout)["id"] == 1
        assert done.stderr == ""

    @pytest.mark.parametrize("command", ["technique", "technique --table", "cluster", "flow", "run"])
    def test_a_reader_that_wants_nothing(self, command: str, sample: Path) -> None:
        done = pipe(f"millrace alerts {command} {sample} --no-model | true")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_thousands_of_bad_alerts_are_counted(self) -> None:
        done = pipe("(seq 3000; millrace alerts sample --count 1) | millrace alerts cluster --no-model")
        assert done.returncode == 0
        assert len(done.stderr.splitlines()) == 1_002
        assert done.stderr.splitlines()[-1] == "3000 of 3001 alerts could not be read"

    @pytest.mark.parametrize("command", ["technique", "cluster", "flow", "run", "sample"])
    def test_help(self, command: str) -> None:
        assert "Example" in run("alerts", command, "--help").stdout


@pytest.mark.cloud
class TestStreams:
    """`feed --pipeline alerts`, `create --state-table` and the demo."""

    def test_feeding_alerts(self, new_stream: Callable[..., str], tmp_path: Path) -> None:
        stream, path = new_stream("alerts"), tmp_path / "day.csv.gz"
        rows = "time,name,ip,host,short,time_label,event_label\n"
        rows += "".join(f"{1643932807 + number},a name,10.0.0.1,web,S,x,-\n" for number in range(30))
        path.write_bytes(gzip.compress(rows.encode()))
        feed = ("feed", "--pipeline", "alerts", "--stream", stream)
        assert "30 records put" in run(*feed, str(path), "--aggregate").stderr
        mixed = tmp_path / "mixed"
        mixed.write_text('nothing known\n{"id": 1, "time": 1, "src": "a", "dst": "b", "name": "x", "tenant": "acme"}\n')
        assert "2 records put" in run(*feed, str(mixed)).stderr
        assert "5 records put" in run(*feed, "--count", "5").stderr

        kinesis = aws.client("kinesis")
        [shard] = kinesis.list_shards(StreamName=stream)["Shards"]
        iterator = kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = kinesis.get_records(ShardIterator=iterator)["Records"]
        assert [each["PartitionKey"] for each in records[-7:]] == ["default", "acme", *["default"] * 5]
        assert records[-7]["Data"] == b"nothing known"
        assert json.loads(records[-5]["Data"])["id"] == 1
        assert len(run("drain", "--stream", stream).stdout.splitlines()) == 37
        assert "not a regular file" in run(*feed, "/dev/null", expect=47).stderr

    def test_a_whole_way_by_hand(self, new_stream: Callable[..., str]) -> None:
        names = {role: new_stream(role) for role in ("alerts", "enriched", "incidents", "tickets", "aside")}
        table = f"state-{names['alerts']}"
        assert "created" in run("create", "--state-table", table).stdout
        assert "exists already" in run("create", "--state-table", table).stdout
        run("feed", "--pipeline", "alerts", "--stream", names["alerts"], "--aggregate")
        done = run(
            "run",
            "--stream",
            names["alerts"],
            "--drain",
            PIPELINE="alerts",
            OUTPUT_STREAMS=",".join(f"{role}:{names[role]}" for role in ("enriched", "incidents", "tickets")),
            QUARANTINE_STREAM=names["aside"],
            STATE_TABLE=table,
        )
        assert "acknowledged" in done.stderr
        assert f"{names['alerts']} → {names['enriched']}, {names['incidents']}, {names['tickets']}; " in done.stderr
        assert sum(1 for _ in read_stream(names["enriched"], StartingPosition())) == SAMPLE_ALERTS
        flows = [
            each
            for each in map(json.loads, read_stream(names["incidents"], StartingPosition()))
            if each["type"] == "flow"
        ]
        assert max(len(each["flow"]["cluster_ids"]) for each in flows) > 5

    def test_a_table_with_another_key_is_refused(self, new_stream: Callable[..., str]) -> None:
        table = new_stream("table")
        aws.client("dynamodb").create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "other", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "other", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        assert "its key is not state_key alone" in run("create", "--state-table", table, expect=30).stderr
        assert "name streams, or --state-table" in run("create", expect=2).stderr

    def test_the_demo_shows_incidents_and_what_came_of_every_alert(self) -> None:
        shown = run("demo", "--alerts", ALERTS_DATA="").stdout
        flat = " ".join(shown.split())
        assert "an invented sample" in flat
        assert "cluster" in flat
        assert "opened: " in flat
        assert "an attack with probability" in flat
        assert f"{SAMPLE_ALERTS + 4} alerts in, {SAMPLE_ALERTS + 4} acknowledged, {SAMPLE_ALERTS} enriched, " in flat
        reasons = "4 quarantined (1 bad_compression, 1 missing_name, 1 not_json, 1 unknown_format)"
        assert reasons in flat

    def test_ctrl_c_ends_the_demo_and_all_that_it_started(self, tmp_path: Path) -> None:
        with start("demo", "--alerts", ALERTS_DATA="", TMPDIR=str(tmp_path)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("feeding "):
                    break
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in said
        assert list(tmp_path.glob("millrace-demo-*")) == []
