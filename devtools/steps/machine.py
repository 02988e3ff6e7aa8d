"""Count the steps that a regular expression takes on a text, by running it as `re` does.

The parse tree is Python's own (`re._parser`), and the order of tries is that of the engine (`Modules/_sre/sre_lib.h`):
greedy, lazy and possessive repeats, atomic groups, lookarounds, references to groups, and the rule against endless
empty repeats. A step is a character looked at, an alternative tried, or a position given back. Pieces that take as many
steps wherever they stand, such as one character of a class, are matched by `re` itself.
"""

from __future__ import annotations

import re
from re import _constants as C  # type: ignore[attr-defined] # noqa: N812 - its names are constants
from re import _parser  # type: ignore[attr-defined] # there is no public parser of patterns
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from devtools.steps.tree import (
    ASSERTIONS,
    REPEATS,
    compiled,
    first_piece,
    is_piece,
    nodes,
    single_character,
    subtree,
    weight,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devtools.steps.tree import Node

Text: TypeAlias = "str | bytes"
Loops: TypeAlias = "tuple[int, int, Any] | None"
"""Rounds of the innermost repeat and where its last one began, then the repeats around it."""
Groups: TypeAlias = "tuple[int, ...]"
"""Where each group begins and ends, two numbers a group; -1 where it has not matched."""

_PIECE, _RUN, _SPLIT, _JUMP, _SAVE, _BEGIN, _LOOP, _LOOK, _ATOMIC, _GROUP, _IF, _FAIL, _END = range(13)


class TooManySteps(Exception):  # noqa: N818 - the name says what happened
    """A pattern took more steps than it may."""


class Counted(NamedTuple):
    """What a pattern matched, and at what cost.

    Attributes:
        spans: Begin and end of each match.
        steps: Steps taken.
    """

    spans: list[tuple[int, int]]
    steps: int


class Machine:
    """Runs one pattern and counts its steps.

    Attributes:
        is_bytes: Whether the pattern takes bytes.
    """

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        """Take a compiled pattern."""
        self.is_bytes = isinstance(pattern.pattern, bytes)
        self._flags = pattern.flags
        self._tree = _parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
        self._keeps_groups = any(op in {C.GROUPREF, C.GROUPREF_EXISTS} for op, _ in nodes(self._tree))
        self._program: list[tuple[Any, ...]] = []
        self._compile(self._tree, self._flags)
        self._emit(_END)
        self._unset: Groups = (-1,) * (2 * self._tree.state.groups)
        first = first_piece(self._tree)
        self._first = compiled(first, self._flags) if first else None
        self._first_steps = weight(first) if first else 0
        self._steps, self._most = 0, 0

    def run(self, how: str, text: Text, most: int = 2**62) -> Counted:
        """Run the pattern on a text.

        Args:
            how: `match`, `fullmatch`, `search`, or another method of a pattern: all of them find every match.
            text: The text.
            most: The steps it may take.

        Raises:
            TooManySteps: It takes more.
        """
        self._steps, self._most = 0, most
        if how in {"match", "fullmatch"}:
            end = self._attempt(0, text, 0, whole=how == "fullmatch")
            return Counted([] if end is None else [(0, end)], self._steps)
        spans: list[tuple[int, int]] = []
        for span in self._search(text):
            spans.append(span)
            if how == "search":
                break
        return Counted(spans, self._steps)

    def _search(self, text: Text) -> Iterator[tuple[int, int]]:
        at, advance = 0, False
        while at <= len(text):
            if self._first is not None:
                found = self._first.search(text, at)
                skipped = (len(text) if found is None else found.start()) - at
                self._spend(skipped * self._first_steps)
                if found is None:
                    return
                advance = advance and not skipped
                at += skipped
            end = self._attempt(0, text, at, advance=advance)
            self._spend(1)
            if end is None:
                at, advance = at + 1, False
            else:
                yield at, end
                at, advance = end, end == at  # an empty match may follow another one, but not itself

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > self._most:
            raise TooManySteps(f"more than {self._most} steps")

    def _attempt(self, pc: int, text: Text, at: int, *, whole: bool = False, advance: bool = False) -> int | None:
        found = self._execute(pc, text, at, self._unset, None, whole=whole, not_before=at + advance)
        return found and found[0]

    def _execute(  # noqa: C901, PLR0912, PLR0915 - one loop over the operations, as an engine is
        self,
        pc: int,
        text: Text,
        at: int,
        groups: Groups,
        loops: Loops,
        *,
        whole: bool = False,
        not_before: int = 0,
    ) -> tuple[int, Groups] | None:
        """Return where a program ends and its groups, or None if it does not match."""
        program, stack = self._program, list[tuple[Any, ...]]()
        steps, left = 0, self._most - self._steps
        while True:
            steps += 1
            if steps > left:
                self._spend(steps)
            operation = program[pc]
            kind = operation[0]
            failed = False
            if kind == _PIECE:
                found = operation[1](text, at)
                steps += operation[2]
                if found is None:
                    failed = True
                else:
                    at, pc = found.end(), pc + 1
            elif kind == _RUN:
                _, match, least, most, mode = operation
                end = match(text, at).end()
                if end - at < least:
                    steps += end - at
                    failed = True
                elif mode is C.MIN_REPEAT:
                    steps += least
                    end = min(end, at + most)
                    if at + least < end:
                        stack.append((pc + 1, at + least + 1, groups, loops, end, 1))
                    at, pc = at + least, pc + 1
                else:
                    steps += end - at
                    if mode is C.MAX_REPEAT and end > at + least:
                        stack.append((pc + 1, end - 1, groups, loops, at + least, -1))
                    at, pc = end, pc + 1
            elif kind == _SPLIT:
                stack.extend((target, at, groups, loops, at, 0) for target in operation[2])
                pc = operation[1]
            elif kind == _JUMP:
                pc = operation[1]
            elif kind == _SAVE:
                groups = (*groups[: operation[1]], at, *groups[operation[1] + 1 :])
                pc += 1
            elif kind == _BEGIN:
                loops = (0, -1, loops)
                pc += 1
            elif kind == _LOOP:
                _, least, most, lazy, body = operation
                assert loops is not None  # noqa: S101 - each loop begins with `_BEGIN`
                count, last, around = loops
                if count < least:
                    loops, pc = (count + 1, last, around), body
                elif count >= most or at == last:
                    loops, pc = around, pc + 1
                elif lazy:
                    stack.append((body, at, groups, (count + 1, at, around), at, 0))
                    loops, pc = around, pc + 1
                else:
                    stack.append((pc + 1, at, groups, around, at, 0))
                    loops, pc = (count + 1, at, around), body
            elif kind == _LOOK:
                self._spend(steps)
                _, after, back, negated = operation
                inside = self._execute(pc + 1, text, at - back, groups, None) if at >= back else None
                steps, left = 0, self._most - self._steps
                failed = (inside is None) != negated
                groups = inside[1] if inside and not negated else groups
                pc = after
            elif kind == _ATOMIC:
                self._spend(steps)
                inside = self._rounds(operation, pc + 1, text, at, groups)
                steps, left = 0, self._most - self._steps
                failed = inside is None
                at, groups = inside or (at, groups)
                pc = operation[1]
            elif kind == _GROUP:
                begin, end = groups[2 * operation[1] : 2 * operation[1] + 2]
                wanted = text[begin:end]
                steps += end - begin
                given = text[at : at + end - begin]
                same = given.lower() == wanted.lower() if operation[2] else given == wanted
                failed = begin < 0 or end < 0 or not same
                at, pc = at + end - begin, pc + 1
            elif kind == _IF:
                pc = operation[2] if groups[2 * operation[1] + 1] < 0 else pc + 1
            elif kind == _FAIL or (whole and at != len(text)) or at < not_before:
                failed = True
            else:
                self._spend(steps)
                return at, groups
            if failed:
                if not stack:
                    self._spend(steps)
                    return None
                pc, at, groups, loops, limit, change = stack.pop()
                if at != limit:
                    stack.append((pc, at + change, groups, loops, limit, change))

    def _rounds(
        self, operation: tuple[Any, ...], pc: int, text: Text, at: int, groups: Groups
    ) -> tuple[int, Groups] | None:
        """Match the body of a possessive repeat, or of an atomic group, which is one round of it."""
        _, _, least, most = operation
        count, last = 0, -1
        while count < least or (count < most and at != last):
            found = self._execute(pc, text, at, groups, None)
            if found is None:
                return (at, groups) if count >= least else None
            count, last = count + 1, at
            at, groups = found
        return at, groups

    def _emit(self, *operation: Any) -> int:  # noqa: ANN401 - operands differ
        self._program.append(operation)
        return len(self._program) - 1

    def _compile(self, tree: Sequence[Node], flags: int) -> None:
        piece: list[Node] = []
        for node in tree:
            if is_piece(node):
                piece.append(node)
                continue
            self._flush(piece, flags)
            self._compile_node(node[0], node[1], flags)
        self._flush(piece, flags)

    def _flush(self, piece: list[Node], flags: int) -> None:
        if piece:
            self._emit(_PIECE, compiled(piece, flags).match, weight(piece))
            piece.clear()

    def _compile_node(self, op: Any, operand: Any, flags: int) -> None:  # noqa: ANN401 - as the parser has them
        if op is C.SUBPATTERN:
            group, added, removed, body = operand
            self._save(group, 0)
            self._compile(body, (flags | added) & ~removed)
            self._save(group, 1)
        elif op is C.BRANCH:
            self._branch(operand[1], flags)
        elif op in REPEATS:
            self._repeat(op, operand, flags)
        elif op in ASSERTIONS:
            direction, body = operand
            at = self._emit(_LOOK)
            self._compile(body, flags)
            self._emit(_END)
            back = body.getwidth()[0] if direction < 0 else 0
            self._program[at] = (_LOOK, len(self._program), back, op is C.ASSERT_NOT)
        elif op is C.ATOMIC_GROUP:
            self._atomic(1, 1, operand, flags)
        elif op is C.GROUPREF:
            self._emit(_GROUP, operand, bool(flags & re.IGNORECASE))
        elif op is C.GROUPREF_EXISTS:
            group, then, otherwise = operand
            at = self._emit(_IF)
            self._compile(then, flags)
            jump = self._emit(_JUMP)
            self._program[at] = (_IF, group, len(self._program))
            self._compile(otherwise or [], flags)
            self._program[jump] = (_JUMP, len(self._program))
        elif op is C.FAILURE:
            self._emit(_FAIL)
        else:
            raise NotImplementedError(f"the machine lacks {op}")

    def _save(self, group: int | None, side: int) -> None:
        if group is not None and self._keeps_groups:
            self._emit(_SAVE, 2 * group + side)

    def _branch(self, alternatives: Sequence[Sequence[Node]], flags: int) -> None:
        split, starts, jumps = self._emit(_SPLIT), list[int](), list[int]()
        for each in alternatives:
            starts.append(len(self._program))
            self._compile(each, flags)
            jumps.append(self._emit(_JUMP))
        self._program[split] = (_SPLIT, starts[0], starts[:0:-1])
        for jump in jumps:
            self._program[jump] = (_JUMP, len(self._program))

    def _repeat(self, op: Any, operand: tuple[int, int, Sequence[Node]], flags: int) -> None:  # noqa: ANN401 - as the parser has it
        least, most, body = operand
        single = single_character(body)
        if single:
            character, flags = single[0], (flags | single[1]) & ~single[2]
            run = compiled([(C.MAX_REPEAT, (0, most, subtree([character])))], flags)
            self._emit(_RUN, run.match, least, most, op)
        elif op is C.POSSESSIVE_REPEAT:
            self._atomic(least, most, body, flags)
        else:
            self._emit(_BEGIN)
            enter = self._emit(_JUMP)
            self._compile(body, flags)
            self._program[enter] = (_JUMP, len(self._program))
            self._emit(_LOOP, least, most, op is C.MIN_REPEAT, enter + 1)

    def _atomic(self, least: int, most: int, body: Sequence[Node], flags: int) -> None:
        at = self._emit(_ATOMIC)
        self._compile(body, flags)
        self._emit(_END)
        self._program[at] = (_ATOMIC, len(self._program), least, most)
