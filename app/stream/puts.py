"""The interface between the writer and a stream service, and the reading of its answers, without anything of AWS.

The API: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_RECORD_LIMIT_BYTES = 1024 * 1024  # every stream accepts this; some are configured for up to 10 MiB


class TransientError(Exception):
    """A call failed for a transient reason: all its entries may be sent again."""


class PutRecords(Protocol):
    """The interface between the writer and a stream service."""

    def put(self, stream: str, keys: Sequence[str], datas: Sequence[bytes]) -> Mapping[int, str]:
        """Put entries in one call.

        Returns:
            The error code of each entry that was not accepted, by its index.

        Raises:
            TransientError: The call as a whole failed for a transient reason.
            MillraceError: It failed for a permanent reason.
        """

    def record_limit_bytes(self, stream: str) -> int:
        """Return the size of the largest record, data and partition key, that a stream accepts, in bytes."""


class _Result(msgspec.Struct, rename="pascal", gc=False):
    sequence_number: str | None = None
    error_code: str | None = None


class PutAnswer(msgspec.Struct, rename="pascal", gc=False):
    """An answer of PutRecords."""

    failed_record_count: int
    records: list[_Result]


def refused_entries(answer: PutAnswer, entries: int) -> dict[int, str]:
    """Return the error code of each entry that an answer of PutRecords refuses, by its index.

    An entry counts as accepted only if the answer gives it a sequence number and no error code, and if the answer has a
    result for each entry and as many refused ones as it says: any other answer is not one to rely on.

    Raises:
        TransientError: The answer contradicts itself.
    """
    codes = [result.error_code for result in answer.records]
    numbers = [result.sequence_number for result in answer.records]
    if len(codes) == entries and not answer.failed_record_count and not any(codes) and all(numbers):
        return {}  # as is usual
    refused = {row: code for row, code in enumerate(codes) if code}
    accepted = sum(bool(number) and not code for number, code in zip(numbers, codes, strict=True))
    if len(codes) != entries or len(refused) != answer.failed_record_count or accepted + len(refused) != entries:
        raise TransientError("an answer that contradicts itself")
    return refused
