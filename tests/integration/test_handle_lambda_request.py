"""`handle-lambda-request` as a script or a container calls it: the seed's examples, every source, every ending."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from tests.commands_for_tests import run_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
SCRIPT = Path(sys.executable).parent / "handle-lambda-request"
GET_JSON = "app.domains.general.handlers.GetJSONFromFileHandler"

# The four examples of the seed document, but for the module's path.
WITH_JSON = """\
handle-lambda-request --handler-qualified-name app.domains.general.handlers.GetJSONFromFileHandler --payload \
'{"path": "/path/to/file.json"}' --response-location /tmp/response.json
"""
WITH_A_FILE = """\
handle-lambda-request --handler-qualified-name app.domains.general.handlers.GetJSONFromFileHandler --payload-file \
/path/to/payload.json --response-location /tmp/response.json
"""
WITH_S3 = """\
handle-lambda-request --handler-qualified-name app.domains.general.handlers.GetJSONFromFileHandler --payload-file \
s3://bucket/key/payload.json --response-location s3://bucket/key/response.json
"""
WITH_THE_ENVIRONMENT = """\
AWS_LAMBDA_EVENT_PAYLOAD='{"path": "/path/to/file.json"}'
AWS_LAMBDA_EVENT_RESPONSE_LOCATION='/tmp/response.json'
handle-lambda-request --handler-qualified-name app.domains.general.handlers.GetJSONFromFileHandler
"""

HANDLERS = '''
import datetime, sys, time
from app.errors import ConflictError
from app.handlers.base import LambdaHandler

def echo(event, context):
    return {"event": event, "id": context.aws_request_id, "ms": context.get_remaining_time_in_millis() > 0}

def nothing(event, context):
    return None

def raises(event, context):
    raise ValueError("with a secret in its text")

def refuses(event, context):
    raise ConflictError("it is there already: choose another name")

def dates(event, context):
    return {"z": datetime.date(2026, 1, 31), "a": {2: b"x"}}

def not_json(event, context):
    return {"nan": float("nan")} if event else object()

def leaves(event, context):
    sys.exit(7)

def sleeps(event, context):
    print("asleep", flush=True)
    time.sleep(60)

class Nothing(LambdaHandler[dict, None]):
    """Returns nothing."""

    def handle(self, request, invocation):
        return None

class Raises(LambdaHandler[dict, None]):
    """Raises."""

    def handle(self, request, invocation):
        raise ValueError("with a secret in its text")

class CannotOpen(Nothing):
    """Cannot be made."""

    @classmethod
    def open(cls, settings):
        raise ValueError("with a secret in its text")

class Exact(LambdaHandler[object, object]):
    """Gives what it takes."""

    def handle(self, request, invocation):
        return request
'''

_numbers = itertools.count()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of handlers of a user's own, on the path; the process starts in it."""
    (tmp_path / "own.py").write_text(HANDLERS)
    (tmp_path / "rides.json").write_text('{"rides": [1, 2], "city": "Köln"}')
    (tmp_path / "payload.json").write_text(json.dumps({"path": str(tmp_path / "rides.json")}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def handle(
    *arguments: str, given: str = "", expect: int = 0, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command; whatever happens, nobody sees a stack trace or what an error's text quotes."""
    done = run_command("handle-lambda-request", arguments, environ=environ, given=given)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    return done


def refused(expect: int, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
    """The one line that it ends with; nothing is on standard output."""
    done = handle(*arguments, expect=expect, environ=environ)
    assert done.stdout == ""
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith("handle-lambda-request: ")
    return line


def shell(command: str, *, exported: bool = False) -> None:
    """Runs a command as it is written, by a shell that finds the installed script."""
    path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
    options = ["-ea" if exported else "-e", "-c"]
    done = subprocess.run(
        ["bash", *options, command], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""  # the response goes where it is told to


class TestTheSeedsExamples:
    @pytest.mark.parametrize(
        ("command", "exported"), [(WITH_JSON, False), (WITH_A_FILE, False), (WITH_THE_ENVIRONMENT, True)]
    )
    def test_from_files(self, folder: Path, command: str, exported: bool) -> None:
        real = {"/path/to/file": "rides", "/path/to/payload": "payload", "/tmp/response": "response"}  # noqa: S108
        for written, name in real.items():
            command = command.replace(written, str(folder / name))
        shell(command, exported=exported)
        assert (folder / "response.json").read_text() == '{"content": {"city": "Köln", "rides": [1, 2]}}'

    @pytest.mark.cloud
    @pytest.mark.usefixtures("cloud")
    def test_from_s3_to_s3(self, folder: Path) -> None:
        bucket = f"requests-{next(_numbers)}"
        s3 = aws.client("s3")
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="key/payload.json", Body=(folder / "payload.json").read_bytes())
        shell(WITH_S3.replace("s3://bucket/", f"s3://{bucket}/"))
        response = s3.get_object(Bucket=bucket, Key="key/response.json")["Body"].read()
        assert json.loads(response) == {"content": {"rides": [1, 2], "city": "Köln"}}


@pytest.mark.cloud
@pytest.mark.usefixtures("cloud", "folder")
def test_s3_at_both_ends_of_a_request() -> None:
    """What is put without a path goes to the default bucket, from where it is got by an event that points to it."""
    bucket = f"requests-{next(_numbers)}"
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    variables = {"DEFAULT_BUCKET_NAME": bucket, "AWS_LAMBDA_REQUEST_ID": "id-1"}
    put = handle("--handler", "put-json-to-file", "-e", '{"content": {"b": 1, "a": [1.0]}}', environ=variables)
    path = json.loads(put.stdout)["path"]
    assert path.startswith(f"s3://{bucket}/scratch/id-1/")
    found = s3.get_object(Bucket=bucket, Key=path.removeprefix(f"s3://{bucket}/"))["Body"].read()
    assert found == b'{"b":1,"a":[1.0]}'

    s3.put_object(Bucket=bucket, Key="request", Body=json.dumps({"path": path}).encode())
    pointer = json.dumps(f"s3://{bucket}/request")  # as a step of a workflow hands over what is too large for it
    for payload in (pointer, f"s3://{bucket}/request"):
        done = handle("--handler", "get-json-from-file", "--payload", payload)
        assert json.loads(done.stdout) == {"content": {"a": [1.0], "b": 1}}
    assert "there is no such object" in refused(47, "--handler", "get-json-from-file", "-e", f"s3://{bucket}/nothing")
    assert "bucket" in refused(
        30, "--handler", "get-json-from-file", "-e", '{"path": "rides.json"}', "-o", "s3://no-such-bucket-here/x"
    )


@pytest.mark.usefixtures("folder")
class TestSources:
    @pytest.mark.parametrize("option", ["--handler-qualified-name", "--handler-name", "--handler"])
    @pytest.mark.parametrize("payload", ["--payload", "--event", "-e"])
    def test_each_name_of_an_option(self, option: str, payload: str) -> None:
        assert json.loads(handle(option, GET_JSON, payload, '{"path": "rides.json"}').stdout)["content"]["rides"]

    @pytest.mark.parametrize("option", ["--payload", "--payload-file"])
    def test_from_each_place(self, folder: Path, option: str) -> None:
        for source in ("payload.json", str(folder / "payload.json"), (folder / "payload.json").as_uri(), "-"):
            given = (folder / "payload.json").read_text() if source == "-" else ""
            done = handle("--handler", "get-json-from-file", option, source, given=given)
            assert done.stdout == '{"content": {"city": "Köln", "rides": [1, 2]}}\n'

    def test_a_payload_file_may_be_named_as_json_looks(self, folder: Path) -> None:
        (folder / "{}").write_text('{"path": "rides.json"}')
        (folder / "%41").write_text('{"path": "rides.json"}')
        for name in ("{}", "%41"):
            assert "Köln" in handle("--handler", "get-json-from-file", "--payload-file", name).stdout

    def test_from_the_environment_where_no_option_says_it(self, folder: Path) -> None:
        variables = {
            "AWS_LAMBDA_FUNCTION_HANDLER": "own.echo",
            "_HANDLER": "own.raises",
            "AWS_LAMBDA_EVENT_PAYLOAD": "1",
            "AWS_LAMBDA_EVENT_RESPONSE_LOCATION": "out.json",
            "AWS_LAMBDA_REQUEST_ID": "id-1",
        }
        assert handle(environ=variables).stdout == ""
        assert json.loads((folder / "out.json").read_text()) == {"event": 1, "id": "id-1", "ms": True}
        handle("-e", "2", "-o", "other.json", environ=variables)
        assert json.loads((folder / "other.json").read_text())["event"] == 2
        (folder / "three").write_text("3")
        assert json.loads(handle("--payload-file", "three", "-o", "-", environ=variables).stdout)["event"] == 3
        assert handle("--handler", "own.nothing", "-o", "-", environ=variables).stdout == "{}\n"
        assert (
            json.loads(handle(environ={"AWS_LAMBDA_EVENT_PAYLOAD": "4", "_HANDLER": "own.echo"}).stdout)["event"] == 4
        )

    def test_json_is_kept_as_it_is(self) -> None:
        payload = '{"ü🚲": [123456789012345678901234567890, -0.5, 1e300, null, true], "a": {"z": 1, "b": ""}}'
        for name in ("own.Exact", "own.echo"):
            done = handle("--handler", name, "--payload", payload)
            answer = json.loads(done.stdout)
            assert (answer if name == "own.Exact" else answer["event"]) == json.loads(payload)
            assert '{"a": {"b": "", "z": 1}, "ü🚲": [123456789012345678901234567890,' in done.stdout  # sorted

    def test_as_a_module_from_any_folder(self, folder: Path) -> None:
        """The image has no console scripts."""
        (folder / "json.py").write_text("raise SystemExit('imported from the folder it was started in')")
        command = [sys.executable, "-P", "-m", "app.cli.lambda_request", "--handler", GET_JSON, "-e", "payload.json"]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        assert "Köln" in done.stdout


@pytest.mark.usefixtures("folder")
class TestResponses:
    @pytest.mark.parametrize("name", ["own.nothing", "own.Nothing"])
    def test_nothing_is_an_empty_object(self, name: str) -> None:
        assert handle("--handler", name, "--payload", "{}").stdout == "{}\n"

    def test_a_plain_function_may_return_what_can_be_json(self) -> None:
        assert handle("--handler", "own.dates", "-e", "0").stdout == '{"a": {"2": "eA=="}, "z": "2026-01-31"}\n'

    def test_goes_to_a_file_whose_folder_is_made(self, folder: Path) -> None:
        handle("--handler", "own.nothing", "-e", "0", "-o", (folder / "new" / "answer").as_uri())
        assert (folder / "new" / "answer").read_text() == "{}"

    @pytest.mark.parametrize("location", ["http://example.com/x", "s3://bucket", "s3:///key", "", "file://elsewhere/x"])
    def test_a_location_that_is_none_is_told_before_the_handler_runs(self, location: str) -> None:
        line = refused(47, "--handler", "own.raises", "-e", "0", "-o", location)
        assert "give" in line

    def test_a_folder_is_no_file(self, folder: Path) -> None:
        assert "it is a folder" in refused(47, "--handler", "own.nothing", "-e", "0", "-o", str(folder))
        assert "cannot be written" in refused(47, "--handler", "own.nothing", "-e", "0", "-o", "/proc/x/y")

    def test_a_reader_that_has_gone_is_no_failure(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                [str(SCRIPT), "--handler", "own.echo", "-e", "0"],
                stdout=writing,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_full_disk_is_one_line(self) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [str(SCRIPT), "--handler", "own.nothing", "-e", "0"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 47
        assert done.stderr == "handle-lambda-request: standard output: cannot be written: No space left on device\n"


@pytest.mark.usefixtures("folder")
class TestEndings:
    """Each that a user can mend is one line, with an exit code of its own."""

    def test_no_handler(self) -> None:
        line = refused(2, "-e", "{}")
        assert "give --handler NAME, or set AWS_LAMBDA_FUNCTION_HANDLER" in line

    def test_no_payload(self) -> None:
        line = refused(2, "--handler", "own.echo", environ={"AWS_LAMBDA_EVENT_PAYLOAD": ""})
        assert "give --payload JSON, --payload-file PATH, or set AWS_LAMBDA_EVENT_PAYLOAD" in line

    def test_two_payloads(self) -> None:
        assert "give one of them" in refused(2, "--handler", "own.echo", "-e", "{}", "--payload-file", "payload.json")

    def test_an_option_that_there_is_not(self) -> None:
        done = handle("--hander", "x", expect=2)
        assert "--handler" in done.stderr

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("nothing", "there are bike-predict, create-cluster"),
            ("nowhere.Handler", "is its folder on PYTHONPATH?"),
            ("own.absent", "no function 'absent'"),
            ("app.errors.MillraceError", "no handler that can be made"),
        ],
    )
    def test_no_such_handler(self, name: str, words: str) -> None:
        assert words in refused(45, "--handler", name, "-e", "{}")

    @pytest.mark.parametrize(
        ("payload", "code", "words"),
        [
            ("{", 42, "not JSON"),
            ("", 42, "not JSON"),
            ("{}", 42, "$.path"),
            ('{"path": 1}', 42, "$.path: expected `str`, got `int`"),
            ("[" * 10_000, 42, "nested too deeply"),
            ("nowhere.json", 47, "neither JSON nor an existing file"),
            ("file:///nowhere.json", 47, "No such file"),
            ("ftp://x/y", 47, "give a path, file://… or s3://bucket/key"),
            ('{"path": "own.py"}', 44, "own.py: not JSON"),
            ('{"path": "/proc"}', 47, "Is a directory"),
            ('{"path": "-"}', 42, "$.path: give a path"),
        ],
    )
    def test_a_request_that_cannot_be_answered(self, payload: str, code: int, words: str) -> None:
        assert words in refused(code, "--handler", "get-json-from-file", "--payload", payload)

    @pytest.mark.parametrize("source", ["nowhere.json", ".", ""])
    def test_a_payload_file_that_cannot_be_read(self, source: str) -> None:
        refused(47, "--handler", "own.echo", "--payload-file", source)

    @pytest.mark.parametrize("name", ["own.raises", "own.Raises", "own.CannotOpen"])
    def test_a_handler_that_raises(self, name: str) -> None:
        done = handle("--handler", name, "-e", "{}", expect=51)
        assert done.stdout == ""
        assert "failed with ValueError" in done.stderr.splitlines()[-1]
        [log] = [json.loads(line) for line in done.stderr.splitlines() if '"handler failed"' in line]
        assert log["exception"] == "ValueError"
        assert "own.py:" in log["frames"][-1]

    def test_a_handler_that_refuses(self) -> None:
        assert "it is there already" in refused(74, "--handler", "own.refuses", "-e", "{}")

    def test_a_handler_whose_answer_is_no_json(self) -> None:
        assert "returned what is no JSON (ValueError)" in refused(51, "--handler", "own.not_json", "-e", "1")
        assert "failed with TypeError" in refused(51, "--handler", "own.not_json", "-e", "0")

    def test_a_handler_that_leaves(self) -> None:
        handle("--handler", "own.leaves", "-e", "{}", expect=7)

    @pytest.mark.parametrize(("name", "value"), [("AWS_LAMBDA_FUNCTION_TIMEOUT", "soon"), ("LOG_LEVEL", "LOUD")])
    def test_a_setting_that_cannot_be(self, name: str, value: str) -> None:
        assert name in refused(10, "--handler", "get-json-from-file", "-e", "payload.json", environ={name: value})

    def test_ctrl_c(self) -> None:
        with started("--handler", "own.sleeps", "-e", "0") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "asleep\n"
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert said == ""
        assert time.monotonic() - began < 20


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Starts the command as a person's shell would, so that Ctrl-C reaches it, and ends it with the test."""
    process = subprocess.Popen(
        [str(SCRIPT), *arguments],
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


def test_its_help_has_all_that_a_reader_needs() -> None:
    shown = handle("--help").stdout
    assert handle("-h").stdout == shown
    for word in (
        "--handler-qualified-name, --handler-name, --handler", "-e, --payload, --event", "--payload-file",
        "-o, --response-location", "AWS_LAMBDA_FUNCTION_HANDLER, _HANDLER", "AWS_LAMBDA_EVENT_PAYLOAD",
        "AWS_LAMBDA_EVENT_RESPONSE_LOCATION", "AWS_LAMBDA_FUNCTION_TIMEOUT", "s3://", "examples:",
    ):  # fmt: skip
        assert word in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_starts_without_the_whole_command_tree() -> None:
    program = "import sys, app.cli.lambda_request; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded: Any = set(done.stdout.split())
    assert not {"numpy", "botocore", "rich", "onnxruntime", "app.cli.tree", "app.lambda_function"} & loaded
