"""What the handlers of the steps keep for the life of their process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domains.alerts.files import layout
from app.domains.alerts.files.bucket import FolderBucket, open_bucket
from app.domains.alerts.files.events import placed
from app.domains.alerts.files.head import FolderState
from app.domains.alerts.files.opening import Opening, bundle
from app.domains.alerts.files.room import Room
from app.errors import SettingsError
from app.storage.state import DynamoDbState, MemoryState, StateStore

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation
    from app.settings import Settings


HEADS = "state/heads"  # within a folder
NO_TABLE = "STATE_TABLE is not set: name the DynamoDB table that says which state is a tenant's"


class Workshop:
    """What a step's handler keeps for the life of its process: its jobs, and where heads of tenants are."""

    def __init__(self, settings: Settings) -> None:
        """Takes the settings; a model is loaded when the first chunk needs it."""
        self.settings = settings
        self._opening = Opening(settings)
        self._store: StateStore | None = None

    def room(self, location: str, step: str, invocation: Invocation) -> tuple[Room, str]:
        """Where the files are, and the name of the object that starts a step.

        Raises:
            RequestError: The location is none that starts the step.
            SettingsError: The step needs `STATE_TABLE`, and it is not set.
        """
        root, name = placed(location, step)
        room = Room(
            open_bucket(root),
            self._state(step),
            self._opening.jobs,
            self._opening.known,
            bundle,
            is_late=lambda: invocation.deadline.remaining_s() <= 0,
        )
        return room, name

    def _state(self, step: str) -> StateStore:
        if self._store is None:
            if self.settings.state_table:
                self._store = DynamoDbState(self.settings.state_table)
            elif step in {layout.CREATE_CLUSTER, layout.PROCESS_CLUSTER}:
                raise SettingsError(
                    "STATE_TABLE is not set: name the DynamoDB table that says which state is a tenant's"
                )
            else:
                return MemoryState()  # the step has nothing to do with it
        return self._store


def open_room(location: str, settings: Settings) -> Room:
    """A room by hand, for the command line: a folder needs no table, since its heads stand in it.

    Args:
        location: A folder, or `s3://bucket/prefix`, with `input/` below it.
        settings: Which models, and which table.

    Raises:
        SettingsError: The location is neither, or it is in S3 and `STATE_TABLE` is not set.
    """
    bucket, opening = open_bucket(location), Opening(settings)
    store: StateStore
    if settings.state_table:
        store = DynamoDbState(settings.state_table)
    elif isinstance(bucket, FolderBucket):
        store = FolderState(bucket.folder / HEADS)
    else:
        raise SettingsError(NO_TABLE)
    return Room(bucket, store, opening.jobs, opening.known, bundle)
