"""The pool of connections to one backend, and what replaces it."""

from __future__ import annotations

import os
import ssl
import sys
import weakref
from urllib.request import proxy_bypass

import httpx
import tellurio_api

from afnio_tellurio.api.http_client import HttpClient
from afnio_tellurio.forks import ForkStep, at_fork
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.settings.limits import CONNECT_TIMEOUT, CONTRACT_VERSION, READ_TIMEOUT
from afnio_tellurio.settings.urls import is_this_machine

_PROXY_VARIABLES = {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"}


class Pool:
    """Connections to one backend. Threads may share it.

    Attributes:
        http: The client that sends requests.
        api: The generated client, which sends them through it.
    """

    def __init__(
        self,
        url: str,
        auth: httpx.Auth,
        transport: httpx.BaseTransport | None,
        *,
        is_local: bool,
    ) -> None:
        """Opens the pool.

        Args:
            url: The URL of the backend.
            auth: Adds the API key to each request, and keeps it where no repr shows it.
            transport: The way to the backend; default the network.
            is_local: Whether it is the embedded backend.

        Raises:
            ValueError: A proxy or a certificate in the environment cannot be used.
        """
        self._url = url
        self._auth = auth
        self.transport = transport
        self._is_local = is_local
        # Earlier clients that other threads may be using.
        self._abandoned: list[HttpClient] = []
        self._is_closed = False
        self.open()
        _pools.add(self)

    def open(self) -> None:
        """Opens new connections; the former ones stay open."""
        try:
            self.http = self._make_client_for_environment()
        except ImportError as error:
            raise_foreign(error)
            raise ValueError(
                f"{' or '.join(proxy_variables())} is a SOCKS proxy; support it with: "
                "pip install 'httpx[socks]'"
            ) from None
        except (httpx.InvalidURL, ValueError) as error:
            raise_foreign(error)
            # Without the message of httpx, which may quote a part of a password.
            source = " or ".join(proxy_variables()) or "the system's proxy setting"
            raise ValueError(
                f"{source} is not a valid proxy; write it as http://HOST:PORT"
            ) from None
        except OSError as error:
            raise_foreign(error)
            # The message of OpenSSL does not name the file.
            raise ValueError(
                f"SSL_CERT_FILE is {os.environ.get('SSL_CERT_FILE')!r}, which cannot be read as "
                f"certificates: {error.strerror or error}; use a file in PEM format"
            ) from error
        self.api = tellurio_api.Client(base_url=self._url).set_httpx_client(self.http)

    def _make_client_for_environment(self) -> HttpClient:
        try:
            return self._make_client(uses_proxies=may_use_proxies(self._url))
        except ImportError as error:
            raise_foreign(error)
            # httpx prepares each proxy of the environment, also if it will not be used.
            if not proxy_bypass(httpx.URL(self._url).host):
                raise
            return self._make_client(uses_proxies=False)

    def _make_client(self, *, uses_proxies: bool) -> HttpClient:
        verify: bool | ssl.SSLContext = True
        if not uses_proxies:
            # Those of the environment, too. Plain HTTP needs none, and reading them takes 40 ms.
            is_plain = self._url.startswith("http:")
            verify = (
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else httpx.create_ssl_context()
            )
        return HttpClient(
            identified=not self._is_local,
            headers={"User-Agent": user_agent()},
            base_url=self._url,
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            transport=self.transport,
            trust_env=uses_proxies,
            verify=verify,
            auth=self._auth,
        )

    def leave_inherited(self) -> None:
        """In a forked child: opens connections of its own; the parent goes on with the old ones."""
        # Not closed: a thread that does not exist in the child may hold the lock of the client.
        self._inherited = self.http
        self._open_again()

    def replace(self) -> None:
        """Opens new connections: an exception may have left a lock locked for good."""
        self._abandoned.append(self.http)
        self._open_again()
        self._abandoned = [client for client in self._abandoned if not client.abandon()]

    def _open_again(self) -> None:
        self.open()
        if self._is_closed:
            self.http.close()

    def close(self) -> None:
        """Closes the connections."""
        self._is_closed = True
        self.http.close()
        for client in self._abandoned:
            client.end()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _leave_inherited_pools() -> None:
    for pool in list(_pools):
        pool.leave_inherited()


at_fork(ForkStep.CONNECTIONS, in_child=_leave_inherited_pools)


def user_agent() -> str:
    """What requests tell about their sender: the versions of the SDK, the contract, and Python."""
    import afnio_tellurio

    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"afnio-tellurio/{afnio_tellurio.__version__} contract/{CONTRACT_VERSION} python/{python}"
    )


def may_use_proxies(url: str) -> bool:
    """Whether requests to a backend go through the proxies of the environment."""
    # A proxy could read the API key in plain HTTP to this machine.
    return not url.startswith("http:") or not is_this_machine(httpx.URL(url).host)


def proxy_variables() -> list[str]:
    """The variables that are set and select or bypass a proxy of httpx."""
    return [name for name in os.environ if name.upper() in _PROXY_VARIABLES and os.environ[name]]
