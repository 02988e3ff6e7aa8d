"""What is in the image, and what is not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.image.containers import ROOT, SANDBOX, wait_for

if TYPE_CHECKING:
    from tests.image.containers import Docker

# Run inside: what a tree of files looks like to a user whom the image has never heard of.
_SURVEY = """
import json, os, shutil, sys
from importlib.util import find_spec
task = "/var/task"
found = {"stale": [], "unreadable": [], "writable": [], "tests": []}
found["services"] = os.listdir(task + "/botocore/data")
for folder, folders, files in os.walk(task):
    for name in folders + files:
        path = os.path.join(folder, name)
        mode = os.stat(path).st_mode
        if not mode & 0o4 or (name in folders and not mode & 0o1):
            found["unreadable"].append(path)
        if mode & 0o22:
            found["writable"].append(path)
        if name == "tests" and name in folders:
            found["tests"].append(path)
        if name.endswith(".py"):
            code = os.path.join(folder, "__pycache__", f"{name[:-3]}.{sys.implementation.cache_tag}.pyc")
            # Four bytes of magic, then flags: 1 is a hash that is never checked (PEP 552).
            if not os.path.exists(code) or open(code, "rb").read(8)[4] != 1:
                found["stale"].append(path)
found["compilers"] = [name for name in ("cc", "gcc", "g++", "clang", "tcc", "make") if shutil.which(name)]
sys.path.insert(0, task)
absent = ("mlflow", "sklearn", "pandas", "scipy", "onnx", "skl2onnx", "moto", "pytest", "devtools")
found["modules"] = [name for name in absent if find_spec(name)]
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def survey(docker: Docker, image: str) -> dict[str, Any]:
    return dict(
        json.loads(docker("run", "--rm", "--network=none", *SANDBOX, "--entrypoint=python3", image, "-c", _SURVEY))
    )


def test_holds_the_runtime_and_no_more(survey: dict[str, Any]) -> None:
    assert survey["modules"] == []
    assert survey["compilers"] == []
    assert survey["tests"] == []


def test_every_module_has_bytecode_that_stays_valid(survey: dict[str, Any]) -> None:
    assert survey["stale"] == []


def test_anyone_may_read_it_and_nobody_write(survey: dict[str, Any]) -> None:
    assert survey["unreadable"] == []
    assert survey["writable"] == []


def test_has_every_service_that_the_code_names(survey: dict[str, Any]) -> None:
    named = {
        service
        for path in (ROOT / "app").rglob("*.py")
        if path.parent.name != "cloud"
        for service in re.findall(r'\bclient\(\s*"([a-z0-9-]+)"', path.read_text())
    }
    assert "kinesis" in named
    assert named <= set(survey["services"]), "add them to BOTOCORE_SERVICES in the Dockerfile"


def test_has_what_finding_credentials_takes(survey: dict[str, Any]) -> None:
    assert {"sts", "sso", "sso-oidc", "endpoints.json", "partitions.json"} <= {
        name.removesuffix(".gz") for name in survey["services"]
    }


def test_imports_all_that_it_holds(docker: Docker, image: str) -> None:
    modules = (
        "aws_lambda_powertools.event_handler, botocore.session, dateutil, jmespath, msgspec, numpy, onnxruntime, "
        "pydantic, rich, typer, urllib3"
    )
    script = f"import {modules}, zoneinfo; zoneinfo.ZoneInfo('Europe/London'); numpy.linalg.inv(numpy.eye(2))"
    docker("run", "--rm", "--network=none", *SANDBOX, "--entrypoint=python3", image, "-W", "error", "-c", script)


@pytest.mark.parametrize("command", [["explain"], ["mapping", "--help"], ["create", "--help"]])
def test_has_the_command_line(docker: Docker, image: str, command: list[str]) -> None:
    docker("run", "--rm", "--network=none", *SANDBOX, image, "millrace", *command)


def test_answers_by_its_own_entry_point_without_any_network(docker: Docker, image: str) -> None:
    container = docker.start("--network=none", *SANDBOX, "--env=TEST_RUN=True", image)
    try:
        posting = (ROOT / "scripts" / "test_docker.py").read_text()
        wait_for(lambda: "exec '/var/runtime/bootstrap'" in docker("logs", container))
        answer = docker("exec", "--interactive", container, "python3", "-", stdin=posting)
        assert json.loads(answer)["predictions"][0]["prediction"] == {"cnt": 1427, "pred_id": 123}
    finally:
        docker("rm", "--force", container)


def test_says_what_it_is(docker: Docker, image: str, figures: dict[str, str]) -> None:
    about = docker.inspect(image)
    assert about["Config"]["Entrypoint"] == ["/millrace-entry-point.sh"]
    assert about["Config"]["Cmd"] == ["app.lambda_function.lambda_handler"]
    assert "ORT_DISABLE_TELEMETRY=1" in about["Config"]["Env"]
    layers = [
        int(size) for size in docker("history", "--human=false", "--format={{.Size}}", image).splitlines() if int(size)
    ]
    figures["image"] = (
        f"{about['Size'] / 1e6:.0f} MB, of which ours {sum(layers[:2]) / 1e6:.0f} MB, on the stand-in base"
    )


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_real_base_has_wheels_for_all(machine: str, tmp_path: Any) -> None:
    """AWS's base is Amazon Linux 2023: glibc 2.34, on either machine that Lambda has; hashes and all."""
    glibc = ["manylinux_2_34", "manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014"]
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check",
            "--ignore-installed", "--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation=cp",
            "--python-version=3.13", f"--target={tmp_path}", *(f"--platform={one}_{machine}" for one in glibc),
            f"--requirement={ROOT / 'requirements' / 'runtime.txt'}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
