"""Everything that Millrace raises on purpose, as one tree, with the exit code of each.

    MillraceError                  1
    ├── SettingsError             10   an environment variable that cannot be what it is
    │   ├── UnknownPipelineError  11
    │   └── NoOutputStreamError   12
    ├── ModelError                20   a bundle that cannot be used
    │   ├── UnknownRunError       21
    │   └── DigestMismatchError   22
    ├── CloudError                30   AWS, or the local cloud, did not do what was asked
    │   ├── MissingStreamError    31
    │   ├── CredentialsError      32
    │   └── StateConflictError    33   another writer committed first
    ├── EventError                40   an event that is not a batch of Kinesis records
    ├── QuarantineError           41   no such quarantined record
    └── UnacknowledgedError       50   the batch returns whole: the mapping must deliver it again

Exit codes 0 (fine), 2 (a wrong command line) and 130 (Ctrl-C) are the shell's customs. Of the commands, `doctor` ends
with 60 when it found an error, and `cloud status` with 3 when not all runs. Each message is one line that says what,
where and how to mend it; the command line prints it as it is.
"""

from __future__ import annotations

from typing import ClassVar


class MillraceError(Exception):
    """The root: catch this to catch all that Millrace raises on purpose."""

    exit_code: ClassVar[int] = 1


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
    """An event is not a batch of Kinesis records; the message names what it is."""

    exit_code = 40


class QuarantineError(MillraceError):
    """A quarantined record that was asked for is not there, or cannot be read."""

    exit_code = 41


class UnacknowledgedError(MillraceError):
    """Part of the batch is not safe, and without partial responses all of it must come again."""

    exit_code = 50
