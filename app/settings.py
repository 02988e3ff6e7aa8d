"""The environment variables of Millrace, typed and checked once when a process starts.

`Settings` has the variables that belong to no domain. A domain, or a pipeline of your own, declares its variables as a
struct of the same kind and reads it from the same environment:

    class AlarmSettings(msgspec.Struct, frozen=True):
        alarm_celsius: Annotated[float, msgspec.Meta(ge=-50, le=100), about("temperature that raises an alarm")] = 30

    settings.read(AlarmSettings).alarm_celsius  # ALARM_CELSIUS

A secret one is declared with `about(…, secret=True)`, in a struct of the kind `Variables`: no line shows its value.

AWS's own variables (`AWS_ENDPOINT_URL`, `AWS_DEFAULT_REGION`, credentials) are read by botocore; a variable that stands
for an option of a command is declared with that option. `docs/settings.md` has all of them.
"""

from __future__ import annotations

import math
import re
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from app.errors import SettingsError
from app.telemetry import LEVELS, LEVELS_OF_LAMBDA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Struct = TypeVar("Struct", bound=msgspec.Struct)

DEFAULT_ROLE = "default"
"""The stream role of an output that names none: `OUTPUT_STREAM`."""

KEEP, SKIP, QUARANTINE = "keep", "skip", "quarantine"
"""The values of `FOREIGN_RECORDS` (`app/stream/aggregation_rows.py`)."""

SPLIT_NONE, LINES, LIST, LOG_EVENTS, LOG_MESSAGES = "none", "lines", "list", "log-events", "log-messages"
"""The values of `RECORD_SPLIT` (`app/stream/record_rows.py`)."""

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def about(description: str, *, secret: bool = False) -> msgspec.Meta:
    """Return the annotation that describes a variable in `docs/settings.md`; no line shows a secret's value."""
    return msgspec.Meta(description=description, extra={"secret": secret})


def is_secret(field: msgspec.structs.FieldInfo) -> bool:
    """Return whether a field of a struct of variables is declared secret."""
    annotations = get_args(field.type) if get_origin(field.type) is Annotated else ()
    return any(isinstance(each, msgspec.Meta) and (each.extra or {}).get("secret") for each in annotations)


class Environment(dict[str, str]):
    """Environment variables by name; shown without their values, which may be secrets."""

    def __repr__(self) -> str:
        """Return the number of variables."""
        return f"<{len(self)} variables>"


