"""Make small changes of code by rule: conditions, comparisons, statements, numbers.

Logging, counts, messages, annotations, defaults and constants of modules are left alone: they decide nothing about
delivery, or only its pace. The choice depends on a seed and on each change's own text, so that it stays as it is where
the code changes elsewhere.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

ROOT = Path(__file__).parents[2]
MODULES = (
    "app.stream.batch",
    "app.stream.emit",
    "app.stream.batch_state",
    "app.stream.execution",
    "app.stream.lane",
    "app.stream.mapping.driver",
    "app.stream.mapping.lanes",
    "app.stream.mapping.retries",
    "app.stream.mapping.settling",
    "app.stream.outcomes",
    "app.stream.processor",
    "app.stream.quarantine",
    "app.stream.routing",
    "app.stream.shards",
    "app.stream.tracker",
    "app.storage.spilling",
    "app.storage.state",
)
"""The spine, the mapping and the state, without what only starts them or speaks to AWS."""

Change: TypeAlias = "Callable[[], None]"
_MEASURES = (
    "logger.", "self._milliseconds", "self._processor.row_s", "self._processor.key_s", "self._report(", "counts",
    "self.counts", "self.acknowledged +=", "self.discarded +=", "self.filtered +=", "self.retried +=",
    "self.accepted[", "self.transient_code",
)  # fmt: skip
"""How statements begin that log, measure or count for people."""

_COMPARISONS: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_SIMPLE = (ast.Expr, ast.AugAssign, ast.Assign, ast.Continue, ast.Break, ast.Raise, ast.Return)
_SKIPPED_FUNCTIONS = frozenset({"__repr__", "__str__"})


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change of one statement.

    Attributes:
        module: The module.
        function: The function that it is in.
        line: Its line in the file.
        before: The statement's first line.
        after: The same with the change.
        source: The module's text with the change.
    """

    module: str
    function: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """Return the change in a line."""
        return f"{self.module.removeprefix('app.')}.{self.function}: {self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class _Found:
    """A change that can be made: of the statement at an index of a block."""

    function: str
    body: list[ast.stmt]
    index: int
    change: Change

    @property
    def line(self) -> int:
        return self.body[self.index].lineno

    def head(self) -> str:
        return ast.unparse(ast.fix_missing_locations(self.body[self.index])).split("\n", 1)[0]


def source_of(module: str) -> str:
    """Return a module's text."""
    return (ROOT / (module.replace(".", "/") + ".py")).read_text()


def count_of(source: str) -> int:
    """Return how many changes there are of a module's text."""
    return len(_candidates(ast.parse(source)))


def mutation(module: str, number: int) -> Mutation:
    """Return one of a module's changes."""
    tree = ast.parse(source_of(module))
    found = _candidates(tree)[number]
    line, before = found.line, found.head()
    found.change()
    return Mutation(module, found.function, line, before, found.head(), ast.unparse(ast.fix_missing_locations(tree)))


def choose(count: int, seed: int, lines: Mapping[str, Collection[int]]) -> list[Mutation]:
    """Return some changes of all modules, as a seed chooses them.

    Args:
        count: How many.
        seed: Chooses, with each change's own text.
        lines: The lines of each module that the checker runs: a change of any other cannot be found.
    """
    ranked: list[tuple[bytes, str, int]] = []
    for module in MODULES:
        seen: Counter[tuple[str, str]] = Counter()
        for number, found in enumerate(_candidates(ast.parse(source_of(module)))):
            place = found.function, found.head()
            seen[place] += 1
            if found.line in lines.get(module, ()):
                text = f"{seed}/{module}/{place}/{seen[place]}"
                ranked.append((hashlib.sha256(text.encode()).digest(), module, number))
    return [mutation(module, number) for _, module, number in sorted(ranked)[:count]]


def _candidates(tree: ast.Module) -> list[_Found]:
    found: list[_Found] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name not in _SKIPPED_FUNCTIONS:
            found += _in_body(node.body, node.name)
    return found


def _in_body(body: list[ast.stmt], function: str) -> Iterator[_Found]:
    """Yield the changes of a block's statements and of those within them; functions within are walked by themselves."""
    for index, statement in enumerate(body):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or _is_left_alone(statement):
            continue
        if _is_droppable(statement):
            yield _Found(function, body, index, _dropping(body, index))
        for change in _in_expressions(statement):
            yield _Found(function, body, index, change)
        for name in ("body", "orelse", "finalbody"):
            yield from _in_body(getattr(statement, name, []), function)
        for handler in getattr(statement, "handlers", []):
            yield from _in_body(handler.body, function)


def _is_left_alone(statement: ast.stmt) -> bool:
    """Return whether a statement is a docstring, logs, measures, or is of windows, which no history has."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    head = ast.unparse(statement).split("\n", 1)[0]
    return head.startswith(_MEASURES) or "window" in head


def _is_droppable(statement: ast.stmt) -> bool:
    """Return whether the code still has meaning without a statement: no name that others read is made by it."""
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in statement.targets)
    if isinstance(statement, ast.Return):
        return statement.value is None
    return isinstance(statement, _SIMPLE)


def _dropping(body: list[ast.stmt], index: int) -> Change:
    return lambda: body.__setitem__(index, ast.copy_location(ast.Pass(), body[index]))


def _in_expressions(statement: ast.stmt) -> Iterator[Change]:
    """Yield the changes of a statement's own expressions, outermost first."""
    if isinstance(statement, ast.Raise):
        return
    for _, value in ast.iter_fields(statement):
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.expr):
                yield from _in_expression(node)
    if isinstance(statement, (ast.If, ast.While)):
        yield _negating(statement)


def _in_expression(node: ast.AST) -> Iterator[Change]:
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return
    yield from _of_node(node)
    for child in ast.iter_child_nodes(node):
        yield from _in_expression(child)


def _of_node(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=[only]) if type(only) in _COMPARISONS:
            yield lambda: setattr(node, "ops", [_COMPARISONS[type(only)]()])
        case ast.BoolOp(op=op):
            yield lambda: setattr(node, "op", ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.IfExp():
            yield _negating(node)
        case ast.BinOp(op=ast.Add()):
            yield lambda: setattr(node, "op", ast.Sub())
        case ast.BinOp(op=ast.Sub()):
            yield lambda: setattr(node, "op", ast.Add())
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            yield lambda: setattr(node, "value", number + 1)
        case ast.Constant(value=bool(flag)):
            yield lambda: setattr(node, "value", not flag)
        case ast.Name(id="min" | "max" as name):
            yield lambda: setattr(node, "id", "max" if name == "min" else "min")


def _negating(node: ast.If | ast.While | ast.IfExp) -> Change:
    return lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
