"""Where handlers are found: in a module or package, by a dotted name, or by the short names of a registry."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING, Any, TypeVar

from app.errors import HandlerNotAllowedError, MillraceError, UnknownHandlerError
from app.handlers.base import LambdaFunction, LambdaHandler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType

Kind = TypeVar("Kind", bound=LambdaHandler[Any, Any])


def discover(*modules: ModuleType, kind: type[Kind]) -> list[type[Kind]]:
    """The handler classes that modules define, and packages with all that is below them.

    Args:
        modules: Modules and packages, imported.
        kind: The class that they are to be of: `LambdaHandler`, or `ApiLambdaHandler` for those that answer HTTP.

    Returns:
        Those that can be made, each once, by name; a class that a module only imports is not of that module.
    """
    found: dict[str, type[Kind]] = {}
    for module in modules:
        for each in _with_all_below(module):
            for _, member in inspect.getmembers(each, inspect.isclass):
                if member.__module__ != each.__name__ or inspect.isabstract(member):
                    continue
                if issubclass(member, kind) and member is not kind:
                    found[member.qualified_name()] = member
    return sorted(found.values(), key=lambda handler: (handler.name, handler.qualified_name()))


def load(qualified_name: str) -> Callable[[Any, Any], Any]:
    """The function behind a dotted name: a handler class's, or a plain function `(event, context)`.

    The name is imported, so it is to come from whoever runs this process, never from an event.

    Raises:
        UnknownHandlerError: There is no such module, or nothing in it that can be called this way.
        MillraceError: The module cannot start; its one line says why.
    """
    path, _, name = qualified_name.rpartition(".")
    if not path or not name:
        raise UnknownHandlerError(
            f"no handler {_shown(qualified_name)}: give package.module.Class or package.module.function"
        )
    try:
        found: Any = getattr(importlib.import_module(path), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise UnknownHandlerError(
                f"handler {_shown(qualified_name)} needs {error.name}, which is not installed"
            ) from None
        raise UnknownHandlerError(
            f"no handler {_shown(qualified_name)}: no module {_shown(error.name)}; is its folder on PYTHONPATH?"
        ) from None
    except MillraceError:
        raise
    except Exception as error:  # noqa: BLE001 - a module may raise anything when it is imported
        raise UnknownHandlerError(
            f"handler {_shown(qualified_name)} cannot be imported: {type(error).__name__}"
        ) from None
    if inspect.isclass(found):
        if not issubclass(found, LambdaHandler) or inspect.isabstract(found):
            raise UnknownHandlerError(f"{_shown(qualified_name)} is a class, but no handler that can be made")
        return found.get_handler()
    if not callable(found):
        raise UnknownHandlerError(f"no handler {_shown(qualified_name)}: there is no function {_shown(name)} in {path}")
    function: Callable[[Any, Any], Any] = found
    return function


class Registry:
    """Handlers by short name, each imported when it is asked for."""

    def __init__(self, qualified_names: Mapping[str, str]) -> None:
        """Takes the dotted name of each class by its short name; imports nothing."""
        self._qualified_names = dict(qualified_names)
        self._functions: dict[str, LambdaFunction[Any]] = {}

    def __iter__(self) -> Iterator[str]:
        """The short names, sorted."""
        return iter(sorted(self._qualified_names))

    def function(self, name: str, allowed: Iterable[str] | None = None) -> LambdaFunction[Any]:
        """A handler's function, the same one each time, so that what it has opened stays.

        Args:
            name: Short, or dotted; also a dotted name must be of the registry.
            allowed: The short names that may be asked for; None means all.

        Raises:
            UnknownHandlerError: The registry has none of this name.
            HandlerNotAllowedError: It is not among the allowed.
        """
        short = self.short_name(name, allowed)
        if allowed is not None and short not in allowed:
            raise HandlerNotAllowedError(f"handler {short} may not be called here: ROUTER_HANDLERS does not name it")
        if short not in self._functions:
            path, _, attribute = self._qualified_names[short].rpartition(".")
            self._functions[short] = getattr(importlib.import_module(path), attribute).get_handler()
        return self._functions[short]

    def short_name(self, name: str, allowed: Iterable[str] | None = None) -> str:
        """The short name of a handler that is given by that or by its dotted one.

        Args:
            name: Short, or dotted.
            allowed: The short names that are told to whoever asks for another; None means all.

        Raises:
            UnknownHandlerError: The registry has none of this name.
        """
        short = next((key for key, dotted in self._qualified_names.items() if name in {key, dotted}), None)
        if short is None:
            names = ", ".join(self if allowed is None else sorted(set(self) & set(allowed)))
            raise UnknownHandlerError(f"no handler {_shown(name)}: there are {names or 'none'}")
        return short

    def handler_class(self, name: str) -> type[LambdaHandler[Any, Any]]:
        """A handler's class.

        Raises:
            UnknownHandlerError: The registry has none of this name.
        """
        return self.function(name).handler_class


def _with_all_below(module: ModuleType) -> Iterator[ModuleType]:
    yield module
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
        yield importlib.import_module(found.name)


def _shown(name: object) -> str:
    """A name that somebody has sent, as one short line."""
    return repr(str(name)[:100])
