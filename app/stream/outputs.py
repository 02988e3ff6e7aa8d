"""The outputs of a chunk in columns, whichever way the pipeline gave them, checked to be what can be sent."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.stream.batch import Emit, EmitColumns, NoOutput, Outcome, Outcomes, Quarantine, Retry, Skip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.stream.batch import Batch

_SET_ASIDE = (Skip, Quarantine, Retry)
_FIRST, _LAST = operator.itemgetter(0), operator.itemgetter(-1)
_OPEN, _CLOSE = set(b"{"), set(b"}")
_BYTES = {bytes, bytearray}


@dataclass(frozen=True, slots=True)
class Outputs:
    """Outputs as columns of equal length.

    Attributes:
        rows: The row in the batch that each came of.
        ordinals: Its place among the outputs of its row.
        keys: Partition keys.
        datas: JSON objects.
        roles: The stream role of each, or of all.
    """

    rows: Sequence[int]
    ordinals: Sequence[int]
    keys: list[str]
    datas: list[bytes]
    roles: list[str] | str

    def role(self, place: int) -> str:
        """The stream role of one."""
        return self.roles if isinstance(self.roles, str) else self.roles[place]

    def take(self, places: Sequence[int]) -> Outputs:
        """These outputs only."""
        return Outputs(
            [self.rows[place] for place in places],
            [self.ordinals[place] for place in places],
            [self.keys[place] for place in places],
            [self.datas[place] for place in places],
            self.roles if isinstance(self.roles, str) else [self.roles[place] for place in places],
        )

    def seal(self, batch: Batch[Any], stage: str) -> list[bytes]:
        """The JSON objects with their ids and their source; see `Batch.seal`."""
        return batch.seal(self.rows, self.ordinals, stage, self.datas)


def outputs_of(start: int, outcomes: Outcomes) -> tuple[Outputs, dict[int, NoOutput]]:
    """The outputs of a chunk's outcomes, and the outcomes that gave none by their row in the batch.

    Args:
        start: The row of the first outcome.
        outcomes: What a pipeline gave.

    Raises:
        AttributeError: Something is not an outcome; so too with the others.
        TypeError: A part of one has another type than it must have.
        ValueError: A key is no text that can be sent, or data is no JSON object.
    """
    if isinstance(outcomes, EmitColumns):
        outputs, others = _from_columns(start, outcomes)
    else:
        outputs, others = _from_list(start, outcomes)
    if not all(map(_is_set_aside, others.values())):
        raise TypeError
    roles = {outputs.roles} if not isinstance(outputs.roles, list) else set(outputs.roles)
    if not set(map(type, outputs.datas)) <= _BYTES or not set(map(type, roles)) <= {str}:
        raise TypeError
    "".join(outputs.keys).encode()  # text that can be sent
    if (
        b"" in outputs.datas
        or not set(map(_FIRST, outputs.datas)) <= _OPEN
        or not set(map(_LAST, outputs.datas)) <= _CLOSE
    ):
        raise ValueError
    return outputs, others


def _is_set_aside(outcome: object) -> bool:
    """Whether it is an outcome without output, whose parts are text."""
    if not isinstance(outcome, _SET_ASIDE) or not isinstance(outcome.reason, str):
        return False
    return not isinstance(outcome, Quarantine) or isinstance(outcome.message, str)


def _from_columns(start: int, made: EmitColumns) -> tuple[Outputs, dict[int, NoOutput]]:
    """Columns as they are, but for the rows that gave no output."""
    rows = range(start, start + len(made))
    outputs = Outputs(rows, [0] * len(made), made.partition_keys, made.datas, made.role)
    if made.others:
        outputs = outputs.take([place for place in range(len(made)) if place not in made.others])
    return outputs, {start + row: outcome for row, outcome in made.others.items()}


def _from_list(start: int, outcomes: Sequence[Outcome]) -> tuple[Outputs, dict[int, NoOutput]]:
    """Outcomes, an object each, as columns."""
    rows: list[int] = []
    ordinals: list[int] = []
    made: list[Any] = []
    others: dict[int, NoOutput] = {}
    for row, outcome in enumerate(outcomes, start):
        if isinstance(outcome, Emit):
            made += outcome.outputs
            rows += [row] * len(outcome.outputs)
            ordinals += range(len(outcome.outputs))
        else:
            others[row] = outcome
    roles: list[str] = [output.role for output in made]
    keys, datas = [output.partition_key for output in made], [output.data for output in made]
    return Outputs(rows, ordinals, keys, datas, roles[0] if len(set(roles)) == 1 else roles), others
