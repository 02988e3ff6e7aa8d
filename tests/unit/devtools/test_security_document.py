"""docs/security.md names tests that there are, every fuzz target with its promise, and budgets as the code has them."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path

import pytest

from devtools.fuzz.target import TARGETS, load

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+\.py)((?:::\w+)*)`", PAGE)))
BUDGETS = re.findall(r"^\| ([\d,]+) .*`(app/[\w/]+)\.py` `(\w+)` \|$", PAGE, re.MULTILINE)


@functools.cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.ClassDef))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_is_named_is_there(file: str, name: str) -> None:
    assert set(filter(None, name.split("::"))) <= names_in(file)


def test_every_threat_names_a_test() -> None:
    tables = PAGE.split("| threat | what stops it | test |\n|---|---|---|\n")[1:]
    rows = [row for table in tables for row in table.split("\n\n")[0].splitlines()]
    assert len(rows) > 80
    assert [row for row in rows if "`tests/" not in row.rpartition(" | ")[2]] == []


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_named_with_its_promise(target: str) -> None:
    summary = (load(target).__doc__ or "").splitlines()[0]
    assert f"| `{target}` | {summary} |" in PAGE


@pytest.mark.parametrize(("figure", "module", "name"), BUDGETS)
def test_a_budget_is_the_one_of_the_code(figure: str, module: str, name: str) -> None:
    assert int(figure.replace(",", "")) == getattr(importlib.import_module(module.replace("/", ".")), name)


def test_there_are_budgets() -> None:
    assert len(BUDGETS) > 5
