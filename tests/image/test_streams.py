"""The function behind the emulator between two streams: driven by the mapping, alone and as the compose file has it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from app import aws
from app.stream.shards import StartingPosition, read_stream
from devtools.cloud.process import free_ports
from scripts.test_docker import invoke, seed_event
from tests.image.containers import ROOT, start, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from docker import DockerClient

    from tests.image.containers import Function

PATH = "2015-03-31/functions/function/invocations"
COMPOSE_UP_WITHIN_S = 180


def millrace(*arguments: str) -> None:
    """Runs the command in the test's environment."""
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def on_stream(name: str) -> list[dict[str, Any]]:
    return [json.loads(data) for data in read_stream(name, StartingPosition())]


def rides(folder: Path, count: int) -> str:
    """A file of records, one of which can never be processed."""
    features = {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}
    lines = [json.dumps({"features": features, "pred_id": pred_id}) for pred_id in range(count)]
    path = folder / "rides.jsonl"
    path.write_text("\n".join([*lines[:7], "not JSON", *lines[7:]]))
    return str(path)


def test_mapping_over_http(
    start_function: Callable[..., Function],
    new_stream: Callable[[str], str],
    publishing: dict[str, str],
    tmp_path: Path,
) -> None:
    source = new_stream("in")
    function = start_function(**publishing)
    millrace("feed", rides(tmp_path, 40), "--stream", source, "--key", "one")
    command = [
        sys.executable, "-m", "app.cli", "mapping", f"--stream-name={source}", f"--function-url={function.url}",
        "--batch-size=10", "--function-response-types=ReportBatchItemFailures", "--timeout=60",
    ]  # fmt: skip
    with (
        (tmp_path / "said").open("w+") as said,
        subprocess.Popen(command, cwd=ROOT, env=os.environ.copy(), stdout=said, stderr=said) as mapping,
    ):
        try:
            wait_for(lambda: len(on_stream(publishing["OUTPUT_STREAM"])) >= 40, 60)
        finally:
            mapping.send_signal(signal.SIGINT)
            mapping.wait(30)
        said.seek(0)
        assert mapping.returncode == 0, said.read()
    published = [each["prediction"]["pred_id"] for each in on_stream(publishing["OUTPUT_STREAM"])]
    assert published == list(range(40))  # one key: in order
    [aside] = on_stream(publishing["QUARANTINE_STREAM"])
    assert aside["reason"] == "not_json"
    assert aside["source"]["stream"] == source


@contextlib.contextmanager
def stand_in_cloud(docker: DockerClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """LocalStack's stand-in, published on a port of loopback; gives its address among containers."""
    [port] = free_ports(1)
    with start(docker, "localstack/localstack:4.14.0", ports={"4566/tcp": ("127.0.0.1", port)}) as container:
        reach(monkeypatch, port)
        container.reload()
        yield f"http://{container.attrs['NetworkSettings']['IPAddress']}:4566"


def reach(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Points this process, and what it starts, at a local cloud."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    aws.forget()


def test_the_seed_documents_lines(docker: DockerClient, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker run` with its variables, and `test_docker.py`; the run id is our bundle's, AWS the local cloud."""
    [port] = free_ports(1)
    with stand_in_cloud(docker, monkeypatch) as address:
        wait_for(lambda: _created("bike-predictions"), 60)
        environ = {
            "OUTPUT_STREAM": "bike-predictions",
            "RUN_ID": "1d009d36ec8f43539977e7c1bccbecdf",
            "TEST_RUN": "False",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "1234567890EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "12345678901234567890EXAMPLE",
            "AWS_ENDPOINT_URL": address,
        }
        with start(docker, image, ports={"8080/tcp": ("127.0.0.1", port)}, environment=environ) as container:
            posting = [sys.executable, "scripts/test_docker.py", "--url", f"http://localhost:{port}/{PATH}"]
            wait_for(lambda: b"exec '/var/runtime/bootstrap'" in container.logs())
            done = subprocess.run(posting, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["predictions"][0]["prediction"] == {"cnt": 1427, "pred_id": 123}
        [published] = on_stream("bike-predictions")
        assert published["prediction"] == {"cnt": 1427, "pred_id": 123}


def _created(stream: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "create", stream], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    return done.returncode == 0


@pytest.fixture
def compose(docker_command: str) -> list[str]:
    """The compose command of this machine."""
    v2 = subprocess.run([docker_command, "compose", "version"], capture_output=True, check=False).returncode == 0
    if v2:
        return [docker_command, "compose"]
    return [shutil.which("docker-compose") or pytest.skip("there is no docker-compose")]


def test_compose_up_is_all_it_takes(
    compose: list[str],
    docker: DockerClient,
    image: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert image in (ROOT / "docker-compose.yml").read_text()
    cloud_port, function_port = free_ports(2)
    environ = {**os.environ, "CLOUD_PORT": str(cloud_port), "FUNCTION_PORT": str(function_port)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*compose, "--project-name=millrace-test", *arguments],
            cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=COMPOSE_UP_WITHIN_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    try:
        run("up", "--detach")
        reach(monkeypatch, cloud_port)
        millrace("feed", rides(tmp_path, 20), "--stream", "passenger_events")
        wait_for(lambda: len(on_stream("bike-predictions")) >= 20, 60)
        wait_for(lambda: on_stream("bike-quarantine"), 30)
        published = {each["prediction"]["pred_id"] for each in on_stream("bike-predictions")}
        assert published == set(range(20))
        assert [each["reason"] for each in on_stream("bike-quarantine")] == ["not_json"]
        running = docker.containers.list(filters={"label": "com.docker.compose.project=millrace-test"})
        published_by = [bound["HostIp"] for each in running for bounds in each.ports.values() for bound in bounds or []]
        assert set(published_by) == {"127.0.0.1"}
        answer = invoke(seed_event(), f"http://127.0.0.1:{function_port}/{PATH}", 60)
        assert answer["batchItemFailures"] == []
    except BaseException:
        sys.stderr.write(run("logs", "--no-color"))
        raise
    finally:
        run("down", "--volumes", "--remove-orphans")