class Variables(msgspec.Struct, frozen=True, kw_only=True):
    """Variables of the environment; a struct with a secret one is to be of this kind, which shows no value of it."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return each field with its value, or `…` for a secret."""
        fields = msgspec.structs.fields(self)
        return [(each.name, "…" if is_secret(each) else getattr(self, each.name)) for each in fields]

    def __repr__(self) -> str:
        """Return the struct as text, without its secrets."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class Settings(Variables, frozen=True, kw_only=True):
    """The variables that belong to no domain: a field for each; its name in capitals is the variable's.

    The field `environ` is no variable: it holds the whole environment, for `read`.
    """

    environ: Environment = msgspec.field(default_factory=Environment)

    pipeline: Annotated[
        str,
        about(
            "the pipeline for every stream that `PIPELINES` does not name; one of your own is `package.module:Class`"
        ),
    ] = "bike"
    pipelines: Annotated[
        dict[str, str], about("the pipeline of each input stream, where there are several: `stream:pipeline,…`")
    ] = {}
    output_stream: Annotated[str, about("the stream that results are put on; required unless `TEST_RUN` is set")] = ""
    output_streams: Annotated[
        dict[str, str],
        about("for a pipeline with several kinds of output, the stream of each kind: `role:stream,…`"),
    ] = {}
    output_aggregation: Annotated[
        list[str],
        about(
            "the kinds of output to pack into aggregated records (Kinesis Producer Library), one partition key a "
            "record: `role,role`; `default` is that of `OUTPUT_STREAM`; unset, none"
        ),
    ] = []
    quarantine_stream: Annotated[
        str, about("the stream for records that can never be processed, each with the reason")
    ] = ""
    quarantine_location: Annotated[
        str,
        about(
            "a folder or `s3://…` for quarantined records: in place of `QUARANTINE_STREAM`, or next to it for records "
            "that are too large for a stream"
        ),
    ] = ""
    run_id: Annotated[
        str, about("the run id of the model bundle that `bike` and `model` load; unset, the newest bundle")
    ] = ""
    model_location: Annotated[
        str, about("a folder or `s3://…` that holds model bundles; unset, the bundles shipped with Millrace")
    ] = ""
    model_keys: Annotated[
        list[str],
        about(
            "the public keys that model bundles must be signed by, `key,key`: each a PEM file, a folder of files "
            "`….pem`, or base64; `shipped` among them accepts the bundles shipped with Millrace unsigned; unset, no "
            "signature is asked for"
        ),
    ] = []
    test_run: Annotated[bool, about("compute and return all results, and publish none")] = False
    partial_responses: Annotated[
        bool,
        about(
            "set it when the event source mapping has `ReportBatchItemFailures`: a batch is then retried from its "
            "first unfinished record, and not as a whole"
        ),
    ] = False
    response_results: Annotated[
        int,
        msgspec.Meta(ge=0, le=10_000),
        about("the number of predictions, and of quarantined records, that the function's response shows"),
    ] = 100
    most_raised_in_a_row: Annotated[
        int,
        msgspec.Meta(ge=0),
        about(
            "how many records in a row are quarantined when a pipeline raises one exception on each of them; further "
            "ones are held until the pipeline is mended"
        ),
    ] = 15
    deadline_margin_ms: Annotated[
        int, msgspec.Meta(ge=0), about("milliseconds before the function's timeout at which no new work starts")
    ] = 500
    foreign_records: Annotated[
        Literal["keep", "skip", "quarantine"],
        about("`keep`, `skip` or `quarantine` a record in an aggregated record when its key belongs to another shard"),
    ] = "keep"
    record_split: Annotated[
        Literal["none", "lines", "list", "log-events", "log-messages"],
        about(
            "what a record is split into before it is decoded: `none`, its `lines`, the elements of a JSON `list`, or "
            "the `log-events` or `log-messages` of a CloudWatch Logs subscription; with state, change it only when no "
            "record is half done"
        ),
    ] = "none"
    router_handlers: Annotated[
        list[str], about("the handlers that the router may call, by name: `name,name,…`; unset, none")
    ] = []
    allowed_locations: Annotated[
        list[str],
        about(
            "the folders and `s3://bucket/prefix` below which a location in a request or an event must lie: "
            "`location,location`; unset, every one that the handler takes and the function's role may use"
        ),
    ] = []
    api_cors_origins: Annotated[
        str, about("the origins whose web pages may call the API: `https://a.example,https://b.example`, or `*`")
    ] = ""
    api_tokens: Annotated[
        dict[str, str],
        about(
            "the bearer tokens that the API accepts: the SHA-256 of each with its scopes, `sha256:scope+scope,…`, or "
            "`sha256:*` for all scopes; unset, the API asks for no token",
            secret=True,
        ),
    ] = {}
    api_base_path: Annotated[
        str,
        about("the path that a custom domain maps to the API, such as `/bikes`: requests below it go to the routes"),
    ] = ""
    api_min_client_version: Annotated[
        str, about("the oldest version, in a request's header `x-client-version`, that the API answers")
    ] = ""
    state_table: Annotated[str, about("the DynamoDB table for pipelines that keep state, such as `alerts`")] = ""
    state_location: Annotated[
        str, about("a folder or `s3://…` for state that is too large for an item of `STATE_TABLE`")
    ] = ""
    metrics_namespace: Annotated[str, about("the CloudWatch namespace of the metrics")] = "Millrace"
    log_level: Annotated[
        str,
        about(
            "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`; unset, the level of the function's own logging "
            "controls (`AWS_LAMBDA_LOG_LEVEL`), and without them `INFO`"
        ),
    ] = "INFO"

    def read(self, kind: type[Struct]) -> Struct:
        """Read a domain's variables from the environment that these settings come from.

        Args:
            kind: A struct with a field for each variable; the field's name in capitals is the variable's. A field may
                be a string, a number, a boolean, a literal, a list (`a,b`) or a dictionary (`a:b,c:d`), with bounds by
                `msgspec.Meta`.

        Raises:
            SettingsError: A variable is missing or has a value that it cannot have; the line names it.
        """
        return _read(self.environ, kind)

    def with_variables(self, **variables: str) -> Settings:
        """Return the settings of the same environment with other values of some variables.

        Raises:
            SettingsError: One has a value that it cannot have.
        """
        return read_settings({**self.environ, **variables})

    def stream_for(self, role: str) -> str:
        """Return the stream of an output role, or an empty string when none is set."""
        return self.output_stream if role == DEFAULT_ROLE else self.output_streams.get(role, "")

    def pipeline_for(self, stream: str) -> str:
        """Return the name of the pipeline that reads `stream`."""
        return self.pipelines.get(stream, self.pipeline)

    def pipeline_names(self) -> set[str]:
        """Return the names of all pipelines that `PIPELINE` and `PIPELINES` have."""
        return {self.pipeline, *self.pipelines.values()}


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from an environment; an empty variable counts as unset.

    Raises:
        SettingsError: A variable has a value that it cannot have.
    """
    given = Environment({name: text for name, text in environ.items() if text.strip()})
    return msgspec.structs.replace(_read(environ, Settings), environ=given, log_level=read_log_level(environ))


