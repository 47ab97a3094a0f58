"""The URL of a backend."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

DEFAULT_BASE_URL = "https://platform.tellurio.ai"

#: Characters of one label of a host name.
_MAX_LABEL = 63
_INVALID_IN_HOSTS = set(' <>"\\^`{|}%')


def backend_url(source: str, base_url: Any, port: tuple[str, Any] | None) -> str:
    """The URL of a backend: scheme, host and, unless it is the scheme's own, port.

    Args:
        source: Where the URL was set, for the error message.
        base_url: The URL as it was set.
        port: Where the port was set, and its value; default: the URL's own.

    Raises:
        ValueError: The URL or the port is invalid; the message says where it was set.
    """
    try:
        # Spaces around it come from copying.
        parts = urlsplit(str(base_url).strip())
        own_port = parts.port
    except ValueError as error:
        raise ValueError(f"{source} is {base_url!r}: {error}") from None
    if parts.scheme not in {"http", "https"} or not _is_host(parts.hostname or ""):
        raise ValueError(
            f"{source} is {base_url!r}; it must be a scheme and a host, such as {DEFAULT_BASE_URL}"
        )
    if parts.username or parts.password or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            f"{source} contains more than scheme, host and port; remove the rest of the URL"
        )
    number = own_port if port is None else _parse_port(*port)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    if number is None or number == {"http": 80, "https": 443}[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{number}"


def is_this_machine(host: str) -> bool:
    """Whether the host of a URL is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_host(name: str) -> bool:
    """Whether a name can be a host, as far as its characters show."""
    labels = name.removesuffix(".").split(".")
    has_labels = all(0 < len(label) <= _MAX_LABEL for label in labels)
    return has_labels and name.isprintable() and not set(name) & _INVALID_IN_HOSTS


def _parse_port(source: str, value: Any) -> int:
    try:
        # Through a string: `int` accepts True and 8642.7.
        number = int(str(value))
    except ValueError:
        number = 0
    if not 0 < number < 2**16:
        raise ValueError(
            f"the backend's port is {value!r} ({source}); it must be a number from 1 to 65535"
        )
    return number
