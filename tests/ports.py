"""A port on which a server can be started repeatedly."""

from __future__ import annotations

import os
import socket

#: Systems assign ports from 32768 (Linux) or 49152 on to programs that request any port.
_FIRST, _LAST = 20_000, 32_000


def port_to_reuse() -> int:
    """A free port on loopback that the system does not assign to another program meanwhile."""
    start = os.getpid() * 7 % (_LAST - _FIRST)
    for offset in range(_LAST - _FIRST):
        port = _FIRST + (start + offset) % (_LAST - _FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("all ports are taken")
