"""Corrections for one tenant: they come before those for all, and reach no other tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.cli.correct import correct
from app.domains.alerts.files.handlers import UpdateLookupTableHandler
from app.domains.alerts.formats import read_alert
from app.domains.alerts.lookups.corrections import Correction, beyond, tenant_key
from app.domains.alerts.lookups.csv_file import FileCorrections
from app.domains.alerts.lookups.table import LookupTable, update, update_from_csv
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.tenancy import TENANT_MISMATCH, TenantRule
from app.errors import ForbiddenError
from app.handlers.invocation import run
from tests.alerts_for_tests import alert, alerts_spine, emitted, payload
from tests.alerts_lookup_for_tests import NOW, HandClock, MemoryCorrections
from tests.handlers_for_tests import LambdaContext

if TYPE_CHECKING:
    from pathlib import Path

    from app.domains.alerts.files.requests import UpdateLookupResponse

TEXT = "Door was left open"


def correction(technique: str, tenant: str = "", *, rule: str = "") -> Correction:
    return Correction("" if rule else TEXT, (technique,), NOW, rule=rule, tenant=tenant)


def table_of(*corrections: Correction) -> LookupTable:
    table = LookupTable(MemoryCorrections(), HandClock())
    assert update(table, corrections).taken == len(corrections)
    return table


def techniques(table: LookupTable, *tenants: str, rule: str = "") -> list[tuple[str, ...]]:
    attributes = {"other_attributes_dict": {"rule_id": rule}} if rule else {}
    alerts = [read_alert(alert(0, name=TEXT, tech=[], tenant=each, **attributes)) for each in tenants]
    return [each.ids for each in TechniqueResolver(table, None, None, tenant="acme").resolve(alerts)]


def test_a_tenants_own_correction_comes_before_the_one_for_all_and_reaches_no_other() -> None:
    table = table_of(correction("T1078"), correction("T1110", "acme"), correction("T1046", "umbrella"))
    assert techniques(table, "acme", "umbrella", "other", "Acme", "") == [
        ("T1110",), ("T1046",), ("T1078",), ("T1078",), ("T1110",),
    ]  # fmt: skip


def test_a_tenants_correction_of_a_text_comes_before_one_of_a_rule_for_all() -> None:
    table = table_of(correction("T1078", rule="r7"), correction("T1110", "acme"))
    assert techniques(table, "acme", "umbrella", rule="r7") == [("T1110",), ("T1078",)]


def test_on_a_stream_the_tenant_is_the_one_that_the_rule_of_tenants_gives() -> None:
    table = table_of(correction("T1110", "acme"))
    records, keys = (
        [payload(0, name=TEXT, tech=[]), payload(0, name=TEXT, tech=[], tenant="acme")],
        ["acme", "umbrella"],
    )
    for rule, expected in ((TenantRule("key"), ["T1110", None]), (TenantRule("alert"), [None, "T1110"])):
        spine = alerts_spine(techniques=TechniqueResolver(table, None, None), rule=rule)
        spine.run(records, keys)
        assert [next(iter(each["techniques"]["ids"]), None) for each in emitted(spine, "enriched")] == expected


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "a", "a b", "2 a", "A"]), st.sampled_from(["x", "b x", "RULE x"])), max_size=4
    )
)
def test_no_two_tenants_share_a_correction(pairs: list[tuple[str, str]]) -> None:
    assert len({tenant_key(*each) for each in pairs}) == len(set(pairs))


def test_a_file_keeps_the_tenant_and_its_former_form_without_one(tmp_path: Path) -> None:
    path = tmp_path / "lookup.csv"
    path.write_text(f"alerts,techniques\n{TEXT},T1078\n")
    table = LookupTable(FileCorrections(path), HandClock())
    update(table, [correction("T1046", rule="r7")])
    assert path.read_text().startswith("alerts,techniques,time,author,confidence,rule,override\n")
    update(table, [correction("T1110", "=acme, Inc.")])
    assert path.read_text().startswith("alerts,techniques,time,author,confidence,rule,override,tenant\n")
    again = LookupTable(FileCorrections(path), HandClock())
    assert techniques(again, "=acme, Inc.", "umbrella") == [("T1110",), ("T1078",)]
    assert again.rejected == []


def test_one_tenants_flood_pushes_out_no_other_tenants_corrections() -> None:
    store = MemoryCorrections(most=10)
    table = LookupTable(store, HandClock())
    update(table, [correction("T1078"), correction("T1110", "acme")])
    flood = [Correction(f"Flood {chr(97 + number)}", ("T1046",), NOW + 1, tenant="umbrella") for number in range(26)]
    assert update(table, flood).taken == 10  # what one update of one tenant may bring
    assert techniques(table, "acme", "other") == [("T1110",), ("T1078",)]
    assert sorted(each.tenant for each in store.rows.values()) == ["", "acme", *["umbrella"] * 8]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(0, 20))
def test_a_full_table_keeps_as_many_as_it_may_and_each_tenants_share(tenants: list[str], most: int) -> None:
    rows = [(tenant, (number,)) for number, tenant in enumerate(tenants)]
    gone = set(beyond(rows, most))
    kept = [(tenant, age) for tenant, age in rows if age not in gone]
    assert len(kept) == min(most, len(rows))
    for tenant in set(tenants):
        mine = [age for each, age in rows if each == tenant]
        left = [age for each, age in kept if each == tenant]
        assert left == mine[len(mine) - len(left) :]  # the newest
        assert len(left) >= min(len(mine), most // len(set(tenants)))


@pytest.mark.parametrize("tenant", ["", "acme"])
def test_a_function_of_one_tenant_takes_no_correction_for_another_or_for_all(tenant: str) -> None:
    table = LookupTable(MemoryCorrections(), HandClock())
    handler = UpdateLookupTableHandler(table, "acme")

    def ask(of: str) -> UpdateLookupResponse:
        event = {"corrections": [{"alert": TEXT, "techniques": ["T1110"]}], "tenant": of}
        return run(handler.name, lambda invocation: handler.handle(handler.decode(event), invocation), LambdaContext())

    assert ask(tenant).taken == 1
    with pytest.raises(ForbiddenError, match=r"^\$\.tenant: only those for 'acme' are taken here \(LOOKUP_TENANT\)$"):
        ask("umbrella")
    rows = f"alerts,techniques,tenant\n{TEXT},T1046,umbrella\n{TEXT},T1110,\n".encode()
    report = update_from_csv(table, rows, NOW + 1, only="acme")
    assert [(each.line, each.reason) for each in report.rejected] == [(2, TENANT_MISMATCH)]
    assert techniques(table, "acme", "umbrella") == [("T1110",), ()]


def test_the_command_corrects_for_a_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lookup.csv"
    target = Correction(TEXT, (), 0.0, tenant="acme")
    correct(target, ["T1110"], str(path), remove=False)
    assert capsys.readouterr().out.startswith("door was left open (tenant acme): T1110 Brute Force; ")
    assert techniques(LookupTable(FileCorrections(path), HandClock()), "acme", "b") == [("T1110",), ()]
    monkeypatch.setenv("LOOKUP_TENANT", "umbrella")
    for remove in (True, False):
        with pytest.raises(typer.BadParameter, match="only corrections for 'umbrella' are taken here"):
            correct(target, [] if remove else ["T1110"], str(path), remove=remove)
