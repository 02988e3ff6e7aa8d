"""What is in the image, and what is not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.image.containers import ROOT, SANDBOX, run, start, wait_for

if TYPE_CHECKING:
    from docker import DockerClient

# Run inside: what the files look like to a user that the image does not know.
_SURVEY = """
import json, os, shutil, sys
from importlib.util import find_spec
task = "/var/task"
found = {"stale": [], "unreadable": [], "writable": [], "tests": []}
found["services"] = os.listdir(task + "/botocore/data")
found["resources"] = os.listdir(task + "/boto3/data")
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
absent = ("mlflow", "sklearn", "pandas", "scipy", "onnx", "skl2onnx", "moto", "pytest", "devtools", "yaml")
absent += ("model.rules", "model.stories", "model.technique")
found["modules"] = [name for name in absent if find_spec(name)]
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def survey(docker: DockerClient, image: str) -> dict[str, Any]:
    done = run(docker, image, "-c", _SURVEY, entrypoint=["python3"])
    assert done.code == 0, done.stderr
    return dict(json.loads(done.stdout))


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
        for service in re.findall(r'\bclient\(\s*"([a-z0-9-]+)"', path.read_text())
    }
    assert "kinesis" in named
    assert named <= set(survey["services"]), "add them to BOTOCORE_SERVICES in the Dockerfile"
    assert set(survey["resources"]) <= set(survey["services"])


def test_has_what_finding_credentials_takes(survey: dict[str, Any]) -> None:
    assert {"sts", "sso", "sso-oidc", "endpoints.json", "partitions.json"} <= {
        name.removesuffix(".gz") for name in survey["services"]
    }


def test_imports_all_that_it_holds(docker: DockerClient, image: str) -> None:
    modules = (
        "boto3.session, boto3.dynamodb.types, botocore.session, cryptography.hazmat.primitives.serialization, "
        "dateutil, jmespath, msgspec, numpy, "
        "onnxruntime, orjson, rich, s3transfer.manager, starlette.applications, typer, urllib3, uvicorn"
    )
    script = f"import {modules}, zoneinfo; zoneinfo.ZoneInfo('Europe/London'); numpy.linalg.inv(numpy.eye(2))"
    done = run(docker, image, "-W", "error", "-c", script, entrypoint=["python3"])
    assert done.code == 0, done.stderr


def test_has_what_alerts_take(docker: DockerClient, image: str) -> None:
    script = """
from app.domains.alerts.formats.times import seconds
from app.domains.alerts.techniques.findings import shipped_finding_types
from app.domains.alerts.techniques.signatures import shipped_signatures
assert seconds("Thu, 23 May 2024 12:54:16 GMT", "time") == 1716468856
assert shipped_finding_types().types
shipped_signatures()
"""
    done = run(docker, image, "-W", "error", "-c", script, entrypoint=["python3"], working_dir="/var/task")
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    "command", [["explain"], ["mapping", "--help"], ["create", "--help"], ["alerts", "run", "--help"]]
)
def test_has_the_command_line(docker: DockerClient, image: str, command: list[str]) -> None:
    done = run(docker, image, "millrace", *command)
    assert done.code == 0, done.stderr


def test_answers_by_its_own_entry_point_without_any_network(docker: DockerClient, image: str) -> None:
    posting = (ROOT / "scripts" / "test_docker.py").read_text()
    with start(docker, image, environment={"TEST_RUN": "True"}, network_mode="none", **SANDBOX) as container:
        wait_for(lambda: b"exec '/var/runtime/bootstrap'" in container.logs())
        code, answer = container.exec_run(["python3", "-c", posting])
    assert code == 0, answer
    assert json.loads(answer)["predictions"][0]["prediction"] == {"cnt": 1427, "pred_id": 123}


def test_says_what_it_is(docker: DockerClient, image: str, figures: dict[str, str]) -> None:
    found = docker.images.get(image)
    about = found.attrs
    assert about["Config"]["Entrypoint"] == ["/millrace-entry-point.sh"]
    assert about["Config"]["User"] == "993:990"
    assert about["Config"]["Cmd"] == ["app.lambda_function.lambda_handler"]
    assert "ORT_DISABLE_TELEMETRY=1" in about["Config"]["Env"]
    layers = [layer["Size"] for layer in found.history() if layer["Size"]]
    figures["image"] = (
        f"{about['Size'] / 1e6:.0f} MB, of which ours {sum(layers[:2]) / 1e6:.0f} MB, on the stand-in base"
    )


@pytest.mark.usefixtures("image")
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
