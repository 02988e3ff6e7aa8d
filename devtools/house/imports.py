"""Find the imports between the modules under `app/`, and the floors that they must respect."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DOMAINS = "domains"


@dataclass(frozen=True)
class Floor:
    """A row of packages that may import packages of lower floors but not of their own.

    Attributes:
        title: The common purpose of its packages.
        packages: Names below `app`, with the module names at the top level among them; `domains/*` is each domain,
            `domains/*/cli` each domain's commands.
    """

    title: str
    packages: tuple[str, ...]


FLOORS = (
    Floor("each domain's commands", ("domains/*/cli",)),
    Floor("the command line", ("cli",)),
    Floor(
        "what Lambda calls; the doctor",
        ("lambda_function", "api_function", "router_function", "doctor", "pytest_plugin"),
    ),
    Floor("the start of a function", ("functions",)),
    Floor("the list of domains", ("registry",)),
    Floor("domains", ("domains/*",)),
    Floor("files in steps", ("jobs",)),
    Floor("requests", ("handlers",)),
    Floor("what a domain declares", ("domain",)),
    Floor("the stream; models", ("stream", "inference")),
    Floor("objects, tables, state", ("storage",)),
    Floor("the environment", ("aws", "settings")),
    Floor("errors and logs", ("budgets", "cache", "errors", "telemetry")),
    Floor("the ground", ("text",)),
)
"""The floors from top to bottom."""


@dataclass(frozen=True)
class Import:
    """A statement in one module that imports another.

    Attributes:
        importer: The dotted name of the module with the statement.
        imported: The dotted name of the module that it names.
        for_types: Whether it is under `if TYPE_CHECKING`, so that nothing is imported at run time.
    """

    importer: str
    imported: str
    for_types: bool


def modules(root: Path) -> dict[str, Path]:
    """Return the files of the modules under `app/` by dotted name; a package has the name of its folder."""
    found = {}
    for path in sorted((root / "app").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(files: dict[str, Path]) -> set[Import]:
    """Return the imports between these modules, those inside functions and those for types included."""
    return {
        Import(name, imported, for_types)
        for name, path in files.items()
        for imported, for_types in _imports_of(ast.parse(path.read_bytes()))
        for imported in [_module(imported, files)]
        if imported not in {"", name}
    }


def package_of(module: str, files: dict[str, Path]) -> str:
    """Return the package of `FLOORS` that a module is part of, or the name that a package of its own would have."""
    _, *parts = module.split(".")
    if parts[:1] == [DOMAINS]:
        if len(parts) == 1:
            return DOMAINS
        is_cli = parts[2:3] == ["cli"]
        return "/".join(parts[: 3 if is_cli else 2])
    return parts[0] if parts else files[module].parent.name


def circles(found: Iterable[Import]) -> set[tuple[str, ...]]:
    """Return the groups of modules that import each other in a circle, imports for types included."""
    after: dict[str, set[str]] = defaultdict(set)
    for each in found:
        after[each.importer].add(each.imported)
    reach = {name: _reachable(name, after) for name in after}
    groups = {tuple(sorted(other for other in reach[name] if name in reach.get(other, ()))) for name in reach}
    return {group for group in groups if group}


def floor_of(package: str) -> int:
    """Return a package's floor as an index of `FLOORS`.

    Raises:
        LookupError: The package is on no floor.
    """
    pattern = package
    if package.startswith(f"{DOMAINS}/"):
        domain, _, rest = package.removeprefix(f"{DOMAINS}/").partition("/")
        pattern = "/".join(filter(None, (DOMAINS, "*", rest))) if domain else package
    for index, floor in enumerate(FLOORS):
        if pattern in floor.packages:
            return index
    raise LookupError(f"app/{package} is on no floor: add it to FLOORS in devtools/house/imports.py")


def arrows(files: dict[str, Path], found: Iterable[Import]) -> dict[tuple[str, str], list[Import]]:
    """Return the imports between packages, by importing and imported package."""
    between: dict[tuple[str, str], list[Import]] = defaultdict(list)
    for each in found:
        pair = package_of(each.importer, files), package_of(each.imported, files)
        if pair[0] != pair[1]:
            between[pair].append(each)
    return between


def upward(files: dict[str, Path], found: Iterable[Import]) -> Iterator[Import]:
    """Yield the imports that do not lead to a floor below."""
    for (importer, imported), statements in arrows(files, found).items():
        if floor_of(imported) <= floor_of(importer):
            yield from statements


def _imports_of(node: ast.AST, *, for_types: bool = False) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Import):
        yield from ((each.name, for_types) for each in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from ((f"{node.module}.{each.name}", for_types) for each in node.names)
    for child in ast.iter_child_nodes(node):
        types_only = isinstance(node, ast.If) and child in node.body and _is_type_checking(node.test)
        yield from _imports_of(child, for_types=for_types or types_only)


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _module(name: str, files: dict[str, Path]) -> str:
    """Return the imported module, or the module of an imported attribute."""
    return next((each for each in (name, name.rpartition(".")[0]) if each in files), "")


def _reachable(name: str, after: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for each in after.get(waiting.pop(), set()) - seen:
            seen.add(each)
            waiting.append(each)
    return seen
