"""The README and the pages in docs/: every command in them runs as it is written, or says why it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devtools.cloud.process import free_ports
from devtools.cloud.state import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(?:sh|bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A shell's block, with the comment before it."""
SHOWN = re.compile(r"^```\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of commands, each behind a `$`, with what they print."""
RUN_BY = "run by "
NOT_RUN = re.compile(r"not run: (needs Docker|needs AWS|needs Docker and AWS|it is what runs this)")
ELSEWHERE = {  # pages whose commands a test of their own runs, and looks at what comes out
    "handlers.md": "tests/unit/devtools/test_docs.py",
    "own-pipeline.md": "tests/integration/test_own_pipeline.py",
    "bring-your-own-model.md": "tests/training/test_bring_your_own_model.py",
}
WITHIN_S = 120


def commands(page: Path) -> list[str]:
    return [text for mark, text in BLOCK.findall(page.read_text()) if not mark]


RUN = [page for page in PAGES if page.name not in ELSEWHERE and commands(page)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The repository as a reader has it, but that what is written into it stays here."""
    for path in ROOT.iterdir():
        if path.name not in {".git", ".cloud", "examples", "scripts"}:
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "examples").mkdir()
    for path in (ROOT / "examples").iterdir():
        (tmp_path / "examples" / path.name).symlink_to(path)
    (tmp_path / "scripts").mkdir()
    for path in (ROOT / "scripts").glob("*.sh"):  # not linked: they find the repository beside themselves
        here = tmp_path / "scripts" / path.name
        here.write_text(f'#!/bin/sh\nexec "{path}" "$@"\n')
        here.chmod(0o755)
    yield tmp_path
    subprocess.run([sys.executable, "-m", "app.cli", "cloud", "down"], env=environment(tmp_path), check=False)


def environment(folder: Path) -> dict[str, str]:
    node = os.environ.get("MILLRACE_CLOUD_NODE_DIR", str(state_dir() / "node"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name != "VIRTUAL_ENV"}
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "MILLRACE_CLOUD_DIR": str(folder / ".cloud"), "MILLRACE_CLOUD_NODE_DIR": node}


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_as_written(page: Path, folder: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(commands(page))
    cloud, api = free_ports(2)
    script = script.replace("cloud.sh up", f"cloud.sh up --port {cloud}")
    script = script.replace("millrace serve", f"millrace serve --port {api}").replace(
        "127.0.0.1:8000", f"127.0.0.1:{api}"
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Traceback" not in done.stdout


SHOWING = [page for page in PAGES if SHOWN.search(page.read_text())]


@pytest.mark.slow  # every command of a page
@pytest.mark.parametrize("page", SHOWING, ids=lambda page: page.name)
def test_a_page_shows_what_its_commands_print(page: Path, folder: Path) -> None:
    for block in SHOWN.findall(page.read_text()):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = example.partition("\n")
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=WITHIN_S,
                check=True,
            )
            assert done.stdout.strip() == printed.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_not_run_says_why_or_names_the_test_that_runs_it(page: Path) -> None:
    for mark, _ in BLOCK.findall(page.read_text()):
        if mark.startswith(RUN_BY):
            assert (ROOT / mark.removeprefix(RUN_BY)).is_file()
        elif mark:
            assert NOT_RUN.fullmatch(mark)
    assert page.name not in ELSEWHERE or (ROOT / ELSEWHERE[page.name]).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_links_to_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
