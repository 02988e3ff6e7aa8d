"""The image, the compose file and CI ask for no more rights than they need."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_image_names_a_user_that_is_not_root() -> None:
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    [user] = re.findall(r"^USER (.*)$", last_stage, re.MULTILINE)
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)  # by number: Kubernetes' runAsNonRoot knows no names


def test_packages_are_installed_by_their_hashes() -> None:
    installs = re.findall(r"pip install(?:[^\n]*\\\n)*[^\n]*", DOCKERFILE)
    assert installs
    assert all("--require-hashes" in each for each in installs)


def test_no_secret_is_in_the_dockerfile_or_reaches_a_build() -> None:
    assert not re.search(r"^(?:ARG|ENV) \w*(?:TOKEN|SECRET|PASSWORD|KEY)", DOCKERFILE, re.MULTILINE)
    ignored = [each for each in (ROOT / ".dockerignore").read_text().splitlines() if each and each[0] != "#"]
    assert ignored[0] == "*"  # what is not named stays out
    taken = {each[1:] for each in ignored if each.startswith("!")}
    assert taken == {
        "LICENSE", "NOTICE", "app", "lambda_function.py", "model/bundles", "requirements/runtime.txt",
        "scripts/entry_point.sh",
    }  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_the_compose_file_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "pid", "ipc", "network_mode", "devices"} & set(service)
    assert not any("docker.sock" in str(each) for each in service.get("volumes", ()))
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
    if service["image"].startswith("millrace:"):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_reads_only_and_names_actions_by_commit(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow.read_text()  # would run a stranger's code with the repository's rights
    for job in content["jobs"].values():
        assert "permissions" not in job
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_documents_publish_ports_on_this_machine_alone() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "scripts").iterdir()]
    published = [
        (path.name, port)
        for path in documents
        for port in re.findall(r"(?:-p|--publish)[ =]([\w.$:{}]*\d+:\d+)", path.read_text())
    ]
    assert published
    assert [each for each in published if not each[1].startswith("127.0.0.1:")] == []


@pytest.mark.parametrize(
    ("base", "warns"),
    [([], True), (["--base", "lambda/python:3.13"], True), (["--base", f"lambda/python@sha256:{'0' * 64}"], False)],
)
def test_a_push_says_when_its_base_may_change(tmp_path: Path, base: list[str], warns: bool) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "docker").chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / "push_ecr.sh", "--dry-run", "--no-login", "--registry", "r.example", *base, "model:v1"],
        env={**os.environ, "DOCKER": str(tmp_path / "docker")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("no digest" in done.stderr) == warns
    if base:
        assert f"--build-arg BASE={base[1]}" in done.stdout
