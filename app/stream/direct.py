"""Records through a pipeline without a stream: for HTTP, a test, or whoever holds records already.

What becomes of a record is what would become of it on a stream: the pipeline gets the same type in one batch, and a
record on which it raises harms no other. What a stream adds is missing: `id` and `source`, retries and quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from app.stream.batch import Batch, Emit, EmitColumns, Quarantine, Retry
from app.stream.pipeline import Plain, isolate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.stream.batch import NoOutput
    from app.stream.pipeline import Pipeline

T = TypeVar("T")

STREAM, SHARD = "direct", "direct-000000000000"  # what a pipeline is told where there is no stream
PIPELINE_ERROR = "pipeline_error"  # the reason that `isolate` gives a record on which a pipeline raises
RAISED = Quarantine(PIPELINE_ERROR, "cannot be processed; the log has the type of the error")


@dataclass(slots=True)
class Direct:
    """What became of records, each found by its place among them.

    Attributes:
        outputs: What the pipeline put out, each a JSON object, in the records' order.
        quarantined: Why a record can never succeed.
        retried: Why a record was not done, though it may be another time.
    """

    outputs: list[bytes] = field(default_factory=list)
    quarantined: dict[int, Quarantine] = field(default_factory=dict)
    retried: dict[int, Retry] = field(default_factory=dict)


def run_directly(pipeline: Pipeline[T], records: Sequence[T], is_late: Callable[[], bool] = lambda: False) -> Direct:
    """Processes records in one call of the pipeline, or in more where it raises.

    What an exception says is not passed on, since whoever asks is not whoever mends the pipeline.

    Args:
        pipeline: One that keeps no state.
        records: Of the pipeline's own type; their numbers stand for sequence numbers and keys.
        is_late: Whether the time is up: then no further part is started.

    Raises:
        MillraceError: What is no record's fault.
    """
    found = isolate(lambda part, _: Plain(pipeline.process(part)), _batch_of(records), {}, is_late).outcomes
    direct = Direct()
    if isinstance(found, EmitColumns):
        others = found.others
        direct.outputs = (
            [data for row, data in enumerate(found.datas) if row not in others] if others else list(found.datas)
        )
    else:
        others = {row: each for row, each in enumerate(found) if not isinstance(each, Emit)}
        direct.outputs = [output.data for each in found if isinstance(each, Emit) for output in each.outputs]
    for row in sorted(others):
        _set_aside(direct, row, others[row])
    return direct


def _set_aside(direct: Direct, row: int, outcome: NoOutput) -> None:
    if isinstance(outcome, Quarantine):
        direct.quarantined[row] = RAISED if outcome.reason == PIPELINE_ERROR else outcome
    elif isinstance(outcome, Retry):
        direct.retried[row] = outcome


def _batch_of(records: Sequence[T]) -> Batch[T]:
    """Records as a batch of a stream that there is not; they came as values, so their payloads are empty."""
    rows = len(records)
    numbers = [str(row) for row in range(rows)]
    return Batch(STREAM, [SHARD] * rows, numbers, [0] * rows, numbers, [0.0] * rows, [b""] * rows, list(records))
