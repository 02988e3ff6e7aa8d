"""Base of the settings of clusters and flows: numbers within limits, so that no request lets memory grow unbounded."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_type_hints

import msgspec

from app.errors import UnprocessableError
from app.telemetry import logger
from app.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOGGED_KEYS = 8  # ignored keys in a log line: enough to recognize whose request it is
_LONGEST_LOGGED_KEY = 64  # characters


class LimitedConfig(msgspec.Struct, frozen=True):
    """Numeric settings, each annotated with `msgspec.Meta(ge=least, le=most)` and with a default."""

    REQUEST_KEY: ClassVar[str]
    """Name of these settings in a request, for log lines."""
    FORMER_NAMES: ClassVar[dict[str, str]] = {}
    """Names that requests of earlier releases used, and the present name of each."""

    def __post_init__(self) -> None:
        """Check every value against its limits.

        Raises:
            ValueError: A value is outside its limits.
        """
        for name, (least, most) in _limits(type(self)).items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}; it must be between {least:g} and {most:g}")

    @classmethod
    def from_request(cls, request: Mapping[str, Any], base: Self | None = None) -> Self:
        """Return the defaults or other settings, overridden by the values of a request.

        Unknown keys are ignored and logged: requests written for other clustering models carry parameters that have no
        meaning here.

        Raises:
            UnprocessableError: A value is no number or outside its limits; it is named.
        """
        limits = _limits(cls)
        present = {cls.FORMER_NAMES.get(key, key): value for key, value in request.items()}
        accepted: dict[str, float | int] = {}
        for field in msgspec.structs.fields(cls):
            if field.name not in present:
                continue
            value, (least, most) = present[field.name], limits[field.name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not least <= value <= most or (isinstance(field.default, int) and value != int(value)):
                shown = one_line(repr(value), _LONGEST_LOGGED_KEY)
                kind = "a whole number" if isinstance(field.default, int) else "a number"
                raise UnprocessableError(
                    f"{cls.REQUEST_KEY}: {field.name} is {shown}; it must be {kind} between {least:g} and {most:g}"
                )
            accepted[field.name] = type(field.default)(value)
        ignored = sorted(str(key)[:_LONGEST_LOGGED_KEY] for key in present if key not in accepted)
        if ignored:
            logger.info(
                f"{cls.REQUEST_KEY}: keys ignored", extra={"keys": ignored[:_LOGGED_KEYS], "count": len(ignored)}
            )
        return msgspec.structs.replace(base or cls(), **accepted)


@functools.cache
def _limits(config: type[LimitedConfig]) -> dict[str, tuple[float, float]]:
    """Return the least and the most value of each setting, from its annotation."""
    hints = get_type_hints(config, include_extras=True)
    metas = {field.name: hints[field.name].__metadata__[0] for field in msgspec.structs.fields(config)}
    return {name: (meta.ge, meta.le) for name, meta in metas.items()}
