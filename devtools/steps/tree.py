"""Walk the parse tree of a regular expression, as Python's own parser makes it, and compile parts of it."""

from __future__ import annotations

from re import _compiler, _parser  # type: ignore[attr-defined] # there is no public parser of patterns
from re import _constants as C  # type: ignore[attr-defined] # noqa: N812 - its names are constants
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence

Node: TypeAlias = "tuple[Any, Any]"
"""An operation of the parse tree and its operand."""

CHARACTERS = frozenset({C.LITERAL, C.NOT_LITERAL, C.ANY, C.IN, C.RANGE, C.CATEGORY})
"""Operations that match one character."""
ASSERTIONS = frozenset({C.ASSERT, C.ASSERT_NOT})
REPEATS = frozenset({C.MAX_REPEAT, C.MIN_REPEAT, C.POSSESSIVE_REPEAT})


def nodes(tree: Sequence[Node]) -> Iterator[Node]:
    """Yield every node of a parse tree, those above others first."""
    for op, operand in tree:
        yield op, operand
        for part in parts(op, operand):
            yield from nodes(part)


def parts(op: Any, operand: Any) -> list[Sequence[Node]]:  # noqa: ANN401 - as the parser has them
    """Return the trees below one node."""
    if op is C.SUBPATTERN:
        return [operand[3]]
    if op is C.BRANCH:
        return list(operand[1])
    if op in REPEATS:
        return [operand[2]]
    if op in ASSERTIONS:
        return [operand[1]]
    if op is C.GROUPREF_EXISTS:
        return [each for each in operand[1:] if each]
    return [operand] if op is C.ATOMIC_GROUP else []


def single_character(body: Sequence[Node]) -> tuple[Node, int, int] | None:
    """Return the one character that a repeat repeats, with flags that are added and removed, as `re` sees it."""
    if len(body) != 1:
        return None
    op, operand = body[0]
    if op in CHARACTERS:
        return body[0], 0, 0
    if op is C.SUBPATTERN and operand[0] is None:
        found = single_character(operand[3])
        return found and (found[0], found[1] | operand[1], found[2] | operand[2])
    return None


def compiled(piece: Sequence[Node], flags: int) -> re.Pattern[Any]:
    """Compile nodes of a parse tree with `re`."""
    tree = subtree(piece)
    tree.state.flags = flags
    pattern: re.Pattern[Any] = _compiler.compile(tree, flags)
    return pattern


def subtree(piece: Sequence[Node]) -> Any:  # noqa: ANN401 - as the parser has them
    """Return nodes as a tree that `re` compiles."""
    return _parser.SubPattern(_parser.State(), list(piece))


def is_piece(node: Node) -> bool:
    """Return whether a node takes as many steps wherever it stands: one character, a position, or a look at such."""
    op, operand = node
    if op in ASSERTIONS:
        return all(is_piece(each) for each in operand[1])
    return op in CHARACTERS or op is C.AT


def weight(piece: Sequence[Node]) -> int:
    """Return the steps that a piece takes, one a node."""
    return sum(1 + sum(weight(part) for part in parts(*node)) for node in piece)


def first_piece(tree: Sequence[Node]) -> list[Node]:
    """Return nodes that every match begins with, for `re` to find the next place to start; none if unknown."""
    piece: list[Node] = []
    for node in tree:
        if not is_piece(node):
            break
        piece.append(node)
    if any(op in CHARACTERS for op, _ in piece) or len(piece) == len(tree):
        return piece
    op, operand = tree[len(piece)]
    if op in REPEATS and operand[0] > 0:
        return (below := first_piece(operand[2])) and piece + below
    if op is C.SUBPATTERN and not operand[1] and not operand[2]:
        return (below := first_piece(operand[3])) and piece + below
    if op is C.BRANCH:
        firsts = [first_piece(each) for each in operand[1]]
        return [*piece, (C.BRANCH, (None, [subtree(each) for each in firsts]))] if all(firsts) else []
    return []
