"""The description that each folder below `app/domains` gives of itself.

A description holds names and no classes, so that reading it imports nothing: a process pays only for the pipeline or
the handler that it runs. `app.registry` gathers the descriptions.
"""

from __future__ import annotations

import importlib
from typing import Any

import msgspec

from app.errors import MillraceError

_SHOWN_CHARACTERS = 100  # a name may come from an event, and be as long as that


class PipelineSpec(msgspec.Struct, frozen=True):
    """A pipeline that `PIPELINE` can name.

    Attributes:
        name: The value of `PIPELINE`.
        class_name: Its class, as `package.module:Class`.
        example: The JSON value of a record that it takes; None where that depends on the model.
    """

    name: str
    class_name: str
    example: Any = None


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


def import_named(module: str, name: str, raises: type[MillraceError], label: str, kind: str) -> Any:  # noqa: ANN401 - any object
    """Import an object by the name of its module and its own name.

    Args:
        module: The module's dotted name; whoever runs this process gives it, never an event.
        name: The object's name in the module.
        raises: The class of the error.
        label: What an error's line calls the object: `pipeline`, say.
        kind: What it should be: `class`, say.

    Returns:
        The object.

    Raises:
        MillraceError: `raises`, with one line that says what is missing; or what the module raises when it starts.
    """
    shown = f"{label} {quoted(f'{module}.{name}')}"
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise raises(f"{shown} needs {error.name}, which is not installed") from None
        raise raises(f"no {shown}: no module {quoted(error.name)}; is its folder on PYTHONPATH?") from None
    except MillraceError:
        raise
    except Exception as error:  # noqa: BLE001 - a module may raise anything when it is imported
        raise raises(f"{shown} cannot be imported: {type(error).__name__}: {_first_line(error)}") from None
    try:
        return getattr(found, name)
    except AttributeError:
        raise raises(f"no {shown}: there is no {kind} {quoted(name)} in {module}") from None


def import_class(name: str, raises: type[MillraceError], label: str) -> Any:  # noqa: ANN401 - the caller checks it
    """Import what `package.module:Class` names; see `import_named` for the arguments and errors."""
    module, _, class_name = name.partition(":")
    if not module or not class_name or class_name.startswith(":"):
        raise raises(f"no {label} {quoted(name)}: write package.module:Class")
    return import_named(module, class_name, raises, label, "class")


def quoted(name: object) -> str:
    """Return a name that somebody has sent as one short line."""
    return repr(str(name)[:_SHOWN_CHARACTERS])


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, shortened."""
    return str(error).partition("\n")[0][:_SHOWN_CHARACTERS]
