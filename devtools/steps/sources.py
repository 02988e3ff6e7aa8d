"""Find every regular expression in source files by walking their syntax trees."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_FUNCTIONS = {"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}
_OTHER_NAME = re.compile(r"^[ \t]*(?:from re import (?!_)|import re as |import regex\b)", re.MULTILINE)
_METHODS = _FUNCTIONS - {"compile"}
_ANYHOW = frozenset({"fullmatch", "finditer"})
"""How a pattern may be used that is passed on: as a whole, and from everywhere."""


class Use(NamedTuple):
    """One regular expression in a source file.

    Attributes:
        name: `app/text.py:_FORMULA`: the file, and the name that it is assigned to or the function it stands in; the
            second one of a name has `#2`.
        pattern: The pattern; None if only a running program knows it.
        methods: The methods of a pattern that are called on it.
    """

    name: str
    pattern: re.Pattern[Any] | None
    methods: frozenset[str]


def uses(root: Path, *folders: str) -> list[Use]:
    """Return the regular expressions of all files in some folders, in the order of the files.

    Raises:
        ValueError: A file imports `re` by another name, so that its patterns would not be found.
    """
    texts = {path: path.read_text() for each in folders for path in sorted((root / each).rglob("*.py"))}
    for path, text in texts.items():
        if _OTHER_NAME.search(text):
            raise ValueError(f"{path}: write `import re`: patterns are found by that name")
    trees = {path: ast.parse(text) for path, text in texts.items() if "import re\n" in text}
    imported = _methods_of_imported([text for text in texts.values() if "import " in text], _public(trees.values()))
    found: dict[str, Use] = {}
    for path, tree in trees.items():
        file = path.relative_to(root)
        own = _methods(tree)
        for owner, call in _calls(tree, ""):
            name, count = f"{file}:{owner}", 1
            while name in found:
                count += 1
                name = f"{file}:{owner}#{count}"
            function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            methods = own.get(owner, set()) | (imported.get(owner, set()) if not owner.startswith("_") else set())
            how = frozenset(methods or _ANYHOW) if function == "compile" else frozenset({function})
            found[name] = Use(name, _pattern(".".join(file.with_suffix("").parts), call), how)
    return list(found.values())


def _calls(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield calls of `re`'s functions, each with the name it is assigned to or the function it stands in."""
    for child in ast.iter_child_nodes(node):
        name = owner
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{owner}.{child.name}" if owner else child.name
        elif isinstance(child, (ast.Assign, ast.AnnAssign)) and not owner:
            target = child.targets[0] if isinstance(child, ast.Assign) else child.target
            name = ast.unparse(target)
        elif isinstance(child, ast.Call) and _is_of_re(child.func):
            yield owner or "module", child
        yield from _calls(child, name)


def _is_of_re(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in _FUNCTIONS
    )


def _methods(tree: ast.AST) -> dict[str, set[str]]:
    """Return the methods that a file calls on each name; any for a name that is passed on."""
    found: dict[str, set[str]] = {}
    behind = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            method = behind.get(id(node))
            if method != "pattern":
                found.setdefault(node.id, set()).update({method} if method in _METHODS else _ANYHOW)
    return found


def _public(trees: Iterable[ast.Module]) -> set[str]:
    """Return the names of patterns that other files may import."""
    return {owner for tree in trees for owner, _ in _calls(tree, "") if owner.isidentifier() and owner[0] != "_"}


def _methods_of_imported(texts: Iterable[str], names: set[str]) -> dict[str, set[str]]:
    """Return the methods that files call on patterns of other files, by name."""
    found: dict[str, set[str]] = {}
    for text in texts:
        if not any(name in text for name in names):
            continue
        tree = ast.parse(text)
        methods = _methods(tree)
        for node in ast.walk(tree):
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                found.setdefault(alias.name, set()).update(methods.get(alias.asname or alias.name, set()))
    return found


def _pattern(module: str, call: ast.Call) -> re.Pattern[Any] | None:
    """Return the pattern of a call by evaluating its arguments where it stands; None if they are known later."""
    flags = [each for each in (*call.args[1:], *(k.value for k in call.keywords)) if "re." in ast.unparse(each)]
    source = f"re.compile({', '.join(ast.unparse(each) for each in (call.args[0], *flags[:1]))})"
    try:
        names = {"re": re} if _is_constant(call.args[0]) else vars(importlib.import_module(module))
        found: re.Pattern[Any] = eval(source, dict(names))  # noqa: S307 - an expression of our own source
    except NameError:
        return None
    return found


@functools.cache
def _is_constant(text: ast.expr) -> bool:
    return not any(isinstance(each, ast.Name) for each in ast.walk(text))
