"""Everything that Millrace raises on purpose, as one tree: each with its exit code, and its status where it is not 500.

    MillraceError                  1
    ├── SettingsError             10   an environment variable that cannot be what it is
    │   ├── UnknownPipelineError  11
    │   └── NoOutputStreamError   12
    ├── ModelError                20   a bundle that cannot be used
    │   ├── UnknownRunError       21
    │   └── DigestMismatchError   22
    ├── CloudError                30   AWS, or the local cloud, did not do what was asked (503)
    │   ├── MissingStreamError    31
    │   ├── CredentialsError      32
    │   └── StateConflictError    33   another writer committed first
    ├── EventError                40   an event that is not of the source that it should come from (400)
    ├── QuarantineError           41   no such quarantined record
    ├── RequestError              42   a request that its handler does not take (400)
    │   ├── TooLargeError         43   … because of its size (413)
    │   ├── UnprocessableError    44   … of the right form, which cannot be carried out (422)
    │   └── UnsupportedMediaError 75   … whose body is of a kind that is not read (415)
    ├── UnknownHandlerError       45   no handler of this name (404)
    ├── HandlerNotAllowedError    46   a handler that may not be reached this way (403)
    ├── LocationError             47   a file or object that cannot be read or written
    ├── UnreadableStateError      48   stored state that this release cannot read
    ├── UnacknowledgedError       50   the batch returns whole: the mapping must deliver it again
    ├── HandlerFailedError        51   a handler raised what it should not
    ├── DeadlineError             52   the time for it ended before it was done (503)
    ├── UnauthorizedError         70   who asks is not known (401)
    ├── ForbiddenError            71   who asks may not (403)
    ├── NotFoundError             72   what is asked for is not there (404)
    ├── MethodNotAllowedError     73   not with this method (405)
    └── ConflictError             74   what is asked for contradicts what is there (409)

Exit codes 0 (fine), 2 (a wrong command line) and 130 (Ctrl-C) are the shell's customs. Of the commands, `doctor` ends
with 60 when it found an error, and `cloud status` with 3 when not all runs. Each message is one line that says what,
where and how to mend it; the command line prints it as it is.
"""

from __future__ import annotations

from typing import ClassVar


class MillraceError(Exception):
    """The root: catch this to catch all that Millrace raises on purpose."""

    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    """What the API answers; below 500 the message is the client's to read."""

    @property
    def line(self) -> str:
        """The message on one line, whatever is in the names that it tells."""
        return " ".join(str(self).splitlines())


class SettingsError(MillraceError):
    """An environment variable has a value that it cannot have."""

    exit_code = 10


class UnknownPipelineError(SettingsError):
    """`PIPELINE` or `PIPELINES` names a pipeline that does not exist."""

    exit_code = 11


class NoOutputStreamError(SettingsError):
    """Results would have nowhere to go."""

    exit_code = 12


class ModelError(MillraceError):
    """A model bundle is missing a part, or is not of a kind that can be run."""

    exit_code = 20


class UnknownRunError(ModelError):
    """There is no bundle with this `RUN_ID`."""

    exit_code = 21


class DigestMismatchError(ModelError):
    """A bundle's file is not the one its manifest was written for."""

    exit_code = 22


class CloudError(MillraceError):
    """AWS, or what stands in for it, could not be reached or refused."""

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


class EventError(MillraceError):
    """An event is not of the source that it should come from; the message names what it is."""

    exit_code = 40
    status = 400


class QuarantineError(MillraceError):
    """A quarantined record that was asked for is not there, or cannot be read."""

    exit_code = 41


class RequestError(MillraceError):
    """A request is not what its handler takes.

    Attributes:
        field: The path of the field at fault (`$.features.t1`), or an empty string.
        known: As much of it as the type names, which a log may show: the name of an unknown field is the request's own.
    """

    exit_code = 42
    status = 400

    def __init__(self, message: str, field: str = "", known: str | None = None) -> None:
        """Takes the line that is shown, the path of the field at fault, and what of that is known; None means all."""
        super().__init__(message)
        self.field = field
        self.known = field if known is None else known


class TooLargeError(RequestError):
    """A request is larger than its handler takes."""

    exit_code = 43
    status = 413


class UnprocessableError(RequestError):
    """A request has the right form, and still cannot be carried out."""

    exit_code = 44
    status = 422


class UnsupportedMediaError(RequestError):
    """A body is of a kind that is not read."""

    exit_code = 75
    status = 415


class UnknownHandlerError(MillraceError):
    """There is no handler of this name."""

    exit_code = 45
    status = 404


class HandlerNotAllowedError(MillraceError):
    """There is such a handler, but it may not be reached this way."""

    exit_code = 46
    status = 403


class LocationError(MillraceError):
    """A file or an object cannot be read or written."""

    exit_code = 47


class UnreadableStateError(MillraceError):
    """Stored state is damaged, is of another release, or was written by something else."""

    exit_code = 48


class UnacknowledgedError(MillraceError):
    """Part of the batch is not safe, and without partial responses all of it must come again."""

    exit_code = 50


class HandlerFailedError(MillraceError):
    """A handler raised what it should not; the log has where, and the type of what it raised."""

    exit_code = 51


class DeadlineError(MillraceError):
    """The time that an invocation has ended before this was done; it may be tried again."""

    exit_code = 52
    status = 503


class UnauthorizedError(MillraceError):
    """Who asks is not known."""

    exit_code = 70
    status = 401


class ForbiddenError(MillraceError):
    """Who asks is known, and may not."""

    exit_code = 71
    status = 403


class NotFoundError(MillraceError):
    """What is asked for is not there."""

    exit_code = 72
    status = 404


class MethodNotAllowedError(MillraceError):
    """What is asked for is there, but not with this method."""

    exit_code = 73
    status = 405


class ConflictError(MillraceError):
    """What is asked for contradicts what is there."""

    exit_code = 74
    status = 409
