"""Whatever an event says, the router answers, or refuses in one line; it calls nothing that is not allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from app.errors import HandlerFailedError, HandlerNotAllowedError, MillraceError, RequestError, UnknownHandlerError
from app.handlers.base import LambdaFunction
from app.router_function import RouterHandler
from tests.handlers_for_tests import WeighParcelHandler, registry_of

if TYPE_CHECKING:
    from app.handlers.invocation import Invocation
    from tests.handlers_for_tests import Parcel, Postage

WEIGH = "tests.handlers_for_tests.WeighParcelHandler"
REGISTRY = registry_of({"weigh": WEIGH, "closed": "tests.nowhere.Closed"})

names = st.sampled_from(["weigh", "closed", WEIGH, "tests.nowhere.Closed", "router", "os.system"]) | st.text()
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=10,
)
events = json_like | st.fixed_dictionaries(
    {"handler": names, "event": json_like | st.fixed_dictionaries({"grams": st.integers()})},
    optional={"more": json_like},
)


class WeighRouter(RouterHandler):
    """The router, with a registry of its own."""


def function() -> LambdaFunction[Any]:
    made = LambdaFunction(WeighRouter)
    made._opened = WeighRouter(REGISTRY, ["weigh"])
    return made


@given(events | st.binary() | st.text())
def test_any_event_gets_an_answer_or_one_line(event: Any) -> None:
    try:
        answer = function()(event)
    except HandlerFailedError:
        raise
    except MillraceError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert event["handler"] in {"weigh", WEIGH}
        assert answer == {"cents": event["event"]["grams"]}


@given(names)
def test_only_what_is_allowed_is_ever_called(name: str) -> None:
    called: list[str] = []

    class Weigh(WeighParcelHandler):
        def handle(self, request: Parcel, invocation: Invocation) -> Postage:
            called.append(invocation.handler)
            return super().handle(request, invocation)

    registry = registry_of({"weigh": WEIGH, "closed": "tests.nowhere.Closed"})
    registry._functions["weigh"] = Weigh.get_handler()
    router = WeighRouter.get_handler()
    router._opened = WeighRouter(registry, ["weigh"])
    try:
        router({"handler": name, "event": {"grams": 1}})
    except (UnknownHandlerError, HandlerNotAllowedError, RequestError):  # no name at all is no request
        assert called == []
        assert name not in {"weigh", WEIGH}
    else:
        assert called == ["weigh"]
        assert name in {"weigh", WEIGH}
