"""Base of the settings of clusters and flows: numbers within limits, so that no request lets memory grow unbounded."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_type_hints

import msgspec

from app.telemetry import logger

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

        Unknown keys and values outside their limits are ignored and logged: requests written for other clustering
        models carry parameters that have no meaning here.
        """
        limits = _limits(cls)
        present = {cls.FORMER_NAMES.get(key, key): value for key, value in request.items()}
        accepted: dict[str, float | int] = {}
        for field in msgspec.structs.fields(cls):
            value = present.get(field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                continue
            least, most = limits[field.name]
            if least <= value <= most:
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
