"""A machine has many names, addresses change hands, and some addresses stand for nobody."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.aliases import AliasConfig, AliasTable, StoredAliases

NOW, HOUR_S, DAY_S = 1_700_000_000.0, 3_600.0, 86_400.0
ADDRESS = "10.20.0.31"


def test_a_name_and_an_address_of_one_alert_are_one_machine() -> None:
    table = AliasTable()
    table.learn([("WKS-31", "::ffff:10.20.0.31")], NOW)
    assert table.names_of(ADDRESS, NOW + HOUR_S) == ("wks-31",)
    assert table.names_of("wks-31", NOW + HOUR_S) == (ADDRESS,)
    assert table.reason(ADDRESS, "wks-31", NOW) == table.reason("wks-31", ADDRESS, NOW) == "10.20.0.31 was wks-31"
    assert table.reason(ADDRESS, "wks-40", NOW) == ""
    assert table.names_of("wks-40", NOW) == ()


def test_what_is_new_is_told_once() -> None:
    table = AliasTable()
    assert table.learn([("wks-31", ADDRESS)], NOW) == {"wks-31", ADDRESS}
    assert table.learn([("WKS-31", ADDRESS)], NOW + 60) == set()
    assert table.learn([("wks-40", ADDRESS)], NOW + DAY_S) == {"wks-40", ADDRESS}


def test_an_alias_holds_for_alerts_shortly_before_it_is_learned() -> None:
    table = AliasTable()
    table.learn([("wks-31", ADDRESS)], NOW)
    assert table.names_of(ADDRESS, NOW - HOUR_S) == ("wks-31",)
    assert table.names_of(ADDRESS, NOW - 3 * DAY_S) == ()


def test_another_name_that_takes_the_address_ends_the_alias() -> None:
    table = AliasTable()
    table.learn([("wks-31", ADDRESS)], NOW)
    table.learn([("wks-40", ADDRESS)], NOW + DAY_S)
    assert table.names_of(ADDRESS, NOW + HOUR_S) == ("wks-31",)
    assert table.names_of(ADDRESS, NOW + DAY_S + 1) == ("wks-40",)
    assert table.names_of("wks-31", NOW + DAY_S + 1) == ()
    table.learn([("wks-31", "10.20.0.77")], NOW + DAY_S)
    assert table.names_of("wks-31", NOW + DAY_S + 1) == ("10.20.0.77",)


def test_an_address_that_returns_is_its_first_owners_before_and_after() -> None:
    table = AliasTable()
    table.learn([("wks-31", ADDRESS)], NOW)
    table.learn([("wks-31", ADDRESS)], NOW + 2 * DAY_S)
    table.learn([("wks-40", ADDRESS)], NOW + DAY_S)  # late
    seen = [table.names_of(ADDRESS, NOW + days * DAY_S)[0] for days in (0.5, 1.5, 2.5)]
    assert seen == ["wks-31", "wks-40", "wks-31"]


def test_without_news_an_alias_expires() -> None:
    table = AliasTable(AliasConfig(expiry_s=DAY_S))
    table.learn([("wks-31", ADDRESS)], NOW)
    assert table.names_of(ADDRESS, NOW + DAY_S)
    assert not table.names_of(ADDRESS, NOW + DAY_S + 1)


def test_names_of_different_sorts_share_an_address_and_are_one_machine() -> None:
    table = AliasTable()
    table.learn([("i-0abcdef0123456789", ADDRESS)], NOW)
    table.learn([("web1", ADDRESS)], NOW + 60)
    table.learn([("i-0abcdef0123456789", ADDRESS)], NOW + 120)
    assert set(table.names_of("web1", NOW + 130)) == {ADDRESS, "i-0abcdef0123456789"}
    assert table.reason("web1", "i-0abcdef0123456789", NOW + 130) == "web1 and i-0abcdef0123456789 had 10.20.0.31"


def test_two_names_in_one_alert_are_one_machine() -> None:
    table = AliasTable()
    table.learn([("agent-7", ADDRESS), ("web1", ADDRESS)], NOW)
    table.learn([("web1", ADDRESS)], NOW + 60)
    table.learn([("agent-7", ADDRESS)], NOW + 120)
    assert set(table.names_of(ADDRESS, NOW + 130)) == {"agent-7", "web1"}


def test_a_machine_may_have_several_addresses() -> None:
    table = AliasTable()
    table.learn([("web1", ADDRESS), ("web1", "fd00::31")], NOW)
    assert table.names_of(ADDRESS, NOW) == ("web1", "fd00::31")


def test_a_short_and_a_full_name_are_one_machine_while_there_is_one_such() -> None:
    table = AliasTable()
    table.learn([("WEB1.corp.example.com", ADDRESS)], NOW)
    assert set(table.names_of("web1", NOW)) == {"web1.corp.example.com", ADDRESS}
    assert table.reason("web1", "web1.corp.example.com", NOW) == "web1 is short for web1.corp.example.com"
    table.learn([("web1", ADDRESS)], NOW + 60)
    assert set(table.names_of(ADDRESS, NOW + 60)) == {"web1", "web1.corp.example.com"}
    table.see("web1.lab.example.com", NOW + 60)
    assert "web1.corp.example.com" not in table.names_of("web1.lab.example.com", NOW + 60)


def test_a_name_that_windows_cut_takes_no_address_from_the_whole_one() -> None:
    table = AliasTable()
    for index, name in enumerate(("accounting-server-1", "accounting-serv", "accounting-server-1")):
        table.learn([(name, ADDRESS)], NOW + index)
    assert set(table.names_of(ADDRESS, NOW + 5)) == {"accounting-server-1", "accounting-serv"}


def test_an_address_with_many_names_is_no_alias_of_any() -> None:
    table = AliasTable()
    for index in range(5):
        table.learn([(f"wks-{index}", ADDRESS), (f"wks-{index}", f"10.20.1.{index}")], NOW + 60 * index)
    assert table.names_of(ADDRESS, NOW + 300) == ()
    assert table.names_of("wks-4", NOW + 300) == ("10.20.1.4",)


def test_an_address_whose_names_take_turns_is_no_alias_of_any() -> None:
    table = AliasTable()
    for index in range(12):
        table.learn([(f"wks-{index % 2}", ADDRESS)], NOW + 60 * index)
    assert table.names_of(ADDRESS, NOW + 700) == ()


def test_leases_that_change_daily_are_aliases() -> None:
    table = AliasTable()
    for day in range(7):
        table.learn([(f"wks-{day}", ADDRESS)], NOW + day * 2 * DAY_S)
    assert table.names_of(ADDRESS, NOW + 12 * DAY_S) == ("wks-6",)


def test_a_name_with_many_addresses_is_a_collector() -> None:
    table = AliasTable(AliasConfig(most_addresses=4))
    for index in range(6):
        table.learn([("collector", f"10.20.1.{index}")], NOW + index)
    assert table.names_of("collector", NOW + 10) == ()
    assert table.names_of("10.20.1.3", NOW + 10) == ()


def test_what_is_no_name_with_an_address_is_ignored() -> None:
    table = AliasTable()
    pairs = [("web1", "web2"), ("localhost", ADDRESS), ("web1", "127.0.0.1"), ("web1", "172.17.0.1"), ("", "")]
    table.learn([*pairs, (ADDRESS, "10.20.0.32"), ("any", "any"), ("Alice Smith", ADDRESS)], NOW)
    assert table.dump() == StoredAliases()


def test_memory_is_bounded() -> None:
    table = AliasTable(AliasConfig(most=10))
    for index in range(100):
        table.learn([(f"wks-{index}.example.com", f"10.20.1.{index}")], NOW + index)
    stored = table.dump()
    assert len(stored.addresses) == len(stored.full) == 10
    assert table.names_of("10.20.1.99", NOW + 99)
    assert not table.names_of("wks-1.example.com", NOW + 99)[1:]


_NAMES = st.sampled_from(["wks-1", "wks-2.corp.example.com", "wks-2", "i-0abcdef0123456789", "web1"])
_LEARNED = st.lists(
    st.tuples(
        st.lists(st.tuples(_NAMES, st.sampled_from(["10.0.0.1", "10.0.0.2"])), max_size=3), st.integers(0, 2_000)
    ),
    max_size=20,
)
_CONFIG = AliasConfig(expiry_s=500, window_s=100, most=3)


@given(_LEARNED, st.integers(0, 20))
def test_a_table_that_was_dumped_and_loaded_goes_on_as_if_it_had_not_been(
    learned: list[tuple[list[tuple[str, str]], int]], cut: int
) -> None:
    whole, loaded = AliasTable(_CONFIG), AliasTable(_CONFIG)
    for index, (pairs, time) in enumerate(learned):
        if index == cut:
            data = msgspec.msgpack.encode(loaded.dump())
            loaded = AliasTable.load(msgspec.msgpack.decode(data, type=StoredAliases), _CONFIG)
        whole.learn(pairs, time)
        loaded.learn(pairs, time)
    assert whole.dump() == loaded.dump()
    for entity in ("wks-1", "wks-2", "10.0.0.1"):
        assert whole.names_of(entity, 1_000) == loaded.names_of(entity, 1_000)


@given(_LEARNED, st.integers(0, 2_500))
def test_an_alias_holds_both_ways_and_has_a_reason(
    learned: list[tuple[list[tuple[str, str]], int]], time: float
) -> None:
    table = AliasTable(_CONFIG)
    for pairs, at in learned:
        table.learn(pairs, at)
    for entity in ("wks-1", "wks-2", "i-0abcdef0123456789", "10.0.0.1", "10.0.0.2"):
        for other in table.names_of(entity, time):
            assert other != entity
            assert table.reason(entity, other, time)
            assert entity in table.names_of(other, time)


@given(st.permutations([(owner, day) for owner in range(3) for day in range(3)]))
def test_leases_are_the_same_in_whatever_order_they_are_learned(order: list[tuple[int, int]]) -> None:
    table = AliasTable()
    for owner, day in order:
        table.learn([(f"wks-{owner}", ADDRESS)], NOW + (3 * owner + day) * DAY_S)
    for owner in range(3):
        for hours in range(0, 49, 12):
            at = NOW + 3 * owner * DAY_S + hours * HOUR_S
            assert table.names_of(ADDRESS, at) == (f"wks-{owner}",)
