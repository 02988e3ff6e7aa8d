"""The command line as a person uses it: processes, their output, their exit codes."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.inference.bundle import OWN_BUNDLES, find_bundle
from app.stream.shards import StartingPosition, read_stream
from tests.commands_for_tests import run_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]
MILLRACE = [sys.executable, "-m", "app.cli"]


def run(*arguments: str, expect: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `millrace` with variables over the test's environment."""
    return _run(expect, arguments, variables)


def _run(expect: int, arguments: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    done = run_command("millrace", arguments, environ=variables, folder=ROOT)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


@contextlib.contextmanager
def start(*arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Starts `millrace` as a person's shell would, so that Ctrl-C reaches it, and ends it with the test."""
    process = subprocess.Popen(
        [*MILLRACE, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background of a script ignores Ctrl-C, and hands that on to what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads start here
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def at_terminal(*arguments: str, columns: int = 80, **variables: str) -> str:
    """Runs `millrace` with a pseudo-terminal for all three streams; gives what a person would see."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [*MILLRACE, *arguments],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", **variables},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while part := os.read(ours, 65_536):
                shown += part
        os.close(ours)
    assert process.returncode == 0, shown.decode()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "")


@pytest.fixture
def mixed_stream(new_stream: Callable[..., str], tmp_path: Path) -> tuple[str, str, str]:
    """A stream with three good records and two bad ones, and streams for results and for what is set aside."""
    source, output, aside = new_stream("in"), new_stream("out"), new_stream("aside")
    record = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}}
    rides = tmp_path / "rides.jsonl"
    rides.write_text(
        "\n".join([*(json.dumps({**record, "pred_id": n}) for n in range(3)), "not JSON", '{"pred_id": 1}'])
    )
    run("feed", str(rides), "--stream", source)
    return source, output, aside


@pytest.mark.parametrize("command", [["run", "--stream"], ["mapping", "--stream-name"]])
def test_a_person_at_a_terminal_sees_a_line_a_batch(command: list[str], mixed_stream: tuple[str, str, str]) -> None:
    source, output, aside = mixed_stream
    shown = at_terminal(*command, source, "--drain", OUTPUT_STREAM=output, QUARANTINE_STREAM=aside)
    assert "5 records → 3 results, 2 set aside (" in shown
    assert "1 not_json" in shown
    assert "1 missing_field" in shown
    assert re.search(r"\d ms, lag \d+\.\d s\n", shown)
    assert "{" not in shown.replace('{"Filters":[]}', "").replace('{"OnFailure":{"Destination":""}}', "")

    piped = run(*command, source, "--drain", OUTPUT_STREAM=output, QUARANTINE_STREAM=aside).stderr
    [metrics] = [json.loads(line) for line in piped.splitlines() if line.startswith('{"_aws"')]
    assert (metrics["records"], metrics["emitted"], metrics["quarantined"]) == (5, 3, 2)
    assert "→ 3 results" not in piped


def test_invoke_shows_a_person_a_line_beside_the_answer() -> None:
    shown = at_terminal("invoke", TEST_RUN="True")
    assert "1 record → 1 result, none published, " in shown
    assert '"pred_id": 123' in shown
    assert "_aws" not in shown
    piped = run("invoke", TEST_RUN="True")
    assert "_aws" in json.loads(piped.stderr.splitlines()[-1])


def test_tables_keep_to_the_terminal_and_are_whole_in_a_pipe(mixed_stream: tuple[str, str, str]) -> None:
    source, output, aside = mixed_stream
    run("run", "--stream", source, "--drain", OUTPUT_STREAM=output, QUARANTINE_STREAM=aside)
    for command in (["quarantine", "list"], ["model", "show", "bike"], ["handlers"]):
        shown = at_terminal(*command, columns=60, QUARANTINE_STREAM=aside)
        assert max(map(len, shown.splitlines())) <= 60
    [first, *_] = json.loads(
        f"[{','.join(run('quarantine', 'list', '--json', QUARANTINE_STREAM=aside).stdout.split())}]"
    )
    assert first["id"] in run("quarantine", "list", QUARANTINE_STREAM=aside).stdout


def test_feed_run_drain(new_stream: Callable[..., str], tmp_path: Path) -> None:
    source, output, aside = new_stream("in"), new_stream("out"), new_stream("aside")
    rides = tmp_path / "rides.jsonl"
    record = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}}
    rides.write_text("\n".join([*(json.dumps({**record, "pred_id": n}) for n in range(30)), "not JSON"]))
    run("feed", "--stream", source)
    assert "31 records" in run("feed", str(rides), "--stream", source).stderr
    fed = run("feed", "--stream", source, "--rate", "200", "--count", "40")
    assert "40 records" in fed.stderr

    done = run("run", "--stream", source, "--drain", OUTPUT_STREAM=output, QUARANTINE_STREAM=aside)
    assert "72 records acknowledged" in done.stderr
    lines = run("drain", "--stream", output).stdout.splitlines()
    assert len(lines) == 71
    assert sorted(json.loads(line)["prediction"]["pred_id"] for line in lines).count(123) == 1
    head = subprocess.run(
        ["bash", "-c", '"$@" | head -n 1', "-", *MILLRACE, "drain", "--stream", output],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert head.stderr == ""
    pretty = run("drain", "--stream", output, "--pretty").stdout
    assert pretty.startswith("{\n  ")

    listed = run("quarantine", "list", QUARANTINE_STREAM=aside).stdout
    assert "1 quarantined" in listed
    assert "not_json" in listed
    assert f"{source}/shardId-" in listed  # whole, since show and replay take it
    [kept] = run("quarantine", "list", "--json", QUARANTINE_STREAM=aside).stdout.splitlines()
    whole = json.loads(kept)
    shown = json.loads(run("quarantine", "show", whole["id"], QUARANTINE_STREAM=aside).stdout)
    by_number = run("quarantine", "show", whole["source"]["sequence_number"], QUARANTINE_STREAM=aside).stdout
    assert json.loads(by_number) == shown
    assert shown["text"] == "not JSON"
    tried = run("replay", "--dry-run", QUARANTINE_STREAM=aside).stdout
    assert f"{source}: 1 records would be put back" in tried
    run("replay", "--reason", "not_json", QUARANTINE_STREAM=aside)
    assert list(read_stream(source, StartingPosition()))[-1] == b"not JSON"


def test_feed_takes_files_as_people_have_them(new_stream: Callable[..., str], tmp_path: Path) -> None:
    stream, file = new_stream(), tmp_path / "rides.json"
    records = [{"pred_id": number} for number in range(3)]
    file.write_text(json.dumps(records, indent=2))
    assert "3 records put" in run("feed", str(file), "--stream", stream).stderr
    file.write_text(json.dumps(records[0], indent=2), encoding="utf-8-sig")
    assert "1 record put" in run("feed", str(file), "--stream", stream).stderr
    assert [json.loads(data)["pred_id"] for data in read_stream(stream, StartingPosition())] == [0, 1, 2, 0]
    file.write_text('{"pred_id": 1}\nrides.jsonl\n{"pred_id"')
    said = run("feed", str(file), "--stream", stream).stderr
    assert "2 of 3 lines are not JSON, the first is line 2: it looks like the name of a file" in said
    assert "3 records put" in said
    file.write_text('{"pred_id": 1}', encoding="utf-16")
    assert "rides.json: it looks like UTF-16: write it as UTF-8" in run("feed", str(file), expect=40).stderr
    file.write_bytes(gzip.compress(b'{"pred_id": 1}'))
    assert "rides.json: it looks like gzip" in run("feed", str(file), expect=40).stderr
    file.write_bytes(b"\n")
    assert "has no lines" in run("feed", str(file), expect=40).stderr


def test_quarantine_follows_a_pointer_to_the_location(new_stream: Callable[..., str], tmp_path: Path) -> None:
    source, output, aside = new_stream("in"), new_stream("out"), new_stream("aside")
    large = tmp_path / "large.jsonl"
    large.write_bytes(b'{"pred_id": 1, "pad": "' + b"x" * 900_000 + b'"}')
    run("feed", str(large), "--stream", source)
    folder = str(tmp_path / "aside")
    run("run", "--stream", source, "--drain", OUTPUT_STREAM=output, QUARANTINE_STREAM=aside, QUARANTINE_LOCATION=folder)
    run("replay", "--to", output, QUARANTINE_STREAM=aside)
    assert list(read_stream(output, StartingPosition())) == [large.read_bytes()]


def test_replay_puts_the_records_of_a_key_back_in_order(new_stream: Callable[..., str], tmp_path: Path) -> None:
    source, output, aside = new_stream("in"), new_stream("out"), new_stream("aside", shards=2)
    broken = tmp_path / "broken.jsonl"
    lines = [b'{"pred_id": "%d"}' % number for number in range(300)]
    broken.write_bytes(b"\n".join(lines))
    run("feed", str(broken), "--stream", source, "--key", "tenant", "--aggregate")
    run("run", "--stream", source, "--drain", OUTPUT_STREAM=output, QUARANTINE_STREAM=aside)
    assert "300 of 300 records put back" in run("replay", "--to", output, QUARANTINE_STREAM=aside).stdout
    assert list(read_stream(output, StartingPosition())) == lines


def test_invoke_prints_what_the_handler_returns(tmp_path: Path) -> None:
    answer = json.loads(run("invoke", TEST_RUN="True").stdout)
    [prediction] = answer["predictions"]
    assert prediction["prediction"]["pred_id"] == 123
    assert prediction["version"] == find_bundle("bike").manifest.run_id
    assert answer["quarantined"] == []
    event = tmp_path / "event.json"
    event.write_text('{"Records": [{"eventSource": "aws:sqs"}]}')
    for option in ("--payload", "--event", "-e", "--payload-file"):
        refused = run("invoke", option, str(event), expect=40, TEST_RUN="True")
        assert "aws:sqs" in refused.stderr


def test_invoke_calls_any_handler(tmp_path: Path) -> None:
    where = {"path": str(tmp_path / "rides.json")}
    put = run("invoke", "put-json-to-file", "--payload", json.dumps({"content": {"b": "ä", "a": 2**70}, **where}))
    assert json.loads(put.stdout) == where
    got = run("invoke", "get-json-from-file", "-e", json.dumps(where)).stdout
    assert got == f'{{\n  "content": {{\n    "b": "ä",\n    "a": {2**70}\n  }}\n}}\n'  # as it is, for a person
    dotted = "app.domains.general.handlers.GetJSONFromFileHandler"
    out = tmp_path / "out.json"
    assert run("invoke", dotted, "-e", json.dumps(where), "-o", str(out)).stdout == ""
    assert out.read_text() == f'{{"content": {{"a": {2**70}, "b": "ä"}}}}'  # as handle-lambda-request writes it
    router = json.dumps({"handler": "get-json-from-file", "event": where})
    assert run("invoke", "router", "-e", router, ROUTER_HANDLERS="get-json-from-file").stdout == got
    assert "set ROUTER_HANDLERS" in run("invoke", "router", "-e", router, expect=46).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing", "-e", "{}"], 45, "no handler 'nothing': there are bike-predict, "),
        (["bike-predict"], 2, "`millrace handlers bike-predict` shows its schema"),
        (["bike-predict", "-e", "{}", "--payload-file", "x"], 2, "give one of them"),
        (["bike-predict", "-e", '{"pred_id": 1}'], 42, "$.features: object missing"),
        (["bike-predict", "-e", "nowhere.json"], 47, "neither JSON nor an existing file"),
        (["bike-predict", "-e", "{}", "-o", "ftp://x"], 47, "give a path"),
        (["stream"], 12, "OUTPUT_STREAM is not set"),
    ],
)
def test_invoke_says_what_is_wrong_in_one_line(arguments: list[str], code: int, words: str) -> None:
    refused = run("invoke", *arguments, expect=code)
    assert refused.stdout == ""
    [line] = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    assert words in line


def test_serve_answers_as_the_stream_does() -> None:
    record = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 123}
    [streamed] = json.loads(run("invoke", TEST_RUN="True").stdout)["predictions"]
    with start("serve", "--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        request = urllib.request.Request(f"{url}/bike/predictions", json.dumps(record).encode())  # noqa: S310 - loopback
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - the same
            [answered] = json.loads(response.read())["predictions"]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert {key: streamed[key] for key in answered} == answered
    assert process.returncode == 0
    assert "Traceback" not in said
    assert "may be reached by others" in run("serve", "--host", "0.0.0.0", expect=10).stderr  # noqa: S104 - refused


def test_explain_shows_each_step_and_each_fault() -> None:
    record = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "timestamp": "2026-12-25T13:00:00"}
    steps = json.loads(run("explain", json.dumps({**record, "pred_id": "x"})).stdout)
    assert list(steps)[:3] == ["pipeline", "bytes", "record"]
    assert steps["result"]["prediction"]["cnt"] == round(steps["count"])
    assert steps["partition key"] == "x"
    assert steps["id"].endswith("/0/bike/0[/<version>]")
    unread = json.loads(run("explain", "zzz").stdout)["quarantined"]
    assert unread["reason"] == "not_json"
    assert unread["message"].endswith("; 'zzz': neither JSON nor an existing file")
    snow = json.dumps({"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 94}, "pred_id": 1})
    assert json.loads(run("explain", snow).stdout)["quarantined"]["reason"] == "unknown_weather_code"


def test_explain_takes_a_file_and_standard_input(tmp_path: Path) -> None:
    record = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 7}
    whole, lines, utf16 = tmp_path / "rides.json", tmp_path / "rides.jsonl", tmp_path / "wide.json"
    whole.write_text(json.dumps(record, indent=2))
    lines.write_text(f"{json.dumps(record)}\n{json.dumps({**record, 'pred_id': 8})}\n")
    utf16.write_text(json.dumps(record), encoding="utf-16")
    for given in (str(whole), f"@{whole}", str(lines)):
        assert json.loads(run("explain", given).stdout)["partition key"] == "7"
    piped = subprocess.run(
        [*MILLRACE, "explain", "-"], cwd=ROOT, input=whole.read_bytes(), capture_output=True, check=True, timeout=60
    )
    assert json.loads(piped.stdout)["partition key"] == "7"
    assert "UTF-16" in json.loads(run("explain", str(utf16)).stdout)["quarantined"]["message"]
    assert "explain" in run("invoke", "--payload", str(whole), expect=40, TEST_RUN="True").stderr
    assert "'nowhere.json': neither JSON nor an existing file" in run("explain", "nowhere.json", expect=40).stderr
    assert "cannot be read" in run("explain", "@nowhere", expect=40).stderr
    assert "Is a directory; name a file" in run("explain", str(tmp_path), expect=40).stderr


def test_explain_splits_a_record_as_the_function_would() -> None:
    record = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 7}
    steps = json.loads(run("explain", json.dumps([record, record]), RECORD_SPLIT="list").stdout)
    assert (steps["rows"], steps["partition key"]) == (2, "7")
    assert json.loads(run("explain", "[{]", RECORD_SPLIT="list").stdout)["quarantined"]["reason"] == "not_json"


class TestBadStarts:
    """Each is one line on standard error, and an exit code of its own."""

    def check(self, code: int, words: str, **variables: str) -> None:
        refused = _run(code, ["run", "--drain"], variables)
        assert refused.stdout == ""
        said = [line for line in refused.stderr.splitlines() if line.startswith("millrace: ")]
        assert len(said) == 1
        assert words in said[0]

    def test_no_output_stream(self) -> None:
        self.check(12, "OUTPUT_STREAM is not set")

    def test_unknown_pipeline(self) -> None:
        self.check(
            11,
            "no pipeline 'bikes': set PIPELINE to one of alerts, alerts-technique, bike",
            OUTPUT_STREAM="x",
            PIPELINE="bikes",
        )

    def test_unknown_run_id(self) -> None:
        self.check(21, "run 'nope' of bike is not at", OUTPUT_STREAM="x", RUN_ID="nope")

    def test_digest_mismatch(self, tmp_path: Path) -> None:
        copy = tmp_path / "bundles"
        shutil.copytree(OWN_BUNDLES, copy)
        changed = next(copy.rglob("*.onnx"))
        changed.write_bytes(changed.read_bytes()[:-1] + b"?")
        self.check(22, "restore the bundle", OUTPUT_STREAM="x", MODEL_LOCATION=str(copy))

    @pytest.mark.usefixtures("cloud")
    def test_missing_output_stream(self) -> None:
        self.check(31, "stream nowhere: not found", OUTPUT_STREAM="nowhere")

    def test_missing_input_stream(self, new_stream: Callable[..., str]) -> None:
        self.check(31, "stream nowhere: not found", OUTPUT_STREAM=new_stream(), KINESIS_STREAM_INPUT="nowhere")

    def test_no_credentials(self, tmp_path: Path) -> None:
        nothing = str(tmp_path / "none")
        self.check(
            32,
            "set AWS_ACCESS_KEY_ID",
            OUTPUT_STREAM="x",
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            AWS_CONFIG_FILE=nothing,
            AWS_SHARED_CREDENTIALS_FILE=nothing,
        )

    def test_nothing_at_the_endpoint(self) -> None:
        self.check(30, "is it up?", OUTPUT_STREAM="x", AWS_ENDPOINT_URL="http://127.0.0.1:9")

    def test_an_endpoint_that_is_none(self) -> None:
        self.check(
            10, "'garbage': set AWS_ENDPOINT_URL to http://host:port", OUTPUT_STREAM="x", AWS_ENDPOINT_URL="garbage"
        )

    def test_a_profile_that_is_none(self) -> None:
        self.check(32, "check AWS_PROFILE", OUTPUT_STREAM="x", AWS_PROFILE="nope")

    def test_a_quarantine_location_that_cannot_be_written(self, new_stream: Callable[..., str]) -> None:
        self.check(34, "/proc/nope: cannot be made", OUTPUT_STREAM=new_stream(), QUARANTINE_LOCATION="/proc/nope")

    def test_a_margin_that_leaves_no_time(self) -> None:
        self.check(10, "DEADLINE_MARGIN_MS is 60000", OUTPUT_STREAM="x", DEADLINE_MARGIN_MS="60000")

    def test_feeding_nowhere(self) -> None:
        for command in (["feed"], ["drain"], ["create", "passenger_events"]):
            said = _run(30, command, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}).stderr
            assert ": http://127.0.0.1:9 does not answer: is it up?; for the local cloud: eval" in said
            assert "scripts/cloud.sh up" in said

    def test_a_flag_that_is_neither_true_nor_false(self) -> None:
        self.check(10, "TEST_RUN is 'maybe'", OUTPUT_STREAM="x", TEST_RUN="maybe")

    def test_no_region(self, tmp_path: Path) -> None:
        none = str(tmp_path / "none")
        self.check(10, "set AWS_DEFAULT_REGION", OUTPUT_STREAM="x", AWS_DEFAULT_REGION="", AWS_CONFIG_FILE=none)


@pytest.mark.usefixtures("cloud")
def test_the_bundle_may_come_from_s3(tmp_path: Path) -> None:
    bundle = next(OWN_BUNDLES.glob("bike/*"))
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="models")
    for file in bundle.iterdir():
        s3.put_object(Bucket="models", Key=f"millrace/bike/{bundle.name}/{file.name}", Body=file.read_bytes())
    where, temporary = "s3://models/millrace", str(tmp_path)
    first = json.loads(run("invoke", MODEL_LOCATION=where, TMPDIR=temporary, TEST_RUN="True").stdout)
    assert first["predictions"][0]["version"] == bundle.name
    fetched = list(tmp_path.rglob("*.onnx"))
    assert fetched
    before = {file: file.stat().st_mtime_ns for file in fetched}
    run("invoke", MODEL_LOCATION=where, TMPDIR=temporary, TEST_RUN="True", RUN_ID=bundle.name)
    assert {file: file.stat().st_mtime_ns for file in fetched} == before


def test_ctrl_c_ends_a_run_cleanly(new_stream: Callable[..., str]) -> None:
    source, output = new_stream("in"), new_stream("out")
    run("feed", "--stream", source)
    with start("run", "--stream", source, OUTPUT_STREAM=output) as process:
        ends = time.monotonic() + 30
        while not list(read_stream(output, StartingPosition())) and time.monotonic() < ends:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "1 record acknowledged" in said
    assert "Traceback" not in said


def test_ctrl_c_ends_following_cleanly(new_stream: Callable[..., str]) -> None:
    stream = new_stream()
    run("feed", "--stream", stream)
    with start("drain", "--stream", stream, "--follow") as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # it follows by now
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_the_test_script_needs_no_cloud(tmp_path: Path) -> None:
    def script(*arguments: str) -> Any:
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "test.py"), *arguments],
            cwd=tmp_path,
            env={**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    answer = json.loads(script().stdout)
    assert answer["predictions"][0]["prediction"]["pred_id"] == 123
    assert script("--event", "nowhere.json").returncode == 2
    (tmp_path / "sqs.json").write_text('{"Records": [{"eventSource": "aws:sqs"}]}')
    refused = script("--event", "sqs.json")
    assert refused.returncode == 40
    assert refused.stderr.splitlines()[-1].startswith("test.py: event: comes from aws:sqs")


def test_the_demo_shows_what_came_of_every_record() -> None:
    shown = run("demo", "--rows", "60", BIKE_DATA="").stdout
    assert "predicted" in shown
    flat = " ".join(shown.split())
    assert "feeding 60 records of made-up bike hire" in flat
    [rmse, mean] = map(int, re.findall(r"RMSE (\d+) at a mean of (\d+) hires", flat)[0])
    assert rmse < mean / 4  # a picture that convinces: predictions lie near what is shown as true
    assert "63 records in, 63 acknowledged, 60 predictions out, 3 quarantined" in flat
