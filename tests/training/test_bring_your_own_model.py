"""docs/bring-your-own-model.md, run as it is written."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

for package in ("sklearn", "onnx", "skl2onnx", "mlflow"):
    pytest.importorskip(package, reason=f"{package}: install requirements/training.txt", exc_type=ImportError)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bring-your-own-model.md"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which the page's commands are found, and whatever they write stays."""
    for name in (".venv", ".venv-training"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "scripts").mkdir()
    for script in (ROOT / "scripts").glob("*.sh"):  # not linked: they find the repository beside themselves
        here = tmp_path / "scripts" / script.name
        here.write_text(f'#!/bin/sh\nexec "{script}" "$@"\n')
        here.chmod(0o755)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    """A user's environment, with a port that is free and a cloud that leaves nothing behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_"))}
    node = os.environ.get("MILLRACE_CLOUD_NODE_DIR", str(ROOT / ".cloud" / "node"))
    cloud = {"MILLRACE_CLOUD_DIR": str(folder / "cloud"), "MILLRACE_CLOUD_NODE_DIR": node}
    return {**kept, **cloud, "PORT": str(port), "MLFLOW_DISABLE_TELEMETRY": "true"}


def test_the_readmes_commands_are_this_pages() -> None:
    page = "".join(block for language, block in BLOCK.findall(PAGE.read_text()) if language == "sh")
    _, _, readme = (ROOT / "README.md").read_text().partition(f"<!-- run by {Path(__file__).relative_to(ROOT)} -->")
    [_, commands] = BLOCK.findall(readme)[0]
    assert all(command.split("  ")[0] in page.splitlines() for command in commands.splitlines())


def test_the_page_works_as_written(folder: Path) -> None:
    script = ["set -euo pipefail"]
    for language, block in BLOCK.findall(PAGE.read_text()):
        if language == "python":
            file = block.partition("\n")[0].removeprefix("# ")
            assert not file.startswith("examples/") or (ROOT / file).read_text().endswith(block.partition("\n")[2])
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(block)
        else:
            script.append(block)
    variables = environment(folder)
    try:
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    finally:
        subprocess.run(
            ["scripts/cloud.sh", "down", "--port", variables["PORT"]], cwd=folder, env=variables, check=False
        )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr

    assert "compared on 100 rows of its input_example and 1000 drawn around them" in done.stderr
    assert "500 predictions; they differ from scikit-learn's by" in done.stdout
    expected = json.loads((folder / "expected.json").read_text())
    results = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    found = {result["prediction"]["pred_id"]: result["prediction"]["rides"] for result in results}
    assert [found[number] for number in range(500)] == pytest.approx(expected, rel=1e-6)
    [run_id] = [path.name for path in (folder / "bundles" / "rides").iterdir()]
    assert {result["version"] for result in results} == {run_id}
