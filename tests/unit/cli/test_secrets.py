"""No value of a secret variable, and no credentials in a URL, stand in any line: errors, findings, logs, reprs.

The variables are those that the settings declare, whichever they are; each command runs with a marker in every place
that may hold a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import pytest

from app import aws, telemetry
from app.cli.terminal import configure_logs, note
from app.errors import CredentialsError, MillraceError, SettingsError
from app.handlers.invocation import process_settings
from app.registry import settings_of_domains
from app.settings import Environment, Settings, Variables, about, is_secret, read_settings
from app.stream.putrecords import SignedPutRecords
from app.telemetry import logger
from app.text import without_credentials
from tests.terminal_for_tests import TREE, Run, start_nothing

if TYPE_CHECKING:
    from pathlib import Path

MARKER = "open-sesame-1234"
URL = f"http://ali:{MARKER}@127.0.0.1:1/x"
STRUCTS: list[type[msgspec.Struct]] = [Settings, *settings_of_domains()]
FIELDS = [(kind, each) for kind in STRUCTS for each in msgspec.structs.fields(kind) if each.type is not Environment]
VARIABLES = [field.name.upper() for _, field in FIELDS]
of_each_kind = pytest.mark.parametrize("kind", STRUCTS)


class Hidden(Variables, frozen=True):
    """A secret of each type that a variable may have."""

    text: Annotated[str, msgspec.Meta(max_length=3), about("…", secret=True)] = ""
    number: Annotated[int, msgspec.Meta(ge=0, le=9), about("…", secret=True)] = 0
    share: Annotated[float, about("…", secret=True)] = 0
    flag: Annotated[bool, about("…", secret=True)] = False
    choice: Annotated[Literal["a", "b"], about("…", secret=True)] = "a"
    items: Annotated[list[int], about("…", secret=True)] = msgspec.field(default_factory=list)
    pairs: Annotated[dict[str, int], about("…", secret=True)] = msgspec.field(default_factory=dict)


@pytest.mark.parametrize(
    ("name", "value"),
    [("TEXT", MARKER), ("NUMBER", MARKER), ("NUMBER", "1234567"), ("SHARE", MARKER), ("FLAG", MARKER),
     ("CHOICE", MARKER), ("ITEMS", f"1,{MARKER}"), ("PAIRS", MARKER), ("PAIRS", f"a:{MARKER}"),
     ("PAIRS", f"{MARKER}:x")],
)  # fmt: skip
def test_a_wrong_secret_is_not_quoted(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} has a wrong value: ") as raised:
        read_settings({name: value}).read(Hidden)
    assert value not in str(raised.value)


def test_a_secret_is_not_in_the_text_of_the_settings() -> None:
    assert MARKER not in repr(Settings(api_tokens={MARKER: "*"}))
    assert "pipeline='bike'" in repr(Settings())
    for _, field in FIELDS:
        assert is_secret(field) or "token" not in field.name
        assert is_secret(field) or "password" not in field.name
        assert is_secret(field) or "secret" not in field.name


@of_each_kind
def test_settings_with_secrets_hide_them(kind: type[msgspec.Struct]) -> None:
    assert issubclass(kind, Variables) or not any(map(is_secret, msgspec.structs.fields(kind)))


@pytest.mark.parametrize("name", VARIABLES)
def test_no_variable_shows_credentials_of_a_url(name: str) -> None:
    for value in (URL, f"x:{URL}", f"{URL},"):
        for kind in STRUCTS:
            try:
                read_settings({name: value}).read(kind)
            except SettingsError as error:
                assert MARKER not in str(error)


@pytest.fixture
def _markers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, MARKER)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"ftp://ali:{MARKER}@127.0.0.1:1")  # refused before any connection
    monkeypatch.setenv("MLFLOW_TRACKING_URI", URL)
    start_nothing(monkeypatch, tmp_path, f"nothing is started at {URL}")


def no_marker(*arguments: str, is_terminal: bool = True) -> str:
    """What a command writes, in which there is no marker."""
    done = Run(arguments, is_terminal=is_terminal)
    assert MARKER not in done.out + done.err, arguments
    return done.out + done.err


@pytest.mark.usefixtures("_markers")
@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_no_command_shows_a_secret(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = TREE[path].params
    required = ["name" for each in parameters if each.param_type_name == "argument" and each.required]
    required += ["--no-model" for each in parameters if "--no-model" in each.opts]  # which takes seconds to load
    monkeypatch.setenv("OUTPUT_STREAM", "out")
    monkeypatch.setenv("API_TOKENS", MARKER)
    no_marker(*path, *required)
    monkeypatch.delenv("API_TOKENS")
    logger.setLevel("DEBUG")
    no_marker(*path, *required, is_terminal=False)
    for name in ("MODEL_LOCATION", "QUARANTINE_LOCATION", "STATE_LOCATION", "LOOKUP_TABLE", "STATE_TABLE"):
        monkeypatch.setenv(name, URL)
    no_marker(*path, *required)


@pytest.mark.usefixtures("_markers")
@pytest.mark.parametrize("name", VARIABLES)
def test_the_doctor_shows_no_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.doctor.here.examine_models", lambda _: iter(()))
    monkeypatch.setenv(name, MARKER if name == "API_TOKENS" else URL)
    assert "AWS" in no_marker("doctor")
    if name == "API_TOKENS":
        assert "API_TOKENS has a wrong value" in no_marker("doctor", "--json")


@pytest.mark.usefixtures("_markers")
def test_addresses_in_notes_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.mapping.Mapping", lambda *_, **__: None)
    monkeypatch.setattr("app.cli.mapping.drive", lambda *_, **__: None)
    assert "http://…@127.0.0.1:1" in no_marker("mapping", "--function-url", URL, "--stream-name", "rides")
    monkeypatch.setenv("AWS_ENDPOINT_URL", URL)
    assert "http://…@127.0.0.1:1/x does not answer" in no_marker("drain", "--stream", "rides")
    no_marker("model", "show", "name", "--location", URL)
    no_marker("invoke", "--payload", URL)
    process_settings.cache_clear()
    aws.forget()


@pytest.mark.usefixtures("_markers")
@pytest.mark.parametrize(
    "endpoint",
    [f"http://ali:{MARKER}@host name/", f"http://ali:{MARKER}@a_b:1", f"http://ali:{MARKER}@127.0.0.1:x",
     f"//a:{MARKER}@h", f"http://ali:{MARKER}@127.0.0.1:1\x1b[31m", "http://[x", "http://127.0.0.1:99999"],
)  # fmt: skip
def test_a_wrong_endpoint_is_one_line(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("STATE_TABLE", "states")
    for arguments in (["drain"], ["state", "list"]):
        assert ": set AWS_ENDPOINT_URL to http://host:port" in no_marker(*arguments)
        aws.forget()


@pytest.mark.usefixtures("_markers")
@pytest.mark.parametrize("name", ["AWS_DEFAULT_REGION", "AWS_STS_REGIONAL_ENDPOINTS", "AWS_DEFAULTS_MODE"])
def test_a_wrong_variable_of_aws_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv(name, "no such\x1b[31m")
    assert "AWS configuration: " in no_marker("drain")


@pytest.mark.usefixtures("_markers")
@pytest.mark.parametrize(
    "command", [f"echo {MARKER} >&2; exit 3", f"echo {MARKER}", f'echo \'{{"Version": 1, "x": "{MARKER}"}}\'']
)
def test_what_a_program_that_gives_credentials_says_is_not_shown(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "program").write_text(command)
    (tmp_path / "config").write_text(f"[profile p]\ncredential_process = /bin/sh {tmp_path}/program\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "p")
    aws.forget()
    assert ": no AWS credentials" in no_marker("drain")
    aws.forget()
    with pytest.raises(CredentialsError, match="no AWS credentials"):
        SignedPutRecords(1)


@pytest.mark.usefixtures("_markers")
def test_a_wrong_address_of_credentials_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://elsewhere.example/")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", f"a\nb{MARKER}")
    aws.forget()
    assert "AWS configuration: " in no_marker("drain")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{URL} does not answer", "http://…@127.0.0.1:1/x does not answer"),
        (f"'https://ali:{MARKER}/{MARKER}@host'", "'https://…@host'"),
        (f"https://{MARKER}@host/a@b", "https://…@host/a@b"),
        (f"https://b/k?X-Amz-Signature={MARKER}&x=1", "https://b/k?X-Amz-Signature=…&x=1"),
        (f'{{"Authorization": "Bearer {MARKER}"}}', '{"Authorization": "Bearer …"}'),
        (f"b'x-amz-security-token': b'{MARKER}'", "b'x-amz-security-token': b'…'"),
        (f"MODEL_KEYS '-----BEGIN PRIVATE KEY-----\\n{MARKER}': no", "MODEL_KEYS '-----BEGIN PRIVATE KEY-----…': no"),
        (f'"password": "{MARKER}"', '"password": "…"'),
        (f"AWS_SECRET_ACCESS_KEY={MARKER} AWS_SESSION_TOKEN={MARKER}", "AWS_SECRET_ACCESS_KEY=… AWS_SESSION_TOKEN=…"),
        (f"{{'SecretAccessKey': '{MARKER}'}}", "{'SecretAccessKey': '…'}"),
        (f"('Authorization', 'Bearer {MARKER}')", "('Authorization', 'Bearer …')"),
        (f"[[b'x-api-key',b'{MARKER}']]", "[[b'x-api-key',b'…']]"),
        (f"Authorization:  Token {MARKER}", "Authorization:  Token …"),
        (f"curl -H 'Bearer {MARKER}'", "curl -H 'Bearer …'"),
        (f"?sig={MARKER}&refresh_token={MARKER}", "?sig=…&refresh_token=…"),
        (rf"http:\/\/ali:{MARKER}@h", r"http:\/\/…@h"),
        (f"http://aws:{'x' * 1800}{MARKER}@h/simple", "http://…@h/simple"),
        ("headers: authorization, x-client-version", "headers: authorization, x-client-version"),
        (
            "is_secret=False, next_token=None, partition_key=rides-1",
            "is_secret=False, next_token=None, partition_key=rides-1",
        ),
        ("http://127.0.0.1:4566/a@b s3://bucket/a@b x@y", "http://127.0.0.1:4566/a@b s3://bucket/a@b x@y"),
        ("send a token: authorization: Bearer …", "send a token: authorization: Bearer …"),
    ],
)
def test_credentials_are_left_out_of_each_line(
    text: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert without_credentials(text) == shown
    assert str(MillraceError(text)) == MillraceError(text).line == shown
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    monkeypatch.setattr(logger, "handlers", [])
    configure_logs()
    logger.error("%s", text, extra={"place": [text]})
    note(text)
    assert MARKER not in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [f'password={MARKER}"x', f'BEGIN PRIVATE KEY-----{MARKER}"x', f'http://ali:"{MARKER}@h',
     f'{{"token": "{MARKER}"}}', f"\\password={MARKER}\\", f"//ali\\:{MARKER}@h\\", "s3://bucket",
     f"secret={MARKER}\n"],
)  # fmt: skip
def test_a_log_line_without_credentials_is_json_still(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure()
    logger.error("%s", text, extra={"headers": {"Authorization": MARKER, text: "a@b"}, "owner": "x@y"})
    line = capsys.readouterr().err
    assert msgspec.json.decode(line)["owner"] == "x@y"
    assert MARKER not in line
