"""What every step has to hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.domains.alerts.attack import AttackTable, attack_table
from app.errors import UnacknowledgedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domains.alerts.files.bucket import Bucket
    from app.domains.alerts.files.seam import Jobs, Resolver
    from app.domains.alerts.incidents import Flow
    from app.storage.state import StateStore

CHUNK_ALERTS = 20_000  # the seed's own; a chunk's JSON and its alerts take some 100 MB of memory


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Room:
    """Where a run's files are, and who does what is not a step's own work.

    Attributes:
        bucket: All objects of a run are here.
        store: Each tenant's head: which state is its newest, and what was applied to it.
        jobs: Who tells techniques, clusters and flows.
        known: What is known of techniques without a model: alerts' own, analysts' corrections, the catalogue of rules.
        bundle: A tenant's flow as STIX, if it is wanted.
        table: ATT&CK.
        is_late: Whether nothing new may be started.
    """

    bucket: Bucket
    store: StateStore
    jobs: Jobs
    known: Resolver
    bundle: Callable[[Flow, str], bytes] | None = None
    table: AttackTable = field(default_factory=attack_table)
    is_late: Callable[[], bool] = _never

    def check_time(self, what: str) -> None:
        """Ends a step whose time is up; what it has written stays, and the next try goes on from there.

        Raises:
            UnacknowledgedError: The time is up.
        """
        if self.is_late():
            raise UnacknowledgedError(
                f"{what}: no time is left: it goes on from there when it is tried again; give the function more time, "
                "or set ALERTS_CHUNK to fewer alerts"
            )
