"""Mutants are changes that can be made, and the checker notices them."""

from __future__ import annotations

import ast

import pytest

from devtools.mutants.cli import passes
from devtools.mutants.generated import MODULES, choose, count_of, mutation, source_of
from devtools.mutants.named import NAMED, Mutant
from devtools.mutants.running import Baseline, Ran, run_named
from devtools.mutants.trial import Caught

UNCHANGED = Baseline({}, {}, [])


@pytest.mark.parametrize("mutant", NAMED, ids=lambda mutant: mutant.name)
def test_a_named_mutant_can_still_be_made(mutant: Mutant) -> None:
    ast.parse(mutant.source())


def test_a_change_by_rule_is_of_one_statement() -> None:
    module = "app.stream.tracker"
    plain = ast.unparse(ast.parse(source_of(module))).splitlines()
    for number in range(count_of(source_of(module))):
        made = mutation(module, number)
        changed = [line for line, before in zip(made.source.splitlines(), plain, strict=True) if line != before]
        assert len(changed) == 1, made.name
        assert made.before != made.after


def test_the_choice_depends_on_the_seed_and_leaves_other_lines_alone() -> None:
    lines = {module: range(1, 120) for module in MODULES}
    chosen = choose(10, 1, lines)
    assert chosen == choose(10, 1, lines)
    assert chosen != choose(10, 2, lines)
    assert all(each.line < 120 for each in chosen)


def test_the_checker_notices_a_child_that_is_read_before_its_parent() -> None:
    mutants = [each for each in NAMED if "child before its parent" in each.name]
    [ran] = run_named(mutants, "prone", UNCHANGED, seconds=60)
    assert ran.caught.by == "parents before children"


@pytest.mark.slow  # all histories are run
def test_a_change_that_changes_nothing_is_not_noticed() -> None:
    [ran] = run_named([Mutant("nothing", "app.stream.tracker", (), within=5)], "prone", UNCHANGED, seconds=60)
    assert not ran.passes


def test_every_named_mutant_and_nine_of_ten_made_by_rule_are_to_be_caught() -> None:
    caught, missed = Caught("an invariant"), Caught()
    made = [Ran("a", "generated", 1, caught)] * 9
    assert passes([*made, Ran("b", "generated", 1, missed)])
    assert passes([*made, Ran("b", "generated", 1, missed, equivalent="a pause"), Ran("c", "found", 1, caught)])
    assert not passes([*made, Ran("c", "found", 1, missed)])
    assert not passes([*made[:8], Ran("b", "generated", 1, missed)])