def read_log_level(environ: Mapping[str, str]) -> str:
    """Return the log level that an environment asks for.

    `LOG_LEVEL` wins over `AWS_LAMBDA_LOG_LEVEL`, which Lambda sets from the function's logging controls: it is the more
    explicit one, since somebody set it for Millrace alone. Where Lambda's logs are JSON, it still drops lines below its
    own level.

    Raises:
        SettingsError: The level is none.
    """
    for name in ("LOG_LEVEL", "AWS_LAMBDA_LOG_LEVEL"):
        text = environ.get(name, "").strip()
        level = LEVELS_OF_LAMBDA.get(text.upper(), text.upper())
        if level and level not in LEVELS:
            *most, last = LEVELS
            raise SettingsError(f"{name} is {text!r}: set {', '.join(most)} or {last}")
        if level:
            return level
    return "INFO"


def _read(environ: Mapping[str, str], kind: type[Struct]) -> Struct:
    """Read the variables that are the fields of a struct."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        name = field.name.upper()
        if field.type is Environment:
            continue
        text = environ.get(name, "").strip()
        if text:
            try:
                found[field.encode_name] = _parse(text, _plain_type(field.type))
            except _WrongValueError as wrong:
                shown = "has a wrong value" if is_secret(field) else wrong.shown
                raise SettingsError(f"{name} {shown}: {wrong.mend}") from None
        elif field.required:
            raise SettingsError(f"{name} is not set, and has no default")
    try:
        return msgspec.convert(found, kind, strict=False)  # lists and dictionaries of numbers are texts so far
    except msgspec.ValidationError as error:
        expected, at_field, field_name = str(error).rstrip("`").replace("`", "").partition(" - at $.")
        if not at_field:
            raise SettingsError(expected) from None  # raised by the struct's own __post_init__
        encoded = re.split(r"[.\[]", field_name)[0]  # `$.days[0]` is in the field `days`
        field = next(each for each in msgspec.structs.fields(kind) if each.encode_name == encoded)
        name = field.name.upper()
        element = _wrong_element(found[field.encode_name], _plain_type(field.type))
        value = f"is {environ.get(name)!r}" if element is None else f"has {element!r}"
        value = "has a wrong value" if is_secret(field) else value
        raise SettingsError(f"{name} {value}: {expected[:1].lower()}{expected[1:]}") from None


def _wrong_element(value: object, kind: Any) -> str | None:  # noqa: ANN401 - see _plain_type
    """Return the first element of a list or dictionary that its type refuses, as it is written, if there is one."""
    elements: list[tuple[str, object]] = []
    if isinstance(value, dict):
        elements = [(f"{key}:{each}", {key: each}) for key, each in value.items()]
    elif isinstance(value, list):
        elements = [(each, [each]) for each in value]
    for text, alone in elements:
        try:
            msgspec.convert(alone, kind, strict=False)
        except msgspec.ValidationError:
            return text
    return None


def _plain_type(hint: Any) -> Any:  # noqa: ANN401 - a type, or what typing makes of one
    """Return a field's type without its bounds and without None."""
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif get_origin(hint) in {Union, types.UnionType}:
            hint = next(each for each in get_args(hint) if each is not types.NoneType)
        else:
            return hint


class _WrongValueError(Exception):
    """A text is no value of a variable's type.

    Attributes:
        shown: What is wrong, with the text or the part at fault; not shown of a secret.
        mend: What to set instead.
    """

    def __init__(self, shown: str, mend: str) -> None:
        super().__init__()
        self.shown, self.mend = shown, mend


def _parse(text: str, kind: Any) -> object:  # noqa: ANN401 - see _plain_type
    """Parse a variable's text as a value of its field's type; bounds are checked later."""
    if get_origin(kind) is Literal and text not in (values := [str(value) for value in get_args(kind)]):
        *most, last = values
        raise _WrongValueError(f"is {text!r}", f"set {', '.join(most)} or {last}")
    parse = _PARSERS.get(get_origin(kind) or kind)
    return parse(text) if parse else text


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise _WrongValueError(f"is {text!r}", "set True or False")
    return text.lower() in _TRUE


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _WrongValueError(f"is {text!r}", "set a whole number") from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise _WrongValueError(f"is {text!r}", "set a number")
    return number


def _items(text: str) -> list[str]:
    """Parse `a,b`."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _pairs(text: str) -> dict[str, str]:
    """Parse `a:b,c:d`; a value may hold colons."""
    pairs: dict[str, str] = {}
    for item in text.split(","):
        key, colon, value = (part.strip() for part in item.partition(":"))
        if not (key and colon and value):
            raise _WrongValueError(f"has {item.strip()!r}", "write name:value pairs with commas between")
        pairs[key] = value
    return pairs


_PARSERS: Mapping[Any, Callable[[str], object]] = {
    bool: _boolean,
    int: _whole_number,
    float: _number,
    list: _items,
    dict: _pairs,
}
