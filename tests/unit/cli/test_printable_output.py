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

import devtools.bench
from app import aws
from app.cli import lambda_request
from app.cli.entry import run_command
from app.cli.terminal import configure_logs, open_console
from app.cli.tree import command_tree
from app.domains.alerts.synthetic import synthetic_alerts
from app.errors import CloudError
from app.inference.bundle import write_bundle
from app.inference.manifest import Field, Manifest
from app.storage.objects import FolderObjects
from app.storage.state import Parked, Stored
from app.stream.quarantine import QuarantinedRecord, RecordSource
from app.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parents[3]
MARKUP = "[/x][bold][link=https://evil.example]here[/link]"
CONTROLS = "\x1b]8;;https://evil.example\x1b\\\x1b[2J\x9b31m\x7f\x08\r\u202e\u2066\u200b\u2028\x85"
HOSTILE = f"{MARKUP}{CONTROLS}\nfake line"
OF_SYSTEM = HOSTILE + "\udc9b"  # an argument, a variable or a file's name may be no UTF-8
FILE_NAME = OF_SYSTEM.replace("/", "|").replace(":", ";")  # which stands between paths
_CODE = re.compile(r"\b\w+(Error|Exception) at ")


class Terminal(io.TextIOWrapper):
    """Standard output or standard error in memory, as a terminal or a pipe."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes, encoding="utf-8", write_through=True)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def text(self) -> str:
        self.flush()
        return self._bytes.getvalue().decode()


class Run:
    """What a command wrote, and its exit code."""

    def __init__(self, command: Any, arguments: Sequence[str], *, is_terminal: bool) -> None:
        stdout, stderr = Terminal(is_terminal=is_terminal), Terminal(is_terminal=is_terminal)
        self.code: object = 0
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO())))
            for handler in logger.handlers:
                patch.setattr(handler, "formatter", handler.formatter)
            try:
                run_command("it", lambda: command.main(arguments, prog_name="it", standalone_mode=False))
            except SystemExit as ended:
                self.code = ended.code
        self.out, self.err = stdout.text, stderr.text
        for text in (self.out, self.err):
            odd = {letter for letter in text if not letter.isprintable() and letter not in "\n\t"}
            assert not odd, (arguments, odd, text)
        assert not _CODE.search(self.err), (arguments, self.err)
        assert self.code != 1 or not self.err, (arguments, self.err)


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Run]:
    """Runs `millrace`, at a terminal that shows no colours, and in a pipe."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "ftp://nowhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devtools.bench, "PYTHON", tmp_path / "nowhere")
    monkeypatch.setattr("devtools.cloud.supervisor.up", _no_cloud)
    monkeypatch.setattr("devtools.cloud.supervisor.down", _no_cloud)
    monkeypatch.setenv("MILLRACE_CLOUD_DIR", str(tmp_path / "cloud"))
    return lambda *arguments, command=ROOT: Run(command, list(map(str, arguments)), is_terminal=request.param)


def _no_cloud(*_: Any, **__: Any) -> None:
    raise CloudError(f"no cloud: {OF_SYSTEM}")


def commands(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands below a group, each with its path."""
    for name, child in getattr(tree, "commands", {}).items():
        yield from commands(child, (*path, name))
    if not hasattr(tree, "commands"):
        yield path, tree


ROOT = typer.main.get_command(command_tree())
TREE = dict(commands(ROOT))
OF_REQUEST = typer.main.get_command(lambda_request.command())


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


def is_printable(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


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
    "test_models": {"model list", "model show", "model verify"},
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
    manifest = Manifest(
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, [Field("a[/x]\x9b", HOSTILE)], {HOSTILE: 1.0}, HOSTILE, HOSTILE, {}
    )
    write_bundle(FolderObjects(tmp_path / "one" / "two"), manifest, {"a.json": b"{}"})
    assert "[/x]" in run("model", "list", "--location", tmp_path).out
    assert json.loads(run("model", "list", "--json", "--location", tmp_path).out)["name"] == HOSTILE
    assert "[/x]" in run("model", "show", HOSTILE, "--location", tmp_path).out
    assert "[/x]" in run("model", "verify", "--location", tmp_path).out
    (tmp_path / "one" / FILE_NAME).mkdir()
    (tmp_path / "one" / FILE_NAME / "manifest.json").write_text(json.dumps({HOSTILE: HOSTILE, "name": 1}))
    run("model", "list", "--location", tmp_path)


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


def test_logs_are_lines(run: Callable[..., Run]) -> None:
    def log() -> None:
        configure_logs()
        logger.error("one %s", HOSTILE, extra={"name_of_it": HOSTILE, HOSTILE: OF_SYSTEM, "frames": [HOSTILE]})

    command = typer.Typer()
    command.command()(log)
    done = run(command=typer.main.get_command(command))
    assert done.err.count("fake line") == done.err.count(" fake line") + done.err.count("\\nfake line")


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
            name = ast.unparse(node.func)
            has_markup = not any(ast.unparse(each) == "markup=False" for each in node.keywords)
            if name in DIRECT or name.endswith(("echo", "Console")) or (name == "TextColumn" and has_markup):
                yield node.lineno


def test_commands_write_through_one_module() -> None:
    files = {str(path.relative_to(HERE)): path for pattern in WITH_COMMANDS for path in HERE.glob(pattern)}
    found = [
        f"{name}:{line}"
        for name, path in files.items()
        if name not in WRITERS
        for line in writes(ast.parse(path.read_text()))
    ]
    assert not found
