"""Entities of alerts in one canonical form: addresses, hosts, users, hashes and cloud resources.

Products write one machine in many ways: `WEB1`, `::ffff:10.0.0.5`, `[10.0.0.5]:443`, `fe80::1%eth0`. Clusters and flows
compare entities by their canonical form only. It is a text that carries its kind: users are `user:alice`, hashes
`hash:d41d…`, and all others are known by their shape (`kind`). Texts that identify nobody, such as `localhost`, `any`
or the account `root`, have the empty text as their form.

A full host name and its short form stay two names here: `www.example.com` on the internet and a host `www` inside are
not one machine. That `web1.corp.example.com` and `WEB1` are one is learned (`aliases.py`).
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

from app.domains.alerts.accounts import DISTINGUISHED, SERVICES, account_name
from app.domains.alerts.alert import HASH, HOST, USER, texts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domains.alerts.alert import Alert

Kind = Literal["inside", "outside", "name", "user", "hash", "resource", ""]
"""Kinds of entities: an address inside (private, shared or unique local) or outside, the name of a machine or domain, a
user, a hash of a file, a cloud resource by its id; empty for the empty text."""

MOST_OF_A_KIND = 8  # hosts, users or hashes of one alert; further ones are ignored
Reading = TypeVar("Reading")
_USER, _HASH = "user:", "hash:"
_MOST_LAYERS = 4  # of wrapping around an entity that are taken off
_CACHED = 100_000  # texts that each reader keeps: about 20 MB
_LEAST_OF_PATH = 4  # parts: `projects/p/instances/web1` is a resource's path, and `namespace/pod` is a name

PLACEHOLDERS = frozenset(
    ("", "-", "--", "*", "?", "n/a", "na", "nil", "none", "null", "(null)", "<null>", "undefined", "unknown")
)
"""Texts that log formats write for an unknown host or user."""
_ANYBODY = frozenset(("any", "all", "0", "external_net", "home_net", "broadcasthost"))
_OWN_NAMES = frozenset(
    ("localhost", "localhost4", "localhost6", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "loopback")
)
_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    )
)  # not `is_private`, which also has the ranges for documentation that samples of attacks use
_QUOTES = "\"'`<>(){} \t\r\n"

_PADDED = re.compile(r"0*(\d{1,3})\.0*(\d{1,3})\.0*(\d{1,3})\.0*(\d{1,3})")
_ADDRESS_NAME = re.compile(
    r"(?:ip|ec2)-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})"
    r"(?:\.ec2\.internal|\.[a-z0-9-]+\.compute\.internal|\.compute-1\.amazonaws\.com|\.[a-z0-9-]+\.compute\.amazonaws\.com)?"
)
"""Names that EC2 makes from addresses."""
_WITH_PORT = re.compile(r"([^:\s]+)[:#](\d{1,5})")
_MAC = re.compile(r"(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4})")
_INSTANCE = re.compile(r"(i-[0-9a-f]{8,17})(?:\.ec2\.internal|\.[a-z0-9-]+\.compute\.internal)?")
_RESOURCE = re.compile(
    r"(?:i|eni|vpc|subnet|sg|vol|ami|snap|igw|nat|vpce|rtb|acl|eipalloc|lt|asg)-[0-9a-f]{8,17}"
    r"|a[a-z]{3}[a-z2-7]{12,17}|\d{12}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""Ids of EC2, ids and keys of IAM (`AIDA…`, `AKIA…`), AWS accounts, and GUIDs."""
_IAM_KEY = re.compile(r"(?:akia|asia|aida|aroa|agpa|aipa|anpa|anva|asca)[a-z2-7]{12,17}")
_EMPTY_FILE = frozenset(
    (
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
        (
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
            "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
        ),
    )
)
"""Hashes of no bytes, which any file that was created and not yet written has."""


class _Readings(dict[str, Reading]):
    """Readings of texts, kept up to a limit: a hit costs one look-up and no call."""

    def __init__(self, read: Callable[[str], Reading]) -> None:
        """Read missing texts with a function."""
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> Reading:
        """Read a text."""
        if len(self) >= _CACHED:
            self.clear()
        found = self[text] = self._read(text)
        return found


def canonical(text: str) -> str:
    r"""Return the canonical form of a host, address or resource; empty if it identifies nobody.

    Accounts in a host's place are read as users: `CORP\alice`, `alice@example.com`, ARNs of users and roles.
    """
    return _HOSTS[text]


def canonical_user(text: str) -> str:
    r"""Return the canonical form of a user, `user:alice`; of a machine account (`WKS-31$`) that of the machine.

    `CORP\alice`, `alice@corp.example.com` and `Alice` are one user: products differ in how they write the domain far
    more often than one name is two people's in two domains. Generic accounts have the empty text.
    """
    return _USERS[text]


