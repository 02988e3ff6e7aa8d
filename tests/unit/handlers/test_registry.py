"""Finding handlers: in a package, by a dotted name, by a registry's short names."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from app.errors import HandlerNotAllowedError, SettingsError, UnknownHandlerError
from app.handlers.base import LambdaFunction, LambdaHandler
from app.handlers.registry import discover, load
from app.registry import HANDLERS
from tests import handlers_for_tests
from tests.handlers_for_tests import WeighParcelHandler, registry_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WEIGH = "tests.handlers_for_tests.WeighParcelHandler"
PARCELS = """
from tests.handlers_for_tests import WeighParcelHandler

class Truck(WeighParcelHandler):
    pass

class Bike(WeighParcelHandler):
    pass
"""

_numbers = itertools.count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a package that can be imported, of the files given by name; gives its name."""

    def make(**files: str) -> str:
        name = f"parcels_{next(_numbers)}"
        folder = tmp_path / name
        (folder / "below").mkdir(parents=True)
        for path in ("__init__", "below/__init__"):
            (folder / f"{path}.py").touch()
        for path, text in files.items():
            (folder / f"{path.replace('__', '/')}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return make


class TestDiscover:
    def test_finds_each_class_of_a_package_once_by_name(self, package: Callable[..., str]) -> None:
        name = package(one=PARCELS, below__two=PARCELS.replace("Bike", "Van"))
        found = discover(importlib.import_module(name), kind=LambdaHandler)  # type: ignore[type-abstract]
        assert [each.qualified_name() for each in found] == [
            f"{name}.one.Bike",
            f"{name}.below.two.Truck",
            f"{name}.one.Truck",
            f"{name}.below.two.Van",
        ]
        assert WeighParcelHandler not in found  # imported there, and of another module

    def test_leaves_out_what_cannot_be_made_or_is_of_another_kind(self, package: Callable[..., str]) -> None:
        text = (
            "from app.handlers.base import LambdaHandler\n"
            "class Between(LambdaHandler[int, int]):\n    pass\n"
            "class Whole(Between):\n    def handle(self, request, invocation):\n        return request\n"
            "class Other:\n    pass\n"
        )
        module = importlib.import_module(f"{package(one=text)}.one")
        assert [each.__name__ for each in discover(module, module, kind=LambdaHandler)] == ["Whole"]  # type: ignore[type-abstract]
        assert discover(module, kind=WeighParcelHandler) == []

    def test_of_a_module(self) -> None:
        assert discover(handlers_for_tests, kind=LambdaHandler) == [WeighParcelHandler]  # type: ignore[type-abstract]


class TestLoad:
    def test_a_handler_class_as_its_function(self) -> None:
        assert load(WEIGH)({"grams": 3}, None) == {"cents": 3}

    def test_a_plain_function_and_a_functions_object(self, package: Callable[..., str]) -> None:
        text = (
            f"from {WEIGH.rpartition('.')[0]} import WeighParcelHandler\n"
            "def plain(event, context): return [event, context]\n"
            "lambda_handler = WeighParcelHandler.get_handler()\n"
        )
        name = package(one=text)
        assert load(f"{name}.one.plain")(1, 2) == [1, 2]
        assert load(f"{name}.one.lambda_handler")({"grams": 1}, None) == {"cents": 1}

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("", "give package.module.Class"),
            ("stream", "give package.module.Class"),
            (".x", "give package.module.Class"),
            ("x.", "give package.module.Class"),
            ("nowhere.Handler", "no module 'nowhere'; is its folder on PYTHONPATH?"),
            ("app.nowhere.Handler", "no module 'app.nowhere'"),
            ("app..errors.X", "no module"),
            ("app.errors.nothing", "there is no function 'nothing' in app.errors"),
            ("app.errors.MillraceError", "is a class, but no handler"),
            ("app.handlers.base.LambdaHandler", "is a class, but no handler"),
            ("app.cli.entry.INTERRUPTED", "there is no function 'INTERRUPTED'"),
            ("x\ny.z", r"'x\\ny.z'"),
            ("a" * 5000 + ".b", r"'aaa"),
        ],
    )
    def test_what_is_no_handler_is_one_short_line(self, name: str, words: str) -> None:
        with pytest.raises(UnknownHandlerError, match=words) as caught:
            load(name)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("import nowhere_at_all", "needs nowhere_at_all, which is not installed"),
            ("1 / 0", "cannot be imported: ZeroDivisionError"),
            ("def", "cannot be imported: SyntaxError"),
            ("from app.errors import nothing", "cannot be imported: ImportError"),
        ],
    )
    def test_a_module_that_cannot_be_imported_is_one_line(
        self, package: Callable[..., str], text: str, words: str
    ) -> None:
        with pytest.raises(UnknownHandlerError, match=words):
            load(f"{package(one=text)}.one.Handler")

    def test_a_module_that_says_why_it_cannot_start_is_heard(self, package: Callable[..., str]) -> None:
        text = "from app.errors import SettingsError\nraise SettingsError('PIPELINE is wrong')"
        with pytest.raises(SettingsError, match="PIPELINE is wrong"):
            load(f"{package(one=text)}.one.Handler")


class TestRegistry:
    registry = registry_of({"weigh": WEIGH, "van": "tests.nowhere.Van"})

    def test_lists_short_names_and_imports_nothing(self) -> None:
        assert list(self.registry) == ["van", "weigh"]

    def test_gives_the_same_function_by_either_name(self) -> None:
        function = self.registry.function("weigh")
        assert isinstance(function, LambdaFunction)
        assert self.registry.function(WEIGH) is function
        assert self.registry.handler_class("weigh") is WeighParcelHandler

    @pytest.mark.parametrize("name", ["", "wei", "os.system", "tests.handlers_for_tests.Parcel", "tests.nowhere"])
    def test_never_imports_what_it_does_not_have(self, name: str) -> None:
        with pytest.raises(UnknownHandlerError, match="there are van, weigh"):
            self.registry.function(name)

    def test_gives_only_what_is_allowed_and_tells_of_no_other(self) -> None:
        assert self.registry.function(WEIGH, {"weigh"})
        with pytest.raises(HandlerNotAllowedError, match="ROUTER_HANDLERS does not name it"):
            self.registry.function("weigh", {"van"})
        with pytest.raises(HandlerNotAllowedError):
            self.registry.function(WEIGH, ())
        with pytest.raises(UnknownHandlerError) as caught:
            self.registry.function("nothing", {"van"})
        assert "weigh" not in str(caught.value)


@pytest.mark.parametrize("name", list(HANDLERS))
def test_each_name_is_its_classs_own(name: str) -> None:
    handler: Any = HANDLERS.handler_class(name)
    assert handler.name == name
    assert handler.summary().endswith(".")
    assert HANDLERS.function(handler.qualified_name()) is HANDLERS.function(name)


def test_listing_the_handlers_imports_none_of_them() -> None:

    program = "import sys; import app.registry; list(app.registry.HANDLERS); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"numpy", "app.lambda_function", "app.domains.bike.handlers"} & set(done.stdout.split())
