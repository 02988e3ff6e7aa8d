"""Finding handlers: those of a module or package, by a dotted name, or by the short names of a registry."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING, Any, TypeVar

from app.domain import import_named
from app.errors import HandlerNotAllowedError, UnknownHandlerError
from app.handlers.base import LambdaFunction, LambdaHandler
from app.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from app.domain import HandlerSpec

Kind = TypeVar("Kind", bound=LambdaHandler[Any, Any])


def discover(*modules: ModuleType, kind: type[Kind]) -> list[type[Kind]]:
    """Find the handler classes that modules and packages, with their subpackages, define.

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
    """Return the function behind a dotted name: a handler class's, or a plain function `(event, context)`.

    The name is imported, so it is to come from whoever runs this process, never from an event.

    Raises:
        UnknownHandlerError: There is no such module, or nothing in it that can be called this way.
        MillraceError: The module cannot start; its one line says why.
    """
    module, _, name = qualified_name.rpartition(".")
    if not module or not name:
        raise UnknownHandlerError(
            f"no handler {quoted(qualified_name)}: give package.module.Class or package.module.function"
        )
    found: Any = import_named(qualified_name, UnknownHandlerError, "handler", "function")
    if inspect.isclass(found):
        if not issubclass(found, LambdaHandler) or inspect.isabstract(found):
            raise UnknownHandlerError(f"{quoted(qualified_name)} is a class, but no handler that can be made")
        return found.get_handler()
    if not callable(found):
        raise UnknownHandlerError(
            f"no handler {quoted(qualified_name)}: there is no function {quoted(name)} in {module}"
        )
    function: Callable[[Any, Any], Any] = found
    return function


class Registry:
    """Handlers by short name, each imported when it is asked for."""

    def __init__(self, specs: Iterable[HandlerSpec]) -> None:
        """Take the handlers' descriptions; import nothing."""
        self._specs = {spec.name: spec for spec in sorted(specs, key=lambda spec: spec.name)}
        self._short_names = {
            each: spec.name
            for spec in self._specs.values()
            for each in (spec.name, spec.class_name, *spec.former_names)
        }
        self._functions: dict[str, LambdaFunction[Any]] = {}

    def __iter__(self) -> Iterator[str]:
        """Iterate over the short names, sorted."""
        return iter(self._specs)

    def __getitem__(self, name: str) -> HandlerSpec:
        """Return a handler's description by its short name."""
        return self._specs[name]

    def find(self, name: str) -> Callable[[Any, Any], Any]:
        """Return the function of a handler here, by any of its names, or of one elsewhere, by its dotted name.

        The name may be imported, so it is to come from whoever runs this process, never from an event.

        Raises:
            UnknownHandlerError: There is none of this name.
            MillraceError: Its module cannot start.
        """
        return load(name) if "." in name and name not in self._short_names else self.function(name)

    def function(self, name: str, allowed: Iterable[str] | None = None) -> LambdaFunction[Any]:
        """Return the function of a handler here, the same one each time, so that a loaded model stays loaded.

        Args:
            name: Short, dotted, or a former dotted name.
            allowed: The short names that may be asked for; None means all.

        Raises:
            UnknownHandlerError: The registry has none of this name.
            HandlerNotAllowedError: It is not among the allowed.
        """
        short = self.short_name(name, allowed)
        if allowed is not None and short not in allowed:
            raise HandlerNotAllowedError(f"handler {short} may not be called here: ROUTER_HANDLERS does not name it")
        if short not in self._functions:
            module, _, attribute = self._specs[short].class_name.rpartition(".")
            self._functions[short] = getattr(importlib.import_module(module), attribute).get_handler()
        return self._functions[short]

    def short_name(self, name: str, allowed: Iterable[str] | None = None) -> str:
        """Return the short name of a handler by any of its names.

        Args:
            name: Short, dotted, or a former dotted name.
            allowed: The short names that the error's line lists; None means all.

        Raises:
            UnknownHandlerError: The registry has none of this name.
        """
        short = self._short_names.get(name)
        if short is None:
            names = ", ".join(self if allowed is None else sorted(set(self) & set(allowed)))
            raise UnknownHandlerError(f"no handler {quoted(name)}: there are {names or 'none'}")
        return short

    def handler_class(self, name: str) -> type[LambdaHandler[Any, Any]]:
        """Return a handler's class.

        Raises:
            UnknownHandlerError: The registry has none of this name.
        """
        return self.function(name).handler_class

    def http_handlers(self) -> list[type[Any]]:
        """Import the `ApiLambdaHandler` classes."""
        return [self.handler_class(name) for name, spec in self._specs.items() if spec.answers_http]


def _with_all_below(module: ModuleType) -> Iterator[ModuleType]:
    yield module
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}."):
        yield importlib.import_module(found.name)
