"""A tenant's stored state, changed by whoever may write to the table: a tenant that goes on, or one error."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domains.alerts.pipeline import BY_ALERT, enrich
from app.domains.alerts.state_bytes import load_state
from app.errors import CloudError, UnreadableStateError
from app.stream.batch import Batch
from tests.alerts_for_tests import payload, resolver, tenant_factory

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from app.domains.alerts.tenant import Tenant

ALERTS = 24
NASTY: tuple[Any, ...] = (
    *(-1, 0, 1, 2**31, 2**53, 2**63, -(2**63), 2**64 - 1),
    *(float("nan"), float("inf"), float("-inf"), 1e308, -1.0),
    *("", "x" * 300, "\0", b"\xff", None, [], [[]], {}, True),
)


def observed(tenant: Tenant, first: int, count: int) -> Tenant:
    """The tenant after more alerts of the story, with names of a machine."""
    records = [payload(number) for number in range(first, first + count)]
    for found in enrich(Batch.of(records), resolver(), BY_ALERT):
        assert isinstance(found, list)
        for _, each in found:
            tenant.observe(each)
    return tenant


def whole() -> bytes:
    return observed(tenant_factory().tenant(), 0, ALERTS).dump()


WHOLE = whole()
PARTS = msgspec.msgpack.decode(WHOLE)  # version, clusters, flows, …
INNER = {index: msgspec.msgpack.decode(zlib.decompress(PARTS[index])) for index in (1, 2)}


def with_inner(index: int, value: Any) -> bytes:
    parts = [*PARTS]
    parts[index] = zlib.compress(msgspec.msgpack.encode(value))
    return msgspec.msgpack.encode(parts)


def changed(value: Any, chance: random.Random) -> Any:
    """A value with one element anywhere in it changed, gone, doubled or exchanged."""
    if not isinstance(value, list) or not value or chance.random() < 0.1:
        return chance.choice(NASTY)
    copy, index = [*value], chance.randrange(len(value))
    how = chance.randrange(12)
    if how == 0:
        del copy[index]
    elif how == 1:
        copy.insert(index, copy[index])
    elif how == 2:
        other = chance.randrange(len(copy))
        copy[index], copy[other] = copy[other], copy[index]
    else:
        copy[index] = changed(copy[index], chance)
    return copy


def go_on(state: bytes) -> bool:
    """Loads a state, takes more alerts and stores it again; whether it was not refused."""
    try:
        tenant = tenant_factory().tenant(state)
        tenant_factory().tenant(observed(tenant, ALERTS, 8).dump())
    except UnreadableStateError as error:
        assert str(error).startswith("state of ")
        assert "\n" not in str(error)
        return False
    return True


def test_the_state_as_it_was_written_goes_on() -> None:
    assert go_on(WHOLE)


@given(st.randoms(use_true_random=False), st.sampled_from([1, 2]), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_changed_state_goes_on_or_is_one_error(chance: random.Random, index: int, times: int) -> None:
    value = INNER[index]
    for _ in range(times):
        value = changed(value, chance)
    go_on(with_inner(index, value))


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_state_with_a_bit_flipped_is_refused_or_goes_on(place: int, bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] ^= 1 << bit
    go_on(bytes(damaged))
    assert not go_on(WHOLE[:place])


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.__setitem__(9, [[2, 1], [1, 2]]),  # merged into each other: looking one up would never end
        lambda state: state[5][0].__setitem__(0, -1),  # a text from the end
        lambda state: state[7].append(state[7][0]),  # two clusters of one id
        lambda state: state[8].append(state[8][0]),  # two signatures of one key
        lambda state: state.__setitem__(1, 1),  # the next cluster would have the id of another
        lambda state: state.__setitem__(2, float("nan")),
        lambda state: state.__setitem__(2, float("inf")),
    ],
)
def test_clusters_that_could_not_be_gone_on_with_are_refused(change: Callable[[list[Any]], None]) -> None:
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(INNER[1]))
    change(state)
    assert not go_on(with_inner(1, state))


@pytest.mark.parametrize("index", [1, 2])
def test_a_state_cannot_be_inflated_into_memory(index: int) -> None:
    parts = [*PARTS]
    parts[index] = zlib.compress(bytes(16 * 1024 * 1024))  # 16 KB
    tracemalloc.start()
    try:
        assert not go_on(msgspec.msgpack.encode(parts))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * 1024 * 1024


def test_lists_are_refused_before_they_take_memory() -> None:
    state = msgspec.msgpack.encode(INNER[1])
    counts = msgspec.msgpack.encode(INNER[1][5])
    assert state.count(counts) == 1
    parts = [*PARTS]
    parts[1] = zlib.compress(state.replace(counts, b"\xdd" + (100_001).to_bytes(4, "big") + b"\x93\0\0\0" * 100_001))
    with pytest.raises(UnreadableStateError, match=r"state of clusters: .*of length <= 100000"):
        tenant_factory().tenant(msgspec.msgpack.encode(parts))


def test_whatever_a_loader_raises_is_one_error() -> None:
    def fails(fault: Exception) -> Callable[[], None]:
        def load() -> None:
            raise fault

        return load

    for fault in (KeyError("x"), IndexError(), OverflowError("big"), RecursionError(), MemoryError()):
        with pytest.raises(
            UnreadableStateError, match=f"^state of x: is not what was written \\({type(fault).__name__}: "
        ):
            load_state("state of x", fails(fault))
    with pytest.raises(CloudError, match=r"^elsewhere$"):
        load_state("state of x", fails(CloudError("elsewhere")))