def canonical_hash(text: str) -> str:
    """Return the canonical form of a file's hash, `hash:9f86…`; empty for the hash of an empty file."""
    return _HASHES[text]


def entities_of(alert: Alert) -> tuple[str, ...]:
    """Return the canonical forms of an alert's source, target, hosts, users and hashes, each once."""
    attributes = alert.other_attributes
    found = {_HOSTS[alert.src]: None, _HOSTS[alert.dst]: None}
    if attributes:
        for key, forms in _BY_KEY:
            value = attributes.get(key)
            if value.__class__ is str:  # the usual case, without a call
                found[forms[value]] = None
            elif value:
                found.update(dict.fromkeys(map(forms.__getitem__, texts_of(attributes, key)[:MOST_OF_A_KIND])))
    found.pop("", None)
    return tuple(found)


def kind(entity: str) -> Kind:
    """Return the kind of an entity in canonical form."""
    return _KINDS[entity]


def is_address(entity: str) -> bool:
    """Return whether an entity in canonical form is an address."""
    return kind(entity) in ("inside", "outside")


def label(entity: str) -> str:
    """Return an entity for people: a user or hash without its kind."""
    return entity[len(_USER) :] if entity.startswith((_USER, _HASH)) else entity


def is_own(text: str) -> bool:
    """Return whether every machine calls itself so: localhost, a loopback address, or the unspecified one."""
    return _OWN[text]


def is_generic_user(text: str) -> bool:
    """Return whether an account identifies nobody beyond its host: root, SYSTEM, Administrator, `S-1-5-18`, `1000`."""
    return not canonical_user(text)


def short_name(host: str) -> str:
    """Return the first label of a host's full name, or the name if it is short."""
    return host.partition(".")[0]


def _read_layers(text: str) -> str:
    """Return the canonical form of a host, also where one form is wrapped in another: quotes in brackets."""
    found = text
    for _ in range(_MOST_LAYERS):
        inner = _read_host(found)
        if inner in ("", found) or inner.startswith((_USER, _HASH)):
            return inner
        found = inner
    return found


def _read_host(text: str) -> str:  # noqa: PLR0911 - one return for each form
    """Return the canonical form of what stands in a host's place."""
    if text.startswith((_USER, _HASH)):
        return text
    lower = text.strip(_QUOTES).lower()
    if lower in PLACEHOLDERS:
        return ""
    if lower.startswith("arn:"):
        return _read_arn(lower)
    if "," in lower:
        return _HOSTS[_first_of(lower)]
    if "/" in lower or lower.startswith("\\\\"):
        return _read_path(lower)
    if "\\" in lower or ("@" in lower and not lower.startswith("@")):
        return _USERS[lower]
    lower = _without_port(lower).rstrip(".")
    address = _address(lower)
    if address is not None:
        return _identifying(address)
    if _MAC.fullmatch(lower):
        digits = re.sub("[^0-9a-f]", "", lower)
        return "" if digits in ("0" * 12, "f" * 12) else ":".join(re.findall("..", digits))
    if found := _INSTANCE.fullmatch(lower):
        return found[1]
    return "" if _is_nobody(lower) else lower.removesuffix("$")


def _is_nobody(lower: str) -> bool:
    """Return whether a name says nothing about a machine."""
    return lower in PLACEHOLDERS or lower in _ANYBODY or _is_localhost(lower) or not any(map(str.isalnum, lower))


def _is_localhost(lower: str) -> bool:
    return lower in _OWN_NAMES or lower.endswith(".localhost")


def _first_of(lower: str) -> str:
    """Return the first of several hosts (`X-Forwarded-For`), or the name in a distinguished name."""
    found = DISTINGUISHED.fullmatch(lower)
    return found["name"] if found else lower.partition(",")[0]


def _read_path(lower: str) -> str:  # noqa: PLR0911 - one return for each form
    """Return the canonical form of a CIDR, URL, UNC path, Kerberos name or resource's path."""
    try:
        interface = ipaddress.ip_interface(lower)
    except ValueError:
        pass
    else:
        network = interface.network
        whole = network.prefixlen < network.max_prefixlen and interface.ip == network.network_address
        return "" if whole else _identifying(_address(str(interface.ip)) or interface.ip)
    if lower.startswith("\\\\"):
        return _HOSTS[lower.lstrip("\\").partition("\\")[0]]
    service, _, rest = lower.partition("/")
    if service in SERVICES:
        return _HOSTS[re.split("[/@]", rest)[0]]
    if "://" in lower or (lower.startswith("//") and "googleapis.com/" not in lower):
        try:
            return _HOSTS[urlsplit(lower).hostname or ""]
        except ValueError:
            return lower
    parts = [part for part in lower.split("/") if part]
    if not parts:
        return ""
    if lower.startswith("/") or len(parts) >= _LEAST_OF_PATH:
        return _HOSTS[parts[-1]]
    return _HOSTS[service] if "." in service or ":" in service or len(parts) == 1 else lower  # a URL without a scheme


