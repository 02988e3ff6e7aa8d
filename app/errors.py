"""The errors that Millrace raises on purpose, as one tree: each with its exit code, and its HTTP status if not 500.

    MillraceError                  1
    ├── SettingsError             10   an environment variable has a value that it cannot have
    │   ├── UnknownPipelineError  11
    │   └── NoOutputStreamError   12
    ├── ModelError                20   a bundle cannot be used
    │   ├── UnknownRunError       21
    │   ├── DigestMismatchError   22
    │   └── SignatureError        23   … is not signed by a key of `MODEL_KEYS`
    ├── CloudError                30   AWS, or the local cloud, did not answer or refused (503)
    │   ├── MissingStreamError    31
    │   ├── CredentialsError      32
    │   ├── StateConflictError    33   another writer committed the state first
    │   ├── DiskError             34   a folder used in place of S3 or a table cannot be read or written
    │   └── StateTooLargeError    35   a state key's value is larger than its table takes
    ├── EventError                40   an event is not of the expected source (400)
    ├── QuarantineError           41   a quarantined record is not there
    ├── RequestError              42   a request is not of its handler's type (400)
    │   ├── TooLargeError         43   … because of its size (413)
    │   ├── UnprocessableError    44   … of the right type, but cannot be carried out (422)
    │   └── UnsupportedMediaError 75   … with a body of an unknown media type (415)
    ├── UnknownHandlerError       45   no handler of this name (404)
    ├── HandlerNotAllowedError    46   a handler that may not be called this way (403)
    ├── LocationError             47   a file or object cannot be read or written
    ├── UnreadableStateError      48   stored state that this release cannot read
    ├── BudgetError               49   a file's content would take more memory than it may (422)
    ├── UnacknowledgedError       50   the batch returns whole: the mapping must deliver it again
    ├── HandlerFailedError        51   a handler raised an unexpected exception
    ├── DeadlineError             52   the time for it ended before it was done (503)
    ├── PipelineFailedError       53   a pipeline raised, and no single record is at fault
    ├── UnauthorizedError         70   the caller is not authenticated (401)
    ├── ForbiddenError            71   the caller may not do this (403)
    ├── NotFoundError             72   there is no such resource (404)
    ├── MethodNotAllowedError     73   the resource has no such method (405)
    └── ConflictError             74   the request contradicts the resource's state (409)

Exit codes 0 (fine), 2 (a wrong command line) and 130 (Ctrl-C) are the shell's customs. Of the commands, `doctor` ends
with 60 when it found an error, and `cloud status` with 3 when not all runs. Each message is one line that says what
happened, where, and how to mend it; the command line prints it as it is.
"""

from __future__ import annotations

from typing import ClassVar

from app.text import whole_line, without_credentials


class MillraceError(Exception):
    """The root of all errors that Millrace raises on purpose."""

    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    """The API's HTTP status; below 500 the client gets the message."""

    def __init__(self, message: str = "") -> None:
        """Take the message, of which credentials are left out."""
        super().__init__(without_credentials(message))

    @property
    def line(self) -> str:
        """Return the message on one line without unprintable characters, whatever the names in it hold."""
        return whole_line(str(self))


class SettingsError(MillraceError):
    """An environment variable has a value that it cannot have."""

    exit_code = 10


class UnknownPipelineError(SettingsError):
    """`PIPELINE` or `PIPELINES` names a pipeline that does not exist or cannot be opened."""

    exit_code = 11


class NoOutputStreamError(SettingsError):
    """Results would have nowhere to go."""

    exit_code = 12


class ModelError(MillraceError):
    """A model bundle is incomplete, or of a kind that cannot be run."""

    exit_code = 20


class UnknownRunError(ModelError):
    """There is no bundle with this `RUN_ID`."""

    exit_code = 21


class DigestMismatchError(ModelError):
    """A bundle's file is not the one that its manifest describes."""

    exit_code = 22


class SignatureError(ModelError):
    """A bundle is not signed by any key of `MODEL_KEYS`."""

    exit_code = 23


class CloudError(MillraceError):
    """AWS, or the local cloud, could not be reached or refused."""

    exit_code = 30
    status = 503


class MissingStreamError(CloudError):
    """A stream does not exist in this account and region."""

    exit_code = 31


class CredentialsError(CloudError):
    """There are no credentials, or AWS does not accept them."""

    exit_code = 32


class StateConflictError(CloudError):
    """Another writer committed this state key first; nothing of ours was written."""

    exit_code = 33


class DiskError(CloudError):
    """A folder that is used in place of S3 or a table cannot be read or written."""

    exit_code = 34


class StateTooLargeError(CloudError):
    """A state key's value is larger than an item of its table may be, and there is no location for such values."""

    exit_code = 35


class EventError(MillraceError):
    """An event is not of the expected source; the message names its own."""

    exit_code = 40
    status = 400


class QuarantineError(MillraceError):
    """A quarantined record that was asked for is not there, or cannot be read."""

    exit_code = 41


class RequestError(MillraceError):
    """A request is not of its handler's type.

    Attributes:
        field: The path of the field at fault (`$.features.t1`), or an empty string.
        known: The part of the path that the type names, which a log may show: an unknown field's name is the client's.
    """

    exit_code = 42
    status = 400

    def __init__(self, message: str, field: str = "", known: str | None = None) -> None:
        """Take the message, the field's path, and the part of the path that a log may show; None means all."""
        super().__init__(message)
        self.field = field
        self.known = field if known is None else known


class TooLargeError(RequestError):
    """A request is larger than its handler allows."""

    exit_code = 43
    status = 413


class UnprocessableError(RequestError):
    """A request has the right type, but cannot be carried out."""

    exit_code = 44
    status = 422


class UnsupportedMediaError(RequestError):
    """A body is of an unknown media type."""

    exit_code = 75
    status = 415


class UnknownHandlerError(MillraceError):
    """There is no handler of this name."""

    exit_code = 45
    status = 404


class HandlerNotAllowedError(MillraceError):
    """The handler may not be called this way."""

    exit_code = 46
    status = 403


class LocationError(MillraceError):
    """A file or an object cannot be read or written."""

    exit_code = 47


class UnreadableStateError(MillraceError):
    """Stored state is damaged, is of another release, or was written by something else."""

    exit_code = 48


class BudgetError(MillraceError):
    """The content of a file or an object would take more memory than its budget (`app/budgets.py`)."""

    exit_code = 49
    status = 422


class UnacknowledgedError(MillraceError):
    """Records of the batch are not safe yet, and without partial responses the whole batch must come again."""

    exit_code = 50


class HandlerFailedError(MillraceError):
    """A handler raised an unexpected exception; the log has its type and its lines of code."""

    exit_code = 51


class DeadlineError(MillraceError):
    """The time that an invocation has ended before this was done; it may be tried again."""

    exit_code = 52
    status = 503


class PipelineFailedError(MillraceError):
    """A pipeline raised, and no single record is at fault: a full disk, say, or one exception on every record."""

    exit_code = 53


class UnauthorizedError(MillraceError):
    """The caller is not authenticated."""

    exit_code = 70
    status = 401


class ForbiddenError(MillraceError):
    """The caller is authenticated, but may not do this."""

    exit_code = 71
    status = 403


class NotFoundError(MillraceError):
    """There is no such resource."""

    exit_code = 72
    status = 404


class MethodNotAllowedError(MillraceError):
    """The resource has no such method."""

    exit_code = 73
    status = 405


class ConflictError(MillraceError):
    """The request contradicts the resource's state."""

    exit_code = 74
    status = 409
