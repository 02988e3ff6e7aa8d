"""Changes that nothing can catch: what they change is not promised, or cannot happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devtools.mutants.generated import Mutation

_PACE = "only how many rows a stream that was slow once is sent at first: the pace, not what is sent or its order"

EQUIVALENT: dict[str, str] = {
    "stream.emit.finish: self._writer.slow.pop(lane.stream, None) → pass": _PACE,
    "stream.emit.finish: if lane.refused: → if not lane.refused:": _PACE,
}
"""The reason, by the change's name."""


def reason(mutation: Mutation) -> str:
    """Return why a change is equivalent to the code, or an empty string."""
    return EQUIVALENT.get(mutation.name, "")
