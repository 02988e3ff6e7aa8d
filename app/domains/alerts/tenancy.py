"""Which tenant an alert belongs to, and the keys that are made of a tenant's name.

A tenant is a claim of whoever may put records: by the partition key, by the alert's own text, or by both. Names are
compared as they are written, without folding of case, blanks or Unicode forms: names that look alike are two tenants.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from app.domains.alerts.alert import DEFAULT_TENANT, AlertFault
from app.errors import BudgetError
from app.text import quoted

if TYPE_CHECKING:
    from app.domains.alerts.alert import Alert

TenantFrom: TypeAlias = Literal["key", "alert", "both"]

TENANT_MISMATCH = "tenant_mismatch"
"""Reason code of a record that is set aside because two places in it name different tenants."""

LONGEST_KEY = 200  # of a tenant in a partition key, in UTF-16 units: Kinesis takes 256, and a cluster's id follows
_KEYS_KEPT = 4096  # keys that are not made anew: a batch has fewer tenants
_DIGEST_BYTES = 16
_DIGEST = "digest:"
_DIGESTED = re.compile(rf"{_DIGEST}([0-9a-f]{{{2 * _DIGEST_BYTES}}})")
_PART_AT_END = re.compile(r"/(?:cluster|flow)/[0-9]+$")


@functools.lru_cache(_KEYS_KEPT)
def key_of(tenant: str, part: str = "") -> str:
    """Return the partition key of a tenant, or of its cluster or flow, within Kinesis's limit.

    No two pairs of tenant and part have one key. A name that is too long is replaced by a digest, and so is a name that
    could be read as such a digest or as the key of a part.

    Args:
        tenant: The tenant's name.
        part: `cluster/1`, say, or empty.
    """
    if not tenant or len(tenant.encode("utf-16-le", "surrogatepass")) > 2 * LONGEST_KEY or _is_taken(tenant):
        digest = hashlib.blake2b(tenant.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
        tenant = f"{_DIGEST}{digest.hexdigest()}"
    return f"{tenant}/{part}" if part else tenant


def former_digest(key: str) -> str:
    """Return the digest that stood for a long name in an earlier release; empty for a key that is no digest."""
    found = _DIGESTED.fullmatch(key)
    return found[1] if found else ""


def _is_taken(tenant: str) -> bool:
    return bool(_DIGESTED.fullmatch(tenant) or _PART_AT_END.search(tenant))


@dataclass(frozen=True, slots=True)
class TenantRule:
    """The rule by which alerts of a stream or a file belong to a tenant.

    Attributes:
        source: `key`: the partition key (of a file, the tenant that it was put for), whatever an alert says. `alert`:
            what the alert says, whatever the key is. `both`: the key, and an alert that names another tenant is
            refused.
        default: With `alert`, the tenant of alerts that name none.
    """

    source: TenantFrom
    default: str = DEFAULT_TENANT

    def assign(self, alert: Alert, key: str) -> str:
        """Return the tenant of an alert that came with a key; with `key` the alert no longer names another one.

        Raises:
            AlertFault: `tenant_mismatch`: both must agree, and do not.
        """
        named = alert.tenant
        if self.source == "alert":
            return named or self.default
        if not named:
            return key
        if key_of(named) == key or (named == key and not former_digest(key)):
            return named
        if self.source == "key":
            alert.tenant = key
            return key
        raise AlertFault(
            TENANT_MISMATCH,
            f"the alert names the tenant {quoted(named)}, and came for {quoted(key)}: send it with its own tenant as "
            "the key, or set ALERTS_TENANT_FROM to `key` or `alert` where who sends is trusted",
        )


class CountedTenants:
    """The tenants of one input, up to a limit: each costs memory or objects, however few alerts it has."""

    def __init__(self, most: int) -> None:
        """Start without a tenant."""
        self._most = most
        self._names: set[str] = set()

    def add(self, tenant: str) -> None:
        """Count a tenant, once.

        Raises:
            BudgetError: There are more than the limit.
        """
        if tenant in self._names:
            return
        if len(self._names) >= self._most:
            raise BudgetError(
                f"the alerts name more than {self._most} tenants: send fewer in one input, or set ALERTS_MOST_TENANTS"
            )
        self._names.add(tenant)
