"""docs/own-pipeline.md, run as it is written, but for the blocks about the cloud and the image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow  # twenty commands, one after the other
@pytest.mark.usefixtures("cloud")
def test_the_page_works_as_written() -> None:
    page = (ROOT / "docs" / "own-pipeline.md").read_text()
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(["set -euo pipefail", *BLOCK.findall(page)])],
        cwd=ROOT, env={**os.environ, "PATH": tools}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"sensor"')]
    found = sorted((each["source"]["sequence_number"], each["sensor"], each["celsius"]) for each in results)
    assert sorted(each[1:] for each in found) == [("attic", 30.5), ("oven", 31.0), ("oven", 34.0)]
    assert '"warnings"' in done.stdout  # explain names the output's role


def test_the_page_shows_the_image_of_the_example() -> None:
    dockerfile = (ROOT / "examples" / "own_pipeline" / "Dockerfile").read_text()
    lines = [line for line in dockerfile.splitlines(keepends=True) if not line.startswith("#")]
    assert f"```dockerfile\n{''.join(lines)}```" in (ROOT / "docs" / "own-pipeline.md").read_text()


def test_a_record_without_the_key_field_is_named_before_anything_is_put() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "feed", "examples/own_pipeline/readings.jsonl", "--key-field", "hall"],
        cwd=ROOT, env={**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 40
    assert done.stderr == "millrace: record 1: has no field 'hall', which would give its partition key\n"
