"""Each way of starting the image, by what its container is given; confined as Lambda confines it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from scripts.test_docker import InvokeError
from tests.image import containers
from tests.image.containers import SANDBOX, start, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from docker import DockerClient

    from tests.image.containers import Ended, Function

GET_JSON = "app.domains.general.handlers.GetJSONFromFileHandler"
RIDE = {"features": {"t1": 2, "t2": 3, "hum": 50, "weather_code": 2}, "pred_id": 123}


@pytest.fixture
def run(docker: DockerClient, image: str, tmp_path: Path) -> Callable[..., Ended]:
    """Runs a container to its end with a folder mounted as /data."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o755)  # pytest's own, which the container's user could not pass
    (tmp_path / "rides.json").write_text(json.dumps({"rides": [1, 2]}))
    (tmp_path / "request.json").write_text(json.dumps({"path": "/data/rides.json"}))

    def run(*arguments: str, working_dir: str | None = None, **environ: str) -> Ended:
        return containers.run(
            docker,
            image,
            *arguments,
            environment=environ,
            volumes=[f"{tmp_path}:/data:ro"],
            working_dir=working_dir,
        )

    return run


def answered(done: Ended) -> Any:
    """The response that it wrote to standard output."""
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_command_line(run: Callable[..., Ended]) -> None:
    done = run("millrace", "--help")
    assert done.code == 0, done.stderr
    assert "replay" in done.stdout
    explained = run("millrace", "explain", json.dumps(RIDE))
    assert explained.code == 0, explained.stderr
    assert "1427" in explained.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--handler", GET_JSON, "--payload", '{"path": "/data/rides.json"}'],
        ["--handler", GET_JSON, "--payload", "/data/request.json"],
        ["handle-lambda-request", "--handler-qualified-name", GET_JSON, "--payload-file", "/data/request.json"],
    ],
)
def test_one_request(run: Callable[..., Ended], arguments: list[str]) -> None:
    assert answered(run(*arguments)) == {"content": {"rides": [1, 2]}}


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        ([], {"AWS_LAMBDA_FUNCTION_HANDLER": GET_JSON}),  # the image's default handler does not get in the way
        ([], {"_HANDLER": GET_JSON}),
        ([GET_JSON], {}),
        (["get-json-from-file"], {}),
        (["--handler", GET_JSON], {"AWS_LAMBDA_FUNCTION_HANDLER": "app.lambda_function.lambda_handler"}),
    ],
)
def test_one_request_by_the_environment(
    run: Callable[..., Ended], arguments: list[str], environ: dict[str, str]
) -> None:
    done = run(*arguments, AWS_LAMBDA_EVENT_PAYLOAD='{"path": "/data/rides.json"}', **environ)
    assert answered(done) == {"content": {"rides": [1, 2]}}


def test_one_request_from_any_folder(run: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the folder it was started in')")
    done = run("--handler", GET_JSON, "-e", "request.json", working_dir="/data")
    assert answered(done) == {"content": {"rides": [1, 2]}}


def test_a_request_that_is_refused_is_one_line(run: Callable[..., Ended]) -> None:
    done = run("--handler", GET_JSON, "--payload", "{}")
    assert done.code == 42
    assert "$.path" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("--handler", "app.nowhere.Handler", "--payload", "{}").code == 45


def test_its_help(run: Callable[..., Ended]) -> None:
    for arguments in (["handle-lambda-request", "--help"], ["--help"]):
        done = run(*arguments)
        assert done.code == 0, done.stderr
        assert "--response-location" in done.stdout


@pytest.mark.parametrize("arguments", [["bash"], ["/bin/sh", "-c", "true"], ["predict", "x"], [GET_JSON, "{}"], [""]])
def test_anything_else_is_one_line(run: Callable[..., Ended], arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert "handle-lambda-request" in line


@pytest.mark.parametrize(
    ("arguments", "process"), [([], "aws-lambda-rie"), (["--handler", GET_JSON, "--payload", "-"], "python3")]
)
def test_what_is_started_is_process_1(docker: DockerClient, image: str, arguments: list[str], process: str) -> None:
    with start(docker, image, *arguments, network_mode="none", stdin_open=True, **SANDBOX) as container:
        wait_for(lambda: container.exec_run(["cat", "/proc/1/comm"]).output.decode().strip() == process)


def test_in_lambda_the_runtime_client_asks_for_events(
    run: Callable[..., Ended],
) -> None:
    """There is no runtime API at this address: what cannot reach it is Lambda's runtime client, and no emulator."""
    done = run(AWS_LAMBDA_RUNTIME_API="127.0.0.1:9", AWS_EXECUTION_ENV="AWS_Lambda_python3.13", TEST_RUN="True")
    assert done.code != 0
    assert "aws-lambda-rie" not in done.stderr
    assert "awslambdaric" in done.stderr or "onnect" in done.stderr


def http_event(method: str, path: str, body: object = None) -> bytes:
    """An event of an HTTP API, payload format 2.0."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "api.example.com"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"
            },
            "requestId": "request-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "31/Jan/2026:12:00:00 +0000",
            "timeEpoch": 1769860800000,
        },
        "isBase64Encoded": False,
    }  # fmt: skip
    if body is not None:
        event["body"] = base64.b64encode(json.dumps(body).encode()).decode()
        event["isBase64Encoded"] = True
    return json.dumps(event).encode()


def test_the_api_behind_the_emulator(start_function: Callable[..., Function], figures: dict[str, str]) -> None:
    function = start_function("app.api_function.lambda_handler")
    answer = function.invoke(http_event("POST", "/bike/predictions", [RIDE]))
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["predictions"][0]["prediction"] == {"cnt": 1427, "pred_id": 123}

    unreadable = {**RIDE, "pred_id": []}
    assert function.invoke(http_event("POST", "/bike/predictions", unreadable))["statusCode"] == 400
    beside = json.loads(function.invoke(http_event("POST", "/bike/predictions", [RIDE, unreadable]))["body"])
    assert [each["prediction"]["cnt"] for each in beside["predictions"]] == [1427]
    assert [each["index"] for each in beside["quarantined"]] == [1]
    assert function.invoke(http_event("GET", "/nowhere"))["statusCode"] == 404
    assert function.invoke(http_event("DELETE", "/bike/predictions"))["statusCode"] == 405
    assert "Traceback" not in function.logs()
    figures["INIT (app.api_function.lambda_handler)"] = f"{function.init_ms():.0f} ms"


def test_the_router_behind_the_emulator(start_function: Callable[..., Function]) -> None:
    function = start_function("app.router_function.lambda_handler", ROUTER_HANDLERS="get-json-from-file")
    request = {"handler": "get-json-from-file", "event": {"path": "/var/task/model/bundles/none.json"}}
    with pytest.raises(InvokeError, match="LocationError"):
        function.invoke(json.dumps(request).encode())
    with pytest.raises(InvokeError, match="HandlerNotAllowedError"):
        function.invoke(json.dumps({**request, "handler": "put-json-to-file"}).encode())
