"""No text from outside reaches a terminal with a control character, a link or markup in it, by any command.

Every command of the tree is called with hostile text in each option and argument, and, as far as it shows content, with
hostile content. A command that is added later is in the first test by itself, and fails the second until its content is
among `CONTENT`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import typer.main
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from app import aws
from app.cli import lambda_request
from app.cli.entry import run_command
from app.cli.terminal import configure_logs, note, open_console, print_json_line
from app.domains.alerts.synthetic import synthetic_alerts
from app.inference.bundle import write_bundle
from app.inference.manifest import Field, Manifest
from app.storage.objects import FolderObjects
from app.storage.state import Parked, Stored
from app.stream.quarantine import QuarantinedRecord, RecordSource
from app.telemetry import logger
from tests.terminal_for_tests import TREE, Run, Terminal, is_printable, start_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parents[3]
MARKUP = "[/x][bold][link=https://evil.example]here[/link]"
CONTROLS = "\x1b]8;;https://evil.example\x1b\\\x1b[2J\x9b31m\x7f\x08\r\u202e\u2066\u200b\u2028\x85"
HOSTILE = f"{MARKUP}{CONTROLS}\nfake line"
OF_SYSTEM = HOSTILE + "\udc9b"  # an argument, a variable or a file's name may be no UTF-8
FILE_NAME = OF_SYSTEM.replace("/", "|").replace(":", ";")  # which stands between paths


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Run]:
    """Runs `millrace`, at a terminal that shows no colours, and in a pipe."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "ftp://nowhere")
    start_nothing(monkeypatch, tmp_path, f"nothing is started: {OF_SYSTEM}")
    return lambda *arguments, **options: Run(list(map(str, arguments)), is_terminal=request.param, **options)


OF_REQUEST = typer.main.get_command(lambda_request.command())


@pytest.mark.parametrize("run", [True], indirect=True, ids=["terminal"])
@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_each_option_and_argument_of_each_command(path: tuple[str, ...], run: Callable[..., Run]) -> None:
    parameters = TREE[path].params
    required = [OF_SYSTEM for each in parameters if each.param_type_name == "argument" and each.required]
    run(*path, *required, "--" + OF_SYSTEM)
    for each in parameters:
        if each.param_type_name == "argument":
            run(*path, *(required or [OF_SYSTEM]))
        elif not each.is_flag:
            run(*path, *required, each.opts[0], OF_SYSTEM)


def test_the_help_of_a_request_has_nothing_to_replace() -> None:
    assert is_printable(OF_REQUEST.get_help(typer.Context(OF_REQUEST)))


def test_a_command_that_does_not_exist(run: Callable[..., Run]) -> None:
    assert run(OF_SYSTEM).code == 2
    assert run("model", OF_SYSTEM).code == 2


def alerts_file(folder: Path) -> Path:
    """Alerts of an attack, all of whose texts are hostile, among lines that are none."""
    file = folder / FILE_NAME
    lines = []
    for each in itertools.islice((each for each in synthetic_alerts(400) if "label" in each), 70, 130):
        texts = {"name": f"{each['name']} {HOSTILE}", "tenant": HOSTILE, "src": f"{each['src']} {HOSTILE}"}
        attributes = {HOSTILE: HOSTILE, "user": HOSTILE, "host": f"web1{HOSTILE}"}
        lines.append(json.dumps({**each, **texts, "other_attributes_dict": attributes}))
    lines += [HOSTILE.replace("\n", " "), json.dumps({"time": HOSTILE, "name": HOSTILE}), json.dumps([HOSTILE])]
    file.write_bytes("\n".join(lines).encode("utf-8", "replace"))
    return file


SHOWS: dict[str, set[str]] = {
    "nothing from outside": {"alerts sample", "bench", "demo", "cloud up", "cloud down", "cloud status", "test replay",
                             "test run"},
    "test_each_option_and_argument_of_each_command": {"create", "feed", "run", "serve", "handlers", "alerts correct",
                             "model import", "model learn", "model evaluate", "state clean", "state resume"},
    "test_alerts": {"alerts run", "alerts technique", "alerts cluster", "alerts flow", "alerts tune"},
    "test_formats_of_alerts": {"alerts format check", "alerts format list"},
    "test_records": {"drain", "explain", "invoke"},
    "test_quarantine": {"quarantine list", "quarantine show", "replay"},
    "test_state": {"state list"},
    "test_models": {"model list", "model show", "model verify", "model sign", "model keygen"},
    "test_templates": {"doctor", "mapping"},
}  # fmt: skip
"""The test that shows a command hostile content, by its name, with the commands that it runs."""


def test_each_command_is_shown_hostile_content() -> None:
    assert {*map(" ".join, TREE)} == set().union(*SHOWS.values())
    assert {name for name in SHOWS if name.startswith("test_")} <= {*globals()}