def _read_arn(lower: str) -> str:  # noqa: PLR0911 - one return for each form
    """Return the canonical form of an ARN: an account's name, or the last part of a resource's."""
    parts = lower.split(":", 5)
    if len(parts) < 6:  # noqa: PLR2004 - arn:partition:service:region:account:resource
        return lower
    service, account, resource = parts[2], parts[4], parts[5]
    words = [word for word in re.split("[/:]", resource) if word]
    if not words:
        return lower
    if service in ("iam", "sts"):
        if words[0] == "root":
            return account
        if words[0] == "assumed-role" and len(words) > 2:  # noqa: PLR2004 - the role and the session
            return _session(words[-1], words[1])
        return _USERS[words[-1]] if words[0] in ("user", "role", "federated-user") else words[-1]
    if service == "s3":
        return words[0]
    if service == "lambda" and words[0] == "function" and len(words) > 1:
        return words[1]
    return _HOSTS[words[-1]]


def _session(session: str, role: str) -> str:
    """Return who assumed a role: the instance or the person that the session is named for, else the role."""
    if _INSTANCE.fullmatch(session):
        return session
    return _USERS[session if "@" in session else role]


def _read_user(text: str) -> str:
    """Return the canonical form of an account."""
    lower = text.strip(" \t\r\n\"'`").lower()
    if lower.startswith("arn:"):
        return _read_arn(lower)
    identity, _, session = lower.partition(":")
    if session and _IAM_KEY.fullmatch(identity):  # the principal of an assumed role: `AROA…:session`
        return _session(session, identity)
    name = account_name(lower)
    if name in PLACEHOLDERS or not any(map(str.isalnum, name)):
        return ""
    return _HOSTS[name[:-1]] if name.endswith("$") else _USER + name


def _read_hash(text: str) -> str:
    """Return the canonical form of a hash, with or without its algorithm."""
    lower = text.strip(" \t\r\n\"'`").lower()
    algorithm, separator, digest = lower.replace(":", "=").partition("=")
    if separator and re.fullmatch(r"(?:md5|sha-?\d{1,3}(?:[-_/]\d{3})?)", algorithm.strip()):
        lower = digest.strip()
    lower = lower.removeprefix("0x")
    if lower in PLACEHOLDERS or lower in _EMPTY_FILE or not lower.strip("0"):
        return ""
    return _HASH + lower


def _read_own(text: str) -> bool:
    """Return whether every machine calls itself so."""
    lower = text.strip().lower()
    if _is_localhost(lower):
        return True
    address = _address(_without_port(lower))
    return address is not None and (address.is_loopback or address.is_unspecified)


def _read_kind(entity: str) -> Kind:
    """Return the kind of an entity in canonical form."""
    if not entity:
        return ""
    if entity.startswith((_USER, _HASH)):
        return "user" if entity.startswith(_USER) else "hash"
    if entity[0].isdecimal() or ":" in entity:
        address = _address(entity)
        if address is not None:
            return "inside" if any(address in network for network in _INSIDE) else "outside"
    return "resource" if _RESOURCE.fullmatch(entity) or entity.startswith("arn:") else "name"


def _without_port(lower: str) -> str:
    """Return a host without a port, brackets and the zone of an IPv6 address."""
    if lower.startswith("["):
        lower = lower[1:].partition("]")[0]
    elif found := _WITH_PORT.fullmatch(lower):
        lower = found[1]
    return lower.partition("%")[0] if ":" in lower else lower


def _address(lower: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, IPv4 also where it is padded, mapped to IPv6, or within a name that EC2 made from it."""
    if ":" in lower:
        try:
            address = ipaddress.IPv6Address(lower)
        except ValueError:
            return None
        return address.ipv4_mapped or address
    found = _PADDED.fullmatch(lower) or _ADDRESS_NAME.fullmatch(lower)
    try:
        return ipaddress.IPv4Address(".".join(found.groups())) if found else None
    except ValueError:
        return None


def _identifying(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Return an address as text; empty if it identifies nobody, or only within one link."""
    nobody = address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
    return "" if nobody or str(address) == "255.255.255.255" else str(address)


_HOSTS, _USERS, _HASHES = _Readings(_read_layers), _Readings(_read_user), _Readings(_read_hash)
_KINDS, _OWN = _Readings(_read_kind), _Readings(_read_own)
_BY_KEY = ((HOST, _HOSTS), (USER, _USERS), (HASH, _HASHES))
