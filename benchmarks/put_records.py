"""Measure the CPU of one PutRecords call: our signed request against botocore's generated client, in the same rounds.

The server answers from its own process, so its work is not counted: only this process's CPU is compared.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest import mock

from app import aws
from app.stream.putrecords import GeneratedPutRecords, SignedPutRecords
from benchmarks.contract import OUTPUT_STREAM
from benchmarks.rounds import Effort, Sample, interleave, medians

if TYPE_CHECKING:
    from app.stream.puts import PutRecords

RECORDS = 500
SIZES_BYTES = (107, 1000, 10_000)  # a prediction, an alert, and half of a call's 10 MiB limit


@dataclass(frozen=True)
class Call:
    """A row of the table: CPU milliseconds of a call with records of one size."""

    record_bytes: int
    generated_ms: float
    signed_ms: float
    passes: int


def measure_calls(environment: dict[str, str], effort: Effort) -> list[Call]:
    """Measure calls with records of each size through both clients; the environment names the server."""
    calls: list[Call] = []
    with mock.patch.dict(os.environ, environment):
        aws.forget()
        services: dict[str, PutRecords] = {"generated": GeneratedPutRecords(), "signed": SignedPutRecords(1)}
        for size in SIZES_BYTES:
            datas = [b'{"n": "' + b"x" * (size - 9) + b'"}'] * RECORDS
            runs = {name: functools.partial(_put, service, datas) for name, service in services.items()}
            # One warm-up at least: the first call makes a client.
            samples = interleave(runs, dataclasses.replace(effort, warm_up=max(1, effort.warm_up)))
            generated, signed = (medians(samples[name]).cpu_ms for name in services)
            calls.append(Call(size, generated, signed, len(samples["signed"])))
    aws.forget()
    return calls


def _put(service: PutRecords, datas: list[bytes]) -> Sample:
    keys = [str(number) for number in range(len(datas))]
    cpu, wall = time.process_time(), time.perf_counter()
    service.put(OUTPUT_STREAM, keys, datas)
    return Sample((time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000)
