"""The picture of the house holds: what a package imports is below it, and no modules import each other in a circle."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.house import imports, picture

ROOT = Path(__file__).resolve().parents[3]
FILES = imports.modules(ROOT)
FOUND = imports.imports(FILES)


def test_a_package_imports_from_floors_below_it_alone() -> None:
    assert list(imports.upward(FILES, FOUND)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert imports.circles(FOUND) == set()


def test_the_picture_is_of_these_imports() -> None:
    drawn = (ROOT / "docs" / "house.svg").read_text()

    assert drawn == picture.draw(FILES, FOUND), "draw it again: python -m devtools.house --draw"


def house(tmp_path: Path, **sources: str) -> dict[str, Path]:
    """The modules of a house made of these files, a double underscore a folder."""
    for name, source in sources.items():
        path = tmp_path / "app" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return imports.modules(tmp_path)


def test_an_import_of_another_domain_or_of_a_floor_above_is_found(tmp_path: Path) -> None:
    files = house(
        tmp_path,
        domains__bike__steps="from app.domains.alerts import logic",
        domains__alerts__logic="def late():\n    import app.cli.run\n",
        cli__run="from app.domains.alerts.logic import late",
    )

    found = {(each.importer, each.imported) for each in imports.upward(files, imports.imports(files))}

    assert found == {
        ("app.domains.bike.steps", "app.domains.alerts.logic"),
        ("app.domains.alerts.logic", "app.cli.run"),
    }


def test_a_circle_is_found_where_one_half_is_for_types_alone(tmp_path: Path) -> None:
    files = house(
        tmp_path,
        errors="import app.text\nimport app.cache",
        text="if TYPE_CHECKING:\n    from app.errors import Error\n",
        cache="",
    )

    assert imports.circles(imports.imports(files)) == {("app.errors", "app.text")}


def test_a_package_on_no_floor_is_an_error_that_says_where_to_add_it(tmp_path: Path) -> None:
    files = house(tmp_path, attic__box="import app.errors", errors="")

    with pytest.raises(LookupError, match="app/attic is on no floor: add it to FLOORS"):
        list(imports.upward(files, imports.imports(files)))
