"""What the image's entry point starts, by what it is given; `tests/image` sees it in its container."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "entry_point.sh"
HANDLER = "app.domains.general.handlers.GetJSONFromFileHandler"
DEFAULT = "app.lambda_function.lambda_handler"

EMULATOR = "base entry point:"
COMMAND_LINE = "python3: -P -m app.cli"
REQUEST = "python3: -P -m app.cli.lambda_request"


class Image:
    """The script among stand-ins that say what they were started with, one word a pair of brackets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        base = self._stand_in("base", "base entry point:")
        self._stand_in("python3", "python3:")
        text = SCRIPT.read_text()
        assert "base=/lambda-entrypoint.sh\n" in text
        self._script = folder / "entry_point.sh"
        self._script.write_text(text.replace("base=/lambda-entrypoint.sh\n", f"base={base}\n"))

    def _stand_in(self, name: str, says: str) -> Path:
        path = self._folder / name
        path.write_text(
            f'#!/bin/sh\nprintf "%s" "{says}"\nprintf " %s" "$@"\nprintf " in %s" "$PYTHONPATH" >&2\nexit 7\n'
        )
        path.chmod(0o755)
        return path

    def __call__(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", self._script, *arguments],
            env={"PATH": f"{self._folder}:/usr/bin:/bin", "LAMBDA_TASK_ROOT": "/var/task", **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    def started(self, *arguments: str, **environ: str) -> str:
        """What it started; the exit code is that one's."""
        done = self(*arguments, **environ)
        assert done.returncode == 7, done.stderr
        return done.stdout


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"},
        {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"},
        {"AWS_EXECUTION_ENV": "AWS_LAMBDA_Image"},
        {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_LAMBDA_EVENT_PAYLOAD": "{}"},
    ],
)
@pytest.mark.parametrize("arguments", [[DEFAULT], ["millrace"], ["any thing", "at all"], []])
def test_in_lambda_the_base_image_decides(image: Image, environ: dict[str, str], arguments: list[str]) -> None:
    assert image.started(*arguments, **environ) == " ".join([EMULATOR, *(arguments or [""])])


def test_elsewhere_an_execution_environment_is_no_lambda(image: Image) -> None:
    assert image.started("millrace", AWS_EXECUTION_ENV="AWS_ECS_FARGATE") == COMMAND_LINE


@pytest.mark.parametrize(
    "handler", [DEFAULT, "lambda_function.lambda_handler", HANDLER, "folder/module.function", "my-module.f_1"]
)
def test_a_handlers_name_alone_goes_to_the_emulator(image: Image, handler: str) -> None:
    assert image.started(handler) == f"{EMULATOR} {handler}"


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        (["millrace"], COMMAND_LINE),
        (["millrace", "create", "a b", "*"], f"{COMMAND_LINE} create a b *"),
        (["millrace", "--help"], f"{COMMAND_LINE} --help"),
        (["handle-lambda-request"], REQUEST),
        (["handle-lambda-request", "--help"], f"{REQUEST} --help"),
        (["--handler", HANDLER, "-e", '{"a": 1}'], f'{REQUEST} --handler {HANDLER} -e {{"a": 1}}'),
        (["-e", "-"], f"{REQUEST} -e -"),
    ],
)
def test_a_command_is_the_command_line(image: Image, arguments: list[str], started: str) -> None:
    assert image.started(*arguments) == started
    assert image.started(*arguments, AWS_LAMBDA_EVENT_PAYLOAD="{}") == started


def test_code_is_found_from_any_folder(image: Image) -> None:
    assert image("millrace").stderr == " in /var/task"
    assert image("millrace", PYTHONPATH="/mine").stderr == " in /var/task:/mine"


@pytest.mark.parametrize(
    ("arguments", "environ", "started"),
    [
        ([DEFAULT], {"AWS_LAMBDA_FUNCTION_HANDLER": HANDLER}, REQUEST),
        ([DEFAULT], {"_HANDLER": HANDLER}, REQUEST),
        ([], {"AWS_LAMBDA_FUNCTION_HANDLER": HANDLER}, REQUEST),
        ([HANDLER], {}, f"{REQUEST} --handler {HANDLER}"),
        (["get-json-from-file"], {}, f"{REQUEST} --handler get-json-from-file"),  # as `millrace handlers` lists it
        ([HANDLER], {"AWS_LAMBDA_FUNCTION_HANDLER": ""}, f"{REQUEST} --handler {HANDLER}"),
        ([], {}, REQUEST),  # which says that a handler is missing
    ],
)
def test_a_request_in_the_environment_is_answered_once(
    image: Image, arguments: list[str], environ: dict[str, str], started: str
) -> None:
    assert image.started(*arguments, AWS_LAMBDA_EVENT_PAYLOAD='{"a": 1}', **environ) == started


@pytest.mark.parametrize(
    "arguments",
    [
        [""],
        ["/bin/sh"],
        ["./run.sh"],
        ["a b.c"],
        ["module."],
        ["a..b"],
        ["*.*"],
        [DEFAULT, "x"],
        ["create", "x"],
    ],
)
def test_anything_else_is_one_line_that_says_what_may_be(image: Image, arguments: list[str]) -> None:
    for done in (image(*arguments), image(*arguments, AWS_LAMBDA_EVENT_PAYLOAD="{}")):
        assert done.returncode == 2
        assert done.stdout == ""
        assert_says_what_may_be(done.stderr)


@pytest.mark.parametrize("arguments", [[], ["bash"], ["get-json-from-file"]])
def test_without_a_request_it_takes_a_handlers_full_name(image: Image, arguments: list[str]) -> None:
    done = image(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert_says_what_may_be(done.stderr)


def assert_says_what_may_be(said: str) -> None:
    [line] = said.splitlines()
    for way in ("package.module.Class", "millrace", "handle-lambda-request"):
        assert way in line


def test_what_it_refuses_moves_no_cursor(image: Image) -> None:
    for argument in ("\x1b[31mred", "\\033[31mred", "two\nlines", "\u202e"):
        refused = image(argument).stderr
        assert refused.removesuffix("\n").isprintable()
