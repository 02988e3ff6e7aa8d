"""What an attacker writes into alerts reaches no terminal, spreadsheet or browser as anything but text.

Hostile texts go through every command for alerts that prints, in a pipe and at a terminal, and into every file.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.cli.tree import command_tree
from app.domains.alerts.lookups.csv_file import read_corrections
from tests.commands_for_tests import ROOT, run_command
from tests.integration.test_cli import MILLRACE

if TYPE_CHECKING:
    from collections.abc import Sequence

HOSTILE = (
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "\x7f\x08\r", "\u202eevil\u2066", "\u2028\x85", "[red]x[/red]",
    "[link=https://evil.example]x[/]", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</style></svg>",
    "=cmd|' /C calc'!A0", "@SUM(1)", "\x00", "\U000e0041", "\ufeff", "x" * 5_000, "\u200b", '"><a href=//evil.example>',
)  # fmt: skip
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40), st.lists(st.sampled_from(HOSTILE)).map(" ".join))
OWN_TAGS = frozenset(
    (
        *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "h1", "h2", "h3"),
        *("p", "ul", "li", "dl", "dt", "dd", "a", "span", "div", "table", "thead", "tbody", "tr", "th", "td", "br"),
        *("figure", "figcaption", "details", "summary", "pre", "svg", "rect", "text", "line", "path", "g", "circle"),
    )
)
SPECIAL: dict[str, list[list[str]]] = {
    "technique": [["--no-model"], ["--no-model", "--table"]],
    "cluster": [["--no-model"]],
    "flow": [["--no-model"], ["--no-model", "--stix"]],
    "run": [
        ["--no-model"],
        ["--no-model", "--json", *(f"--role={each}" for each in ("enriched", "incidents", "tickets"))],
    ],
}
"""Options of commands that read alerts; any other is given the file alone."""
WITHOUT_A_FILE = frozenset(("sample", "correct"))
OWN_FORMAT = "own.toml"
_OWN_FORMAT = """
name = "own"
recognise = { keys = ["id", "other_attributes.note"] }
[fields]
id = "id"
time = "time"
src = "src"
dst = "dst"
name = "name"
tech = "tech"
severity = "severity"
user = "other_attributes.user"
keep = ["other_attributes.note"]
"""


def alerts_of(texts: Sequence[str]) -> bytes:
    """Alerts with a text in each of their fields, bursts among them so that clusters and flows arise."""
    lines = []
    for number in range(24):
        text = texts[number % len(texts)]
        alert: dict[str, Any] = {
            "id": f"{number}{text}"[:200],
            "time": 1_715_673_600 + 2 * number,
            "src": f"h{number % 2}{text}"[:200],
            "dst": f"h{number % 2}{text}"[:200],
            "name": f"{text} ran a command",
            "tech": ["T1059", text, "T1003.001"],
            "severity": 95,
            "other_attributes": {"user": text, "host": text, "rule_id": text, "note": text, text: text},
        }
        lines.append(json.dumps(alert))
        lines.append(json.dumps({**alert, "time": text}))
        lines.append(f"{text} is no alert")
    return "\n".join(lines).encode()


def check_text(shown: str) -> None:
    """Fail on a character that a terminal obeys or that hides what is there."""
    wrong = {letter for letter in shown if not letter.isprintable() and letter != "\n"}
    assert not wrong, sorted(map(hex, map(ord, wrong)))


def reading_commands() -> list[list[str]]:
    """Every command for alerts, with its options."""
    group = typer.main.get_command(command_tree()).commands["alerts"]  # type: ignore[attr-defined]
    names = [name for name, each in group.commands.items() if not hasattr(each, "commands")]
    found = [[name, *options] for name in names if name not in WITHOUT_A_FILE for options in SPECIAL.get(name, [[]])]
    return [*found, ["format", "check", OWN_FORMAT]]


def write_files(folder: Path, texts: Sequence[str]) -> Path:
    """Write alerts with hostile texts, and a format of one's own that they have; return the alerts' path."""
    (folder / OWN_FORMAT).write_text(_OWN_FORMAT, encoding="utf-8")
    path = folder / "alerts.jsonl"
    path.write_bytes(alerts_of(texts))
    return path


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_in_a_pipe_no_command_prints_what_a_terminal_obeys(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_files(Path(folder), texts)
        for command in reading_commands():
            done = run_command("millrace", ["alerts", *command, str(path)], folder=Path(folder))
            check_text(done.stdout)
            check_text(done.stderr)
            assert "Traceback" not in done.stderr


@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_no_file_that_is_written_holds_more_than_text(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_files(Path(folder), texts)
        out, page = path.with_name("out"), path.with_name("page.html")
        done = run_command(
            "millrace", ["alerts", "run", "--no-model", str(path), "--out", str(out), "--html", str(page)]
        )
        assert done.returncode == 0, done.stderr
        written = [each for each in out.rglob("*") if each.is_file()]
        assert {each.suffix for each in written} >= {".json", ".afb"}
        for each in written:
            check_text(each.read_text(encoding="utf-8"))
        html = page.read_text(encoding="utf-8")
        check_text(html.replace("\t", " "))
        found = _Tags(html)
        assert found.tags <= OWN_TAGS
        assert not [name for name, _ in found.attributes if name.startswith("on")]
        assert all((value or "").startswith("#") for name, value in found.attributes if name in {"href", "src"})


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(TEXTS, TEXTS)
def test_a_correction_is_no_formula_and_its_answer_is_text(text: str, author: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "lookup.csv"
        text, author = (each.replace("\0", "").encode("utf-8", "replace").decode() for each in (text, author))
        arguments = ["alerts", "correct", "--table", str(table), f"--author={author}", "--", f"alert {text}", "T1059"]
        done = run_command("millrace", arguments)
        check_text(done.stdout)
        check_text(re.sub(r"[─│╭╮╰╯]", "", done.stderr))
        if done.returncode == 0:
            with table.open("rb") as file:
                rows = [row for _, row in read_corrections(file, 0.0)]
            assert len(rows) == 1
            for line in table.read_text(encoding="utf-8").splitlines()[1:]:
                assert not re.match(r'"?\s*[=+\-@]', line)


@pytest.mark.parametrize("command", reading_commands(), ids=" ".join)
def test_at_a_terminal_no_command_prints_what_it_obeys(command: list[str], tmp_path: Path) -> None:
    path = write_files(tmp_path, HOSTILE)
    shown = at_terminal(["alerts", *command, str(path)], tmp_path)
    check_text(shown.replace("\r\n", "\n"))
    assert "Traceback" not in shown


def at_terminal(arguments: list[str], folder: Path) -> str:
    """Run a command at a terminal without colours; return all that it shows."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "100", "LINES": "40", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*MILLRACE, *arguments], cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(ours)
    return shown.decode("utf-8", "replace")
