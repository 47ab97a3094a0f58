"""A port that a server can be started at again and again."""

from __future__ import annotations

import os
import socket

#: Systems give ports from 32768 (Linux) or 49152 on to whoever asks for any, so none of these.
_FIRST, _LAST = 20_000, 32_000


def port_to_reuse() -> int:
    """A free port on loopback that no other program is given by the system meanwhile."""
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
