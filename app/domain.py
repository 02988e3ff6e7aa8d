"""The description that each folder below `app/domains` gives of itself.

A description holds names and no classes, so that reading it imports nothing: a process pays only for the pipeline or
the handler that it runs. `app.registry` gathers the descriptions.
"""

from __future__ import annotations

import importlib
from typing import Any

import msgspec

from app.errors import MillraceError
from app.text import LONGEST_QUOTED, quoted

INPUT_STREAM = "passenger_events"
"""The stream that commands read and feed, where neither an option nor the pipeline names another."""


class PipelineSpec(msgspec.Struct, frozen=True):
    """A pipeline that `PIPELINE` can name.

    Attributes:
        name: The value of `PIPELINE`.
        class_name: Its class, as `package.module:Class`.
        example: The JSON value of a record that it takes; None where that depends on the model.
        stream: The stream that `millrace feed` puts its records on, where no other is named.
        sample_records: The function that makes up records for `millrace feed`, as `package.module:function`: it takes a
            count and yields payloads. Without one the example is repeated.
        feed: The function that reads files for `millrace feed` in place of JSON lines, as `package.module:function`: it
            takes a path (or None), a count (or None), `endless` and `key`, and returns an iterator of (partition key,
            payload) with how many there are, if that is known.
    """

    name: str
    class_name: str
    example: Any = None
    stream: str = INPUT_STREAM
    sample_records: str = ""
    feed: str = ""


class HandlerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A typed Lambda handler.

    Attributes:
        name: The short name, which the class has too.
        class_name: The class, as `package.module.Class`.
        former_names: Dotted names that the class had before, which are still accepted.
        answers_http: Whether the class is an `ApiLambdaHandler`, which the API serves.
        variables: Environment variables that the documentation's example sets.
        example: The JSON value of the documentation's example request; None for the handler that brings its own.
    """

    name: str
    class_name: str
    former_names: tuple[str, ...] = ()
    answers_http: bool = False
    variables: dict[str, str] = {}
    example: Any = None


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """One folder below `app/domains`: what it offers to the stream, the API, the router and the command line.

    Attributes:
        name: The folder's name.
        pipelines: Its pipelines.
        handlers: Its typed handlers.
        settings: The struct of its own environment variables, as `package.module:Class`; empty without any.
        commands: The module whose `register(cli)` adds its commands to `millrace`; empty without any.
    """

    name: str
    pipelines: tuple[PipelineSpec, ...] = ()
    handlers: tuple[HandlerSpec, ...] = ()
    settings: str = ""
    commands: str = ""


def import_named(name: str, raises: type[MillraceError], label: str, kind: str = "class") -> Any:  # noqa: ANN401 - any object
    """Import an object by its name.

    Args:
        name: `package.module:Name` or `package.module.Name`; whoever runs this process gives it, never an event.
        raises: The class of the error.
        label: What an error's line calls the object: `pipeline`, say.
        kind: What the object should be: `class`, say.

    Returns:
        The object, of whatever type it is.

    Raises:
        MillraceError: `raises`, with one line that says what is missing; or what the module raises when it starts.
    """
    module, _, attribute = name.rpartition(":" if ":" in name else ".")
    if not module or not attribute:
        raise raises(f"no {label} {quoted(name)}: write package.module:{kind.capitalize()}")
    shown = f"{label} {quoted(name)}"
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise raises(f"{shown} needs {error.name}, which is not installed") from None
        raise raises(f"no {shown}: no module {quoted(error.name)}; is its folder on PYTHONPATH?") from None
    except MillraceError:
        raise
    except Exception as error:  # noqa: BLE001 - a module may raise anything when it is imported
        reason = str(error).partition("\n")[0][:LONGEST_QUOTED]
        raise raises(f"{shown} cannot be imported: {type(error).__name__}: {reason}") from None
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise raises(f"no {shown}: there is no {kind} {quoted(attribute)} in {module}") from None