def test_alerts(run: Callable[..., Run], tmp_path: Path) -> None:
    file = alerts_file(tmp_path)
    out, page = tmp_path / "out", tmp_path / "page.html"
    assert "[/x]" in run("alerts", "run", file, "--no-model", "--out", out, "--html", page).out
    written = [each for each in (page, *out.rglob("*")) if each.is_file()]
    assert len(written) > 5
    assert all(is_printable(each.read_text()) for each in written)
    assert "<script" not in page.read_text()
    roles = ("--role", "enriched", "--role", "incidents", "--role", "tickets")
    assert list(map(json.loads, run("alerts", "run", file, "--no-model", "--json", *roles).out.splitlines()))
    for arguments in (["technique"], ["technique", "--table"], ["flow"], ["flow", "--stix"], ["tune"]):
        assert run("alerts", *arguments, file, "--no-model").out
    first = json.loads(run("alerts", "cluster", file, "--no-model").out.splitlines()[0])
    assert first["tenant"] == HOSTILE


def test_formats_of_alerts(run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, sample = tmp_path / f"{FILE_NAME}.toml", tmp_path / FILE_NAME
    title = json.dumps(HOSTILE.replace("\x7f", ""))
    own.write_text(
        f'name = "acme"\ntitle = {title}\n[recognise]\nkeys = ["kind"]\n'
        '[fields]\ntime = "time"\nname = "name"\nsrc = "src"\nid = "id"\n'
    )
    records = [
        {"kind": HOSTILE, "time": 1, "name": HOSTILE, "src": HOSTILE},
        {"kind": 1, "time": HOSTILE, "name": HOSTILE},
    ]
    sample.write_text("\n".join(map(json.dumps, records)))
    assert run("alerts", "format", "check", own, sample).out
    monkeypatch.setenv("ALERTS_FORMATS", str(own))
    assert "acme" in run("alerts", "format", "list").out


def test_records(run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {HOSTILE: HOSTILE, "pred_id": HOSTILE}
    datas = [json.dumps(record, ensure_ascii=False).encode(), HOSTILE.encode("utf-8"), b'"\xff\x9b"', b"\x1b[2J"]
    monkeypatch.setattr("app.cli.records.read_stream", lambda *_, **__: iter(datas))
    assert json.loads(run("drain", "--stream", OF_SYSTEM).out.splitlines()[0]) == record
    run("drain", "--pretty")
    file = tmp_path / FILE_NAME
    for each in datas:
        file.write_bytes(each)
        assert run("explain", file).out
    file.write_bytes(datas[0])
    request = json.dumps({"path": str(file.rename(tmp_path / FILE_NAME.removesuffix("\udc9b")))[:-1]})
    done = run("invoke", "get-json-from-file", "--payload", request)
    assert done.code or json.loads(done.out)["content"] == record
    run("--handler", "get-json-from-file", "--payload", request, command=OF_REQUEST)
    run("--handler", OF_SYSTEM, "--payload", OF_SYSTEM, "--response-location", OF_SYSTEM, command=OF_REQUEST)


def test_quarantine(run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = RecordSource(HOSTILE, HOSTILE, HOSTILE, 0, HOSTILE)
    record = QuarantinedRecord(HOSTILE, HOSTILE, HOSTILE, source, HOSTILE, HOSTILE, HOSTILE.encode())
    lost = msgspec.structs.replace(record, id=f"lost {HOSTILE}", data=None, location=f"{tmp_path}/{FILE_NAME}")
    encoded = [msgspec.json.encode(each) for each in (record,)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(encoded) + b"\n" + HOSTILE.encode())
    monkeypatch.setenv("QUARANTINE_LOCATION", str(tmp_path))
    assert lost.location
    assert "[/x]" in run("quarantine", "list").out
    assert json.loads(run("quarantine", "list", "--json").out) == msgspec.to_builtins(record)
    assert json.loads(run("quarantine", "show", HOSTILE).out)["text"] == HOSTILE
    assert run("replay", "--dry-run").out.startswith("[/x]")
    run("quarantine", "show", "nothing")


def test_state(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    parked = Stored(b"", parked=Parked(HOSTILE, HOSTILE, {}, 1))
    monkeypatch.setattr("app.cli.state.DynamoDbState.all", lambda _: iter([(HOSTILE, parked)]))
    monkeypatch.setenv("STATE_TABLE", OF_SYSTEM.replace("\0", ""))
    assert "[/x]" in run("state", "list").out
    assert json.loads(run("state", "list", "--json").out)["key"] == HOSTILE


def test_models(run: Callable[..., Run], tmp_path: Path) -> None:
    field = Field("a[/x]\x9b", HOSTILE)
    made = Manifest("one", "two", HOSTILE, "2026-01-01", [field], {HOSTILE: 1.0}, HOSTILE, HOSTILE, {})
    write_bundle(FolderObjects(tmp_path / "one" / "two"), made, {"a.json": b"{}"})
    assert "[/x]" in run("model", "list", "--location", tmp_path).out
    shown = json.loads(run("model", "list", "--json", "--location", tmp_path).out)
    assert shown["model"] == shown["attribution"] == HOSTILE
    assert "[/x]" in run("model", "show", "one", "--location", tmp_path).out
    run("model", "verify", "--location", tmp_path)
    run("model", "keygen", tmp_path / FILE_NAME)
    run("model", "sign", tmp_path / "one" / "two", "--key", tmp_path / FILE_NAME)
    folder = tmp_path / "one" / FILE_NAME
    folder.mkdir()
    faults: list[dict[str, Any]] = [
        {"name": HOSTILE},
        {"run_id": HOSTILE},
        {"created": HOSTILE},
        {"files": {HOSTILE: {}}},
        {HOSTILE: 1},
    ]
    for changed in faults:
        (folder / "manifest.json").write_text(json.dumps(msgspec.to_builtins(made) | changed))
        run("model", "list", "--location", tmp_path)
        run("model", "verify", "--location", tmp_path)


def test_templates(run: Callable[..., Run], tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    mapping = {
        "EventSourceArn": f"arn:aws:kinesis:us-east-1:1:stream/{HOSTILE}",
        "FunctionName": HOSTILE,
        "UUID": HOSTILE,
    }
    function = {"Type": "AWS::Lambda::Function", "Properties": {"Environment": {"Variables": {"PIPELINE": HOSTILE}}}}
    resources = {HOSTILE: {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping}, "F": function}
    for each in (mapping, {"Resources": resources}, {"Resources": {HOSTILE: HOSTILE}}, HOSTILE):
        file.write_text(json.dumps(each))
        run("doctor", "--mapping", file)
        run("doctor", "--mapping", file, "--json")
        run("mapping", "--from", file)
    for name in ("PIPELINE", "OUTPUT_STREAM", "QUARANTINE_LOCATION", "RUN_ID", "MODEL_LOCATION", "AWS_PROFILE"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, OF_SYSTEM)
            run("doctor")
            aws.forget()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stream_of_another_encoding_takes_every_text(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(written, encoding, write_through=True))

    def show() -> None:
        print_json_line({"name": "\u2026🐟"})
        open_console().print("\u2026🐟")
        note("\u2026🐟")

    with pytest.raises(SystemExit) as ended:
        run_command("test", show)
    assert not ended.value.code
    first, second, third = written.getvalue().decode("ascii").splitlines()
    assert json.loads(first) == {"name": "\u2026🐟"}
    assert second == third == "\\u2026\\ud83d\\udc1f"


def test_logs_are_lines(run: Callable[..., Run]) -> None:
    def log() -> None:
        configure_logs()
        logger.error("one %s", HOSTILE, extra={"name_of_it": HOSTILE, HOSTILE: OF_SYSTEM, "frames": [HOSTILE]})

    command = typer.Typer()
    command.command()(log)
    lines = run(command=typer.main.get_command(command)).err.splitlines()
    if len(lines) == 1:
        assert json.loads(lines[0])["message"] == f"one {HOSTILE}"
    else:  # at a terminal, the line and its frame
        assert [line[:5] for line in lines] == ["error", "  at "]


def test_colours_are_rich_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal with colours there are rich's escape sequences, and no link and no other one."""
    monkeypatch.setenv("TERM", "xterm-256color")
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE, "red"))
    stdout = Terminal(is_terminal=True)
    with contextlib.redirect_stdout(stdout):
        console = open_console()
        console.print(table, HOSTILE, Text.from_markup("[link=https://evil.example]here[/link]"), style="bold")
        with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
            progress.add_task(HOSTILE)
            sys.stdout.write(f"{HOSTILE}\n")  # rich reads escape sequences in it
    rest = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stdout.text.replace("\r", ""))
    assert "[/x]" in rest
    assert is_printable(rest)
    assert "\x1b[2J" not in stdout.text


WRITERS = {"app/cli/terminal.py", "app/cli/entry.py", "app/telemetry.py"}
"""The only modules that write to standard output or standard error, or make a console."""
WITH_COMMANDS = ("app/**/*.py", "devtools/*.py", "devtools/cloud/cli.py")
DIRECT = {"print", "Text.from_markup", "sys.stdout.write", "sys.stderr.write", "rich.print"}


def writes(tree: ast.AST) -> Iterator[int]:
    """The lines that write to a terminal by themselves; of a progress bar's text, rich would read markup."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""
            has_markup = not any(ast.unparse(each) == "markup=False" for each in node.keywords)
            if name in DIRECT or name.endswith(("echo", "Console")) or (name == "TextColumn" and has_markup):
                yield node.lineno


def test_commands_write_through_one_module() -> None:
    files = {str(path.relative_to(HERE)): path for pattern in WITH_COMMANDS for path in HERE.glob(pattern)}
    texts = {name: path.read_text() for name, path in files.items() if name not in WRITERS}
    candidates = {
        name: text for name, text in texts.items() if re.search(r"print\(|echo|Console|markup|TextC|std", text)
    }
    found = [f"{name}:{line}" for name, text in candidates.items() for line in writes(ast.parse(text))]
    assert not found
