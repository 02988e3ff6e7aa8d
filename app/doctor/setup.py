"""A process as its checks see it: its settings, the streams that it reads, and the change that mends them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from app.errors import MillraceError
from app.registry import pipeline_class
from app.stream.pipeline import StatefulPipeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from app.settings import Settings
    from app.stream.pipeline import AnyPipeline

    class Setter(Protocol):
        """Returns the command that sets variables in the environment that the settings come from."""

        def __call__(self, **new: str) -> str:
            """Return the command."""


@dataclass(frozen=True)
class Setup:
    """A process that is set up: its settings, where they are from, and the streams that it reads.

    Attributes:
        settings: What its environment says.
        sources: The streams that are read.
        where: Where the settings are from, for findings.
        change: Gives the command that sets variables there.
        in_lambda: Whether it is a function in Lambda, which may have a pipeline that is not installed here.
    """

    settings: Settings
    sources: Sequence[str]
    where: str
    change: Setter
    in_lambda: bool = False

    @cached_property
    def classes(self) -> dict[str, type[AnyPipeline]]:
        """Return the class of each pipeline that is installed here and can be used."""
        found = {}
        for name in self.settings.pipeline_names():
            try:
                found[name] = pipeline_class(name)
            except MillraceError:  # `examine_settings` says so
                continue
        return found

    @property
    def stateful(self) -> list[str]:
        """Return the pipelines that keep state, sorted."""
        return sorted(name for name, each in self.classes.items() if issubclass(each, StatefulPipeline))

    def keeps_state(self, source: str) -> bool:
        """Return whether the pipeline of a stream keeps state; one that is not installed here may."""
        name = self.settings.pipeline_for(source)
        return bool(self.settings.state_table) and (name in self.stateful or name not in self.classes)
