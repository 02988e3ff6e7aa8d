"""Records through a pipeline without a stream: for HTTP, for a test, or for a caller that holds the records.

A record has the outcome that it would have on a stream: the pipeline gets the same type in one batch, and a record on
which it raises harms no other. The outputs lack what a stream adds: `id` and `source`, retries and quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from app.stream.batch import Batch
from app.stream.execution import PIPELINE_ERROR, Stateless, run_bisected
from app.stream.outcomes import Quarantine, Retry
from app.stream.pipeline_faults import RaisedInARow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.stream.pipeline import Pipeline

T = TypeVar("T")

RAISED = Quarantine(PIPELINE_ERROR, "cannot be processed; the log has the type of the error")


@dataclass(slots=True)
class DirectOutcomes:
    """The outcomes of records.

    Attributes:
        outputs: The pipeline's outputs, each a JSON object, in the records' order.
        quarantined: The records that can never succeed, by index, with the reason.
        retried: The records that were not done and may succeed another time, by index, with the reason.
    """

    outputs: list[bytes] = field(default_factory=list)
    quarantined: dict[int, Quarantine] = field(default_factory=dict)
    retried: dict[int, Retry] = field(default_factory=dict)


def run_directly(
    pipeline: Pipeline[T], records: Sequence[T], is_late: Callable[[], bool] = lambda: False
) -> DirectOutcomes:
    """Process records in one call of the pipeline, or in more where it raises.

    An exception's message is not passed on, since the caller is not the person who mends the pipeline.

    Args:
        pipeline: One without state.
        records: Records of the pipeline's type; their indexes stand for sequence numbers and keys.
        is_late: Whether the time is up: then no further part is started.

    Raises:
        MillraceError: A fault that is not a record's.
    """
    batch = Batch.of(list(records))
    faults = RaisedInARow(pipeline.name)
    outcomes = run_bisected(lambda part, _: Stateless(pipeline.process(part)), batch, {}, faults, is_late).outcomes
    direct = DirectOutcomes(outcomes.outputs().datas)
    for row, outcome in sorted(outcomes.set_aside.items()):
        if isinstance(outcome, Quarantine):
            direct.quarantined[row] = RAISED if outcome.reason == PIPELINE_ERROR else outcome
        elif isinstance(outcome, Retry):
            direct.retried[row] = outcome
    return direct
