"""The services in memory answer as the emulators do, call for call."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from app.storage.objects import FolderObjects, S3Objects
from app.storage.state import MemoryState
from app.storage.state_table import DynamoDbState, create_state_table
from app.stream.testing.faults import FaultPlan
from app.stream.testing.kinesis import SimulatedKinesis
from app.stream.testing.services import SimulatedObjects
from app.stream.testing.simulation import Timeline
from tests.differential_for_tests import (
    ANY_NAMES,
    EmulatedKinesis,
    KinesisRun,
    kinesis_program,
    objects_program,
    run_objects,
    run_state,
    state_program,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.cloud

_NUMBERS = count()
SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 40))]


@pytest.mark.parametrize("seed", range(2))
def test_a_program_depends_on_nothing_but_the_service(seed: int, kinesis: Any, new_stream: Callable[..., str]) -> None:
    program = kinesis_program(seed)
    first, second = (KinesisRun(EmulatedKinesis(kinesis, new_stream("calls", 2))).run(program) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seed", SEEDS)
def test_simulated_kinesis_answers_as_the_emulator(seed: int, kinesis: Any, new_stream: Callable[..., str]) -> None:
    program = kinesis_program(seed)
    simulated = SimulatedKinesis(Timeline(random.Random(seed)), FaultPlan())
    simulated.create_stream(StreamName="calls", ShardCount=2)
    found = KinesisRun(EmulatedKinesis(simulated, "calls")).run(program)
    expected = KinesisRun(EmulatedKinesis(kinesis, new_stream("calls", 2))).run(program)
    for call, answer, other in zip(program, found, expected, strict=True):
        assert answer == other, call


@pytest.mark.parametrize("seed", SEEDS)
def test_state_in_memory_answers_as_dynamodb(seed: int, cloud: Any) -> None:  # noqa: ARG001 - the environment first
    table = f"state-calls-{next(_NUMBERS)}"
    create_state_table(table)
    program = state_program(seed)
    assert run_state(MemoryState(), program) == run_state(DynamoDbState(table), program)


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_in_a_folder_answer_as_s3(seed: int, cloud: Any, tmp_path: Path) -> None:  # noqa: ARG001 - as above
    bucket = f"calls-{next(_NUMBERS)}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    program = objects_program(seed)
    assert run_objects(FolderObjects(tmp_path), program) == run_objects(S3Objects(bucket, "some/where"), program)


@pytest.mark.parametrize("seed", SEEDS)
def test_simulated_objects_answer_as_s3(seed: int, cloud: Any) -> None:  # noqa: ARG001 - as above
    bucket = f"calls-{next(_NUMBERS)}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    program = objects_program(seed, ANY_NAMES)
    simulated = SimulatedObjects(Timeline(random.Random(seed)), FaultPlan(), lambda _name, _data: None)
    assert run_objects(simulated, program) == run_objects(S3Objects(bucket, "some/where"), program)
