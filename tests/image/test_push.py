"""`scripts/push_ecr.sh` to a registry on loopback that asks for a password, with the local cloud's ECR for a token."""

from __future__ import annotations

import base64
import os
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from devtools.cloud.process import free_ports
from tests.image.containers import ROOT, listens, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker import DockerClient

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PASSWORD = "123456789012-auth-token"  # what moto's ECR gives as a token for user AWS
HTPASSWD = "AWS:$2y$05$ZHk2xJvxCMjSTgpjryJct.0Fkysgv1uKHjAU3fnYbs14eAPB5.Imy\n"  # of the same, by bcrypt


@pytest.fixture
def registry(image: str, tmp_path: Path) -> Iterator[str]:  # noqa: ARG001 - skips where there is none
    """A registry of images for one test."""
    [port] = free_ports(1)
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    settings = tmp_path / "registry.yml"
    settings.write_text(
        f"""
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {tmp_path}/images}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: tests, path: {tmp_path}/htpasswd}}}}
"""
    )
    with subprocess.Popen(
        ["docker-registry", "serve", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: listens(port))
        yield f"127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def push(docker_command: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the script, with docker's settings where `scripts/test_image.sh` keeps them."""

    def push(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["scripts/push_ecr.sh", *arguments],
            cwd=ROOT,
            env={**os.environ, "DOCKER": docker_command},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return push


def digest_in(registry: str, path: str) -> tuple[str, str]:
    """The digest and media type of a manifest, asked for as a client does."""
    token = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"http://{registry}/v2/{path}", headers={"Authorization": f"Basic {token}", "Accept": MANIFEST}, method="HEAD"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own registry
        return answer.headers["Docker-Content-Digest"], answer.headers["Content-Type"]


@pytest.mark.usefixtures("cloud")
def test_pushes_what_can_be_pulled(
    push: Callable[..., subprocess.CompletedProcess[str]], docker: DockerClient, image: str, registry: str
) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"http://{registry}/v2/", timeout=10)
    refused = push("--registry", registry, "--image", image, "team/bike-model:v1")
    assert refused.returncode == 1
    assert refused.stderr == (
        "push_ecr.sh: no repository team/bike-model in Amazon ECR: create it, or say --create-repository\n"
    )

    pushed = push("--registry", registry, "--image", image, "--create-repository", "team/bike-model:v1")
    assert pushed.returncode == 0, pushed.stderr
    name = pushed.stdout.splitlines()[-1]
    digest, media_type = digest_in(registry, "team/bike-model/manifests/v1")
    assert media_type == MANIFEST  # one manifest: Lambda takes no index
    assert name == f"{registry}/team/bike-model@{digest}"

    original = docker.images.get(image).id
    docker.images.remove(f"{registry}/team/bike-model:v1", noprune=True)
    assert docker.images.pull(name).id == original
    docker.images.remove(name, noprune=True)


def test_a_dry_run_asks_for_nothing(push: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    shown = push("--dry-run", "bike-model")
    assert shown.returncode == 0
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["would"] * 4
    assert "bike-model:v1" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["bike-model"], "Amazon ECR: http://127.0.0.1:9 does not answer"),
        (["--no-login", "bike-model"], "--no-login needs --registry"),
        (["--registry"], "--registry needs a value"),
        (["bike-model", "other"], "one repository only"),
    ],
)
def test_says_what_is_wrong_in_one_line(
    push: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    refused = push(*arguments)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"push_ecr.sh: {line}")
    assert len(refused.stderr.splitlines()) == 1
