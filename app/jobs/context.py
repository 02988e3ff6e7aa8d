"""The objects, the state store and the deadline that a step works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from app.errors import SettingsError, UnacknowledgedError
from app.jobs.events import located
from app.jobs.head import FolderState
from app.storage.objects import FolderObjects, open_objects
from app.storage.state import MemoryState
from app.storage.state_table import DynamoDbState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from app.handlers.invocation import Invocation
    from app.jobs.layout import Layout
    from app.settings import Settings
    from app.storage.objects import Objects
    from app.storage.state import StateStore

Jobs = TypeVar("Jobs")

HEADS = "state/heads"  # within a folder
NO_TABLE = "STATE_TABLE is not set: name the DynamoDB table of the tenants' heads"


def _never() -> bool:
    return False


@dataclass(frozen=True)
class StepContext(Generic[Jobs]):
    """All that a step needs but the name of its object.

    Attributes:
        objects: All objects of a run are here.
        store: Each tenant's head.
        jobs: The work of the domain: models, in this process or elsewhere.
        is_late: Whether nothing new may be started.
    """

    objects: Objects
    store: StateStore
    jobs: Jobs
    is_late: Callable[[], bool] = _never

    def check_time(self, label: str) -> None:
        """End a step whose time is up; what it has written stays, and the next try goes on from there.

        Raises:
            UnacknowledgedError: The time is up.
        """
        if self.is_late():
            raise UnacknowledgedError(
                f"{label}: no time is left: it goes on from there when it is tried again; give the function more time, "
                "or put fewer records into a chunk"
            )


class StepEnvironment(Generic[Jobs]):
    """What a step's handler keeps for the life of its process: its jobs, and the store of heads."""

    def __init__(self, settings: Settings, layout: Layout, jobs: Jobs, stateful: Collection[str]) -> None:
        """Take the settings, the steps, their work, and the names of the steps that need a head."""
        self.settings = settings
        self._layout, self._jobs, self._stateful = layout, jobs, stateful
        self._store: StateStore | None = None

    def context(self, location: str, step: str, invocation: Invocation) -> tuple[StepContext[Jobs], str]:
        """Return the context of a step, and the name of the object that starts it.

        Raises:
            RequestError: The location is none that starts the step, or `ALLOWED_LOCATIONS` leaves out its run's files.
            SettingsError: The step needs `STATE_TABLE`, and it is not set.
        """
        root, name = located(location, step, self._layout, self.settings.allowed_locations)
        late = invocation.deadline
        context = StepContext(
            open_objects(root), self._state(step), self._jobs, is_late=lambda: late.remaining_s() <= 0
        )
        return context, name

    def _state(self, step: str) -> StateStore:
        if self._store is None:
            if self.settings.state_table:
                self._store = DynamoDbState(self.settings.state_table)
            elif step in self._stateful:
                raise SettingsError(NO_TABLE)
            else:
                return MemoryState()  # the step reads no head
        return self._store


def open_context(location: str, settings: Settings, jobs: Jobs) -> StepContext[Jobs]:
    """Return a context for the command line: a folder needs no table, since its heads stand in it.

    Args:
        location: A folder, or `s3://bucket/prefix`, with `input/` below it.
        settings: Which table.
        jobs: The work of the domain.

    Raises:
        SettingsError: The location is neither, or it is in S3 and `STATE_TABLE` is not set.
    """
    objects = open_objects(location)
    if settings.state_table:
        return StepContext(objects, DynamoDbState(settings.state_table), jobs)
    if isinstance(objects, FolderObjects):
        return StepContext(objects, FolderState(objects.folder / HEADS), jobs)
    raise SettingsError(NO_TABLE)
