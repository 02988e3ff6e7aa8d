"""Keep a process of the local cloud from reaching anything but the cloud.

On request, moto posts to the HTTP subscribers of a topic and to the endpoints of delivery streams and integrations, and
starts containers. Whoever may send to the local cloud would reach other ports of the machine, its network and Docker,
with the rights of the person who started it. An audit hook sees each of these ways, and cannot be removed.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

REFUSED = "the local cloud reaches nothing outside itself"
_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "127.0.0.2"})
_LOOK_UPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_SENDS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"})


def confine(reachable: Collection[tuple[str, int]]) -> None:
    """Refuse, from now on, to connect elsewhere, to ask for other names, and to start programs.

    Args:
        reachable: The hosts and ports that the process may connect to.
    """

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _SENDS:
            address = arguments[1]  # None where a socket is connected
            if address is not None and not (isinstance(address, tuple) and address[:2] in reachable):
                raise _refused(address)
        elif event in _LOOK_UPS:
            host = arguments[0].decode("latin-1") if isinstance(arguments[0], bytes) else arguments[0]
            if host not in _NAMES:
                raise _refused(host)
        elif event in _STARTS:
            raise _refused(arguments[0] if arguments else event)

    sys.addaudithook(check)


def _refused(target: object) -> OSError:
    return PermissionError(errno.EACCES, f"{REFUSED}: {target!r}")
