"""Hostile texts for a regular expression, made from its own parse tree.

A pattern takes more than linear time where a repeat is tried again from many places, or where two repeats share the
same characters. So each repeat is pumped behind what leads to it, the way to it is repeated without what ends it, and
whole matches come with their last character wrong.
"""

from __future__ import annotations

import itertools
import re
from re import _constants as C  # type: ignore[attr-defined] # noqa: N812 - its names are constants
from re import _parser  # type: ignore[attr-defined] # there is no public parser of patterns
from typing import TYPE_CHECKING, Any, NamedTuple

from devtools.steps.tree import CHARACTERS, REPEATS, compiled, nodes, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devtools.steps.tree import Node

_PROBES = "a0 -./:@=_,;\\\"'<>()[]{}|+AzfF9T~!#$%&*?^`\t\n\0\x7f\u00e9\u0660"
"""Characters of each kind that patterns tell apart, the likeliest first."""
_MOST_PUMPS = 6  # characters a repeat is pumped with
_WRONG = ("\0", "!")  # ends that few patterns take


class Family(NamedTuple):
    """A text that is made in any length: a beginning, a part that is repeated, and an end."""

    begin: str
    pump: str
    end: str

    def text(self, length: int) -> str:
        """Return the family's text of about a length."""
        return self.begin + self.pump * max(1, (length - len(self.begin) - len(self.end)) // len(self.pump)) + self.end


def families(pattern: re.Pattern[Any]) -> list[Family]:
    """Return the hostile families of a pattern, without repetitions."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    letters = _letters(tree, pattern.flags)
    found: dict[Family, None] = {}
    whole = sample(tree, pattern.flags)
    for letter in letters:
        found[Family("", letter, "")] = None
    for one, other in itertools.pairwise(letters):
        found[Family("", one + other, "")] = None
    for part in dict.fromkeys([whole, whole[:-1], *_alternatives(tree, pattern.flags)]):
        for wrong in ("", *_WRONG[:1]):
            _add(found, "", part, wrong)
            _add(found, "", part[:-1] + wrong, "")
    for before, body, after in _repeats(tree, pattern.flags):
        lead, rest = before, after
        for pump in _pumps(body, letters, pattern.flags):
            for end in ("", *_WRONG, rest[:-1] + _WRONG[0]):
                _add(found, lead, pump, end)
            _add(found, "", lead + pump, "")
            _add(found, "", lead + pump, _WRONG[0])
            _add(found, lead, pump + rest[:-1], _WRONG[0])
            _add(found, "", pump + rest[:1], "")
            _add(found, "", lead + pump + rest[:-1], "")
            _add(found, lead[:1], pump + lead[-1:], "")
    return list(found)


def _add(found: dict[Family, None], begin: str, pump: str, end: str) -> None:
    if pump:
        found[Family(begin, pump, end)] = None


def sample(tree: Sequence[Node], flags: int) -> str:
    """Return a text that a tree matches, short and likely: lookarounds and references are not looked at."""
    return "".join(_sample_node(op, operand, flags) for op, operand in tree)


def _sample_node(op: Any, operand: Any, flags: int) -> str:  # noqa: ANN401 - as the parser has them
    if op in CHARACTERS:
        return _character((op, operand), flags)
    if op in REPEATS:
        least: int = operand[0]
        return sample(operand[2], flags) * max(1, least)
    if op in {C.ASSERT, C.ASSERT_NOT, C.FAILURE, C.AT}:
        return ""
    below = parts(op, operand)
    return sample(below[0], flags) if below else ""


def _character(node: Node, flags: int) -> str:
    """Return one character that a node matches."""
    op, operand = node
    if op is C.LITERAL:
        return chr(int(operand))
    for letter in _PROBES:
        if _takes(node, letter, flags):
            return letter
    for inner, value in operand if op is C.IN else ():
        if inner in {C.LITERAL, C.RANGE}:
            return chr(value if inner is C.LITERAL else value[0])
    return "a"


def _takes(node: Node, letter: str, flags: int) -> bool:
    return compiled((node,), flags).match(letter) is not None


def _letters(tree: Sequence[Node], flags: int) -> list[str]:
    """Return a character for each literal and class of a tree."""
    return list(dict.fromkeys(_character((op, operand), flags) for op, operand in nodes(tree) if op in CHARACTERS))


def _alternatives(tree: Sequence[Node], flags: int) -> Iterator[str]:
    """Yield a text of each alternative, and of each two alternatives one after the other."""
    for op, operand in nodes(tree):
        if op is C.BRANCH:
            texts = [sample(each, flags) for each in operand[1]]
            yield from texts
            yield from (one + other for one, other in itertools.pairwise(texts))


def _repeats(
    tree: Sequence[Node], flags: int, before: str = "", after: str = ""
) -> Iterator[tuple[str, Sequence[Node], str]]:
    """Yield each repeat's body, with a text of all that is before it in a match, and of all that is after it."""
    for index, (op, operand) in enumerate(tree):
        lead = before + sample(tree[:index], flags)
        rest = sample(tree[index + 1 :], flags) + after
        if op in REPEATS:
            yield lead, operand[2], rest
        for part in parts(op, operand):
            yield from _repeats(part, flags, lead, rest)


def _pumps(body: Sequence[Node], letters: Sequence[str], flags: int) -> list[str]:
    """Return texts for one round of a repeat: a sample, and each character of the pattern that its body takes."""
    found = dict.fromkeys([sample(body, flags)])
    if len(body) == 1 and body[0][0] in CHARACTERS:
        found |= dict.fromkeys(letter for letter in letters if _takes(body[0], letter, flags))
    return list(found)[:_MOST_PUMPS]
