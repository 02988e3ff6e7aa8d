"""Changes that nothing can catch: what they change is not promised, or cannot happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devtools.mutants.generated import Mutation

EQUIVALENT: dict[str, str] = {}
"""The reason, by the change's name."""


def reason(mutation: Mutation) -> str:
    """Return why a change is equivalent to the code, or an empty string."""
    return EQUIVALENT.get(mutation.name, "")
