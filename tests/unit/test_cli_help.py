"""Every command's --help works with the packages of the image alone, wherever the rest of what it needs is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Walks the whole tree in one process, in which only the standard library, this repository and the packages of
# requirements/runtime.txt can be imported. Prints the help of each command.
PROGRAM = """
import importlib.metadata, json, re, sys
from pathlib import Path
runtime = set(json.loads(sys.argv[1]))
def name_of(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower()
owners = {module: {name_of(each) for each in found} for module, found in
          importlib.metadata.packages_distributions().items()}
class OnlyRuntime:
    def find_spec(self, name, path=None, target=None):
        owned = owners.get(name.partition(".")[0], {"millrace"})
        if not owned & (runtime | {"millrace"}):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, OnlyRuntime())
import typer.main
from typer.testing import CliRunner
from app.cli.lambda_request import command
from app.cli.tree import command_tree
import devtools.bench
devtools.bench.PYTHON = Path("nowhere")  # the environment of the benchmarks' peers
tree, shown = command_tree(), {}
def walk(command, path):
    for name, child in sorted(getattr(command, "commands", {}).items()):
        walk(child, [*path, name])
    done = CliRunner().invoke(tree, [*path, "--help"])
    shown[" ".join(path)] = [done.exit_code, done.output, repr(done.exception)]
walk(typer.main.get_command(tree), [])
done = CliRunner().invoke(command(), ["--help"])
shown["handle-lambda-request"] = [done.exit_code, done.output, repr(done.exception)]
print(json.dumps(shown))
"""


def test_every_help_works_with_the_packages_of_the_image_alone() -> None:
    locked = (ROOT / "requirements" / "runtime.txt").read_text()
    runtime = [
        re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)(?:\[.*\])?==", locked, re.MULTILINE)
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(runtime)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert {"run", "mapping", "cloud up", "bench", "demo", "model import", "alerts run", "quarantine list"} <= {*shown}
    for command, (exit_code, text, exception) in shown.items():
        assert exit_code == 0, (command, text, exception)
        assert "Usage:" in text, command
        assert len(text.splitlines()) > 8, command
