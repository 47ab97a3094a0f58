"""The client: a backend that programs open, sign in to, read and log through."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import httpx

from afnio_tellurio.api import auth, operations
from afnio_tellurio.api.connection import Connection
from afnio_tellurio.api.retries import RequestOptions, make_options
from afnio_tellurio.clock import monotonic
from afnio_tellurio.delivery.senders import outboxes, resume, settle_all, wait_visibly
from afnio_tellurio.delivery.settling import recover_local
from afnio_tellurio.errors import ApiError, InvalidAPIKeyError, PermissionDeniedError, refused_key
from afnio_tellurio.notices import warn_of_settings
from afnio_tellurio.served import page_url
from afnio_tellurio.settings.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import tellurio_api
    from tellurio_api.types import Response

    from afnio_tellurio.backend import Backend

#: The platform's page where API keys are created.
_KEYS_PAGE = "/settings/api-keys"

P = ParamSpec("P")
A = TypeVar("A")


class TellurioClient:
    """A client of one backend, with a pool of connections to it.

    Threads may share it. Requests have timeouts: 5 s to connect, 30 s between two bytes, 60 s in
    all. One that a backend may carry out twice is sent again after a failure that passes: a broken
    connection, a timeout, or a status 429, 502, 503, or 504. Logged metrics are delivered in the
    background with retries of their own, whatever is passed here.

    Args:
        base_url: Scheme and host of the backend; default `TELLURIO_BACKEND_HTTP_BASE_URL`, else
            `https://platform.tellurio.ai`.
        port: The port; default `TELLURIO_BACKEND_HTTP_PORT` if `base_url` is not passed, else the
            one in the URL, else the scheme's own.
        timeout: Seconds for one call with its retries; default the limits of each request.
        max_retries: How often a request is sent again; 0 for never.
        headers: Headers for each request.

    Raises:
        TypeError: A header is not a string.
        ValueError: The timeout or the number of retries is negative, a header, the URL or the port
            is invalid, the URL is plain HTTP to another machine and `TELLURIO_ALLOW_PLAIN_HTTP` is
            not set, or another setting is invalid.
    """

    def __init__(
        self,
        base_url: str | None = None,
        port: int | str | None = None,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        options = make_options(RequestOptions(), timeout, max_retries, headers)
        settings = read_settings(base_url, port)
        warn_of_settings(settings)
        self._backend: Backend | None = None
        self._origin: TellurioClient | None = None
        self._connection = Connection(settings, options=options)

    @classmethod
    def local(cls, path: str | Path | None = None, *, recover: bool = True) -> Self:
        """Opens the embedded backend: SQLite, in this process, without account or network.

        Metrics that dead processes logged to it are delivered first. A database that this user can
        only read, such as an archived or another user's one, can be read.

        Args:
            path: The database file, created if it does not exist; default `tellurio.db` in
                `TELLURIO_HOME`.
            recover: Whether to deliver the metrics of dead processes.

        Raises:
            DatabaseError: The file cannot be used as the embedded backend's database.
        """
        settings = read_settings()
        client = cls.__new__(cls)
        client._open(  # noqa: SLF001 - it is an instance of this class
            settings, path if path is not None else settings.database
        )
        if recover and client._backend is not None and not client._backend.is_read_only:  # noqa: SLF001
            recover_local(connection_of(client))
        return client

    def _open(self, settings: Settings, path: str | Path, *, create: bool = True) -> None:
        from afnio_tellurio.backend import open_backend

        self._origin = None
        self._backend = open_backend(Path(path), create=create)
        self._connection = Connection(
            settings,
            database=self._backend.path,
            transport=httpx.WSGITransport(app=self._backend),
        )
        self._connection.adopt_blobs = self._backend.adopt_blobs

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        """The backend's URL."""
        return self._connection.url

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._connection.is_closed

    @property
    def is_local(self) -> bool:
        """Whether it is the embedded backend, in this process."""
        return self._connection.is_local

    def web_address(
        self, namespace_slug: str, project_slug: str, run_uuid: str, run_name: str
    ) -> str | None:
        """The address of a run's page for a browser, or `None` if it has no page.

        The platform's pages have the slug of the run's name in their address. The page of
        `afnio-tellurio serve` uses the UUID, which every run has.

        Args:
            namespace_slug: The run's namespace.
            project_slug: Its project.
            run_uuid: Its UUID.
            run_name: Its name.
        """
        base, run = self.url, run_uuid
        if self._connection.database is not None:
            served_at = page_url(self._connection.database)
            if served_at is None:
                return None
            base = served_at
        elif not self._connection.serves_page:
            from slugify import slugify

            run = slugify(run_name) or run_uuid
        return f"{base}/{namespace_slug}/projects/{project_slug}/runs/{run}/"

    @property
    def api(self) -> tellurio_api.Client:
        """The generated client of this backend, for an operation of `tellurio_api.api`.

        All forms of an operation, `asyncio` too, and clients made from this one by `with_headers`
        or `with_timeout`, use the key, connections and timeouts of this client. They raise an
        `ApiError` for an error status, `BackendUnreachableError`, and `InvalidResponseError`.
        """
        return self._connection.public_api

    def with_options(
        self,
        *,
        timeout: float | None = None,
        max_retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> TellurioClient:
        """Returns a client that shares the connections and the key, and sends requests otherwise.

        For one call: `te.get_run("acme", "digits", "r", client.with_options(timeout=5))`. It is
        closed together with this client.

        Args:
            timeout: Seconds for one call with its retries; default that of this client.
            max_retries: How often a request is sent again; default that of this client.
            headers: Headers for each request, beside those of this client.

        Raises:
            TypeError: An option has the wrong type, or a header is not a string.
            ValueError: The timeout or the number of retries is out of range, or a header is
                invalid.
        """
        options = make_options(self._connection.options, timeout, max_retries, headers)
        other = TellurioClient.__new__(TellurioClient)
        other._share(self, options)  # noqa: SLF001 - it is an instance of this class
        return other

    def _share(self, origin: TellurioClient, options: RequestOptions) -> None:
        self._backend = None
        self._origin = origin
        self._connection = connection_of(origin).with_options(options)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> Any:
        raise TypeError(f"{self!r} cannot be pickled; make one in the other process")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __del__(self, *, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # Python warns of the open sockets of a forgotten client. While the interpreter ends, what
        # closing needs may be gone already, `sys` too, and the system closes them.
        if not _is_finalizing() and hasattr(self, "_connection") and self._origin is None:
            self.close()

    def close(self) -> None:
        """Delivers the logged metrics, then closes the connections; the client is unusable then.

        Metrics that cannot be delivered within `TELLURIO_EXIT_TIMEOUT` stay on the disk for
        `afnio-tellurio sync`.
        """
        if self._origin is not None:
            self._origin.close()
            return
        deadline = monotonic() + self._connection.settings.exit_timeout
        for outbox in outboxes(self._connection):
            wait_visibly(outbox, deadline)
        self._connection.close()
        if self._backend is not None:
            self._backend.close()

    def login(self, api_key: str | None = None, relogin: bool = False) -> dict[str, str]:
        """Signs in: finds the API key, has the backend verify it, and uses it from now on.

        Args:
            api_key: The key; default `TELLURIO_API_KEY` if the settings name this backend, else
                the key that an earlier login stored for it. A key passed here is stored in the
                system keyring if it can be used, else in the credentials file.
            relogin: Whether to ignore a stored key.

        Returns:
            `{"email": ..., "username": ...}` of the key's owner.

        Raises:
            TypeError: The key is not a string.
            ValueError: No key was found, or it contains invalid characters.
            InvalidAPIKeyError: The backend refuses the key; it is neither stored nor used.
            CredentialsError: Others can read the credentials file, or it is damaged.
            TellurioError: Any other error of a request.
        """
        if self.is_local:
            return operations.verify_api_key(self._connection)
        settings = self._connection.settings
        credential = auth.choose_credential(settings, api_key, relogin=relogin)
        if credential is None:
            # The first sentence is that of `afnio.tellurio`, which programs may look for.
            raise ValueError(
                f"API key is required for {'re-login' if relogin else 'the first login'}. Pass "
                f"api_key, {'set TELLURIO_API_KEY, ' if settings.is_named else ''}"
                f"or sign in to {self.url} with: {settings.sign_in_command}"
            )
        # Through another connection: metrics on their way meanwhile use the old key, which may be
        # good.
        probe = Connection(settings)
        try:
            probe.key.value = credential.key
            owner = operations.verify_api_key(probe)
        except (InvalidAPIKeyError, PermissionDeniedError) as error:
            raise refused_key(error, relogin=relogin, sign_in=probe.sign_in_advice) from None
        finally:
            probe.close()
        self._use_key(credential.key)
        if credential.source == "argument":
            auth.store_key(settings, credential.key, owner["username"])
        return owner

    def _use_key(self, api_key: str) -> None:
        """Switches to this key and retries what the old one could not deliver."""
        self._connection.key.value = api_key
        resume(self._connection.origin)

    # Requests that the SDK does not wrap

    def get(self, endpoint: str, json: Any = None) -> httpx.Response:
        """Sends a GET request and returns the answer unchanged, also with an error status.

        Args:
            endpoint: The path, such as `/api/v0/verify-api-key/`.
            json: The request body, if any.

        Raises:
            ValueError: The endpoint does not start with a slash.
            BackendUnreachableError: The backend could not be reached.
            DeliveryError: Metrics logged before to the run that the endpoint names could not be
                delivered, so they cannot be read.
        """
        return self._send("GET", endpoint, json)

    def post(self, endpoint: str, json: Any = None) -> httpx.Response:
        """Sends a POST request; see `get`."""
        return self._send("POST", endpoint, json)

    def patch(self, endpoint: str, json: Any = None) -> httpx.Response:
        """Sends a PATCH request; see `get`."""
        return self._send("PATCH", endpoint, json)

    def delete(self, endpoint: str, json: Any = None) -> httpx.Response:
        """Sends a DELETE request; see `get`."""
        return self._send("DELETE", endpoint, json)

    def _send(self, method: str, endpoint: str, json: Any) -> httpx.Response:
        if not endpoint.startswith("/"):
            raise ValueError(f"endpoint is {endpoint!r}; pass a path that starts with a slash")
        self._connection.key.find()
        settle_all(self._connection, f"{method} {endpoint}")
        return self._connection.send(method, endpoint, json)

    def call(
        self,
        answer: type[A],
        operation: Callable[P, Response[Any]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> A:
        """Runs one operation of the generated client, with the errors of the SDK.

        Args:
            answer: The type of a successful answer.
            operation: A `sync_detailed` of `tellurio_api.api`.
            args: Positional arguments of the operation: the generated ones have none.
            kwargs: Its keyword arguments, among them `client=client.api`.

        Raises:
            ApiError: The backend answered with an error status.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The answer is invalid.
        """
        return self._connection.call(answer, operation, *args, **kwargs)


TellurioClient.__module__ = "afnio_tellurio"


def connection_of(client: TellurioClient) -> Connection:
    """The connection of a client.

    Raises:
        TypeError: It is not a client.
    """
    if not isinstance(client, TellurioClient):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"client is {client!r}; it must be a TellurioClient")
    return client._connection  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def ask_for_key(client: TellurioClient) -> str | None:
    """Asks for a key of a backend at the terminal or in the notebook, without showing it.

    Returns:
        The key, or `None` if nobody can answer.

    Raises:
        ValueError: The input is not a valid key.
        EOFError: The user pressed Ctrl-D.
        BackendUnreachableError: The backend does not answer; then no key is asked for.
    """
    return auth.ask_for_key(client.url, _place_of_keys(client)) if auth.can_ask() else None


def _place_of_keys(client: TellurioClient) -> str:
    """Returns where a person finds a key: the platform has a page for it, and `serve` prints it."""
    probe = Connection(connection_of(client).settings)
    # Sends no key.
    probe.key.value = ""
    try:
        with suppress(ApiError):
            operations.verify_api_key(probe)
    finally:
        probe.close()
    if probe.serves_page:
        return "printed by `afnio-tellurio serve`, or chosen with its --api-key"
    return f"from {client.url}{_KEYS_PAGE}"


def open_database(settings: Settings, path: Path, *, create: bool = True) -> TellurioClient:
    """Opens the embedded backend, without recovery.

    Args:
        settings: The settings.
        path: The database file.
        create: Whether to create the file if it does not exist.

    Raises:
        DatabaseError: The file does not exist, or cannot be used.
    """
    client = TellurioClient.__new__(TellurioClient)
    client._open(settings, path, create=create)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return client


def use_key_of(client: TellurioClient, other: TellurioClient) -> None:
    """Switches a client to the key that another client of the same backend signed in with."""
    key = connection_of(other).key.value
    if key is not None:
        client._use_key(key)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
