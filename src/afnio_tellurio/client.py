"""One connection pool to one backend, and every request the SDK makes of it."""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import threading
import time
import uuid
import weakref
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import httpx
import msgspec
import tellurio_api
from tellurio_api import models
from tellurio_api.api.auth import verify_api_key
from tellurio_api.api.metrics import (
    list_metrics,
    list_project_metrics,
    log_metric,
    log_metric_batch,
    sample_metric,
    sample_project_metrics,
    summarize_metrics,
    summarize_project_metrics,
)
from tellurio_api.api.projects import create_project, get_project
from tellurio_api.api.runs import create_run, delete_run, get_run, list_runs, update_run
from tellurio_api.types import UNSET, Response

from afnio_tellurio import auth
from afnio_tellurio.delivery.sender import sender, wait_visibly
from afnio_tellurio.errors import (
    ApiError,
    BackendUnreachableError,
    ConflictError,
    InvalidResponseError,
    NotFoundError,
    TellurioError,
    api_error,
    forget_key,
)
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import tell, warn_of_settings
from afnio_tellurio.served import page_url
from afnio_tellurio.settings import (
    CONNECT_ATTEMPTS,
    CONNECT_RETRY_DELAY,
    CONNECT_TIMEOUT,
    DEFAULT_BASE_URL,
    METRICS_PAGE,
    PAGE_HEADER,
    READ_TIMEOUT,
    RUNS_PAGE,
    Mode,
    Settings,
    configured_timeout,
    is_named_backend,
    is_this_machine,
    read_settings,
    sign_in_command,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from afnio_tellurio.local import Backend

P = ParamSpec("P")
A = TypeVar("A")

#: The address of the embedded backend in an error message; no name is looked up for it.
_LOCAL_URL = "http://embedded"
# Spelt out for type checkers: the items are what the operation's generated parser makes.
_ANY_LIST: type[list[Any]] = list
_encode = msgspec.json.Encoder().encode
#: Marks a request of which the program wants the answer as it is.
_RAW = {"raw": True}
#: A backend without an operation answers so.
_LACKING = {404, 405}
_FIRST_REDIRECT_STATUS = 300
_PROXY_VARIABLES = {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"}


class TellurioClient:
    """One connection pool to one backend.

    Threads may share it. Requests have timeouts: 5 s to connect, 30 s between two bytes.

    Args:
        base_url: Scheme and host of the backend; default `TELLURIO_BACKEND_HTTP_BASE_URL`, else
            `https://platform.tellurio.ai`.
        port: The port; default `TELLURIO_BACKEND_HTTP_PORT` where `base_url` is not given, else the
            one in the URL, else the scheme's own.

    Raises:
        ValueError: The URL or the port is none, the URL is plain HTTP to another machine and
            `TELLURIO_ALLOW_PLAIN_HTTP` is not set, or another setting is not allowed.
    """

    def __init__(self, base_url: str | None = None, port: int | str | None = None) -> None:
        self._backend: Backend | None = None
        settings = read_settings(base_url, port)
        warn_of_settings(settings)
        _require_encryption(settings)
        self._connect(settings.url, transport=None)

    @classmethod
    def local(cls, path: str | Path | None = None, *, recover: bool = True) -> Self:
        """Opens the embedded backend: SQLite, in this process, no account and no network.

        What processes that died had logged to it is delivered first.

        Args:
            path: The database file, made where it does not exist; default `tellurio.db` in
                `TELLURIO_HOME`.
            recover: Whether to deliver what dead processes had logged.

        Raises:
            DatabaseError: The file cannot be used as the embedded backend's database.
        """
        client = cls._of_database(path if path is not None else read_settings().database)
        if recover:
            from afnio_tellurio.delivery.recovery import recover_local

            recover_local(client)
        return client

    @classmethod
    def of_existing_database(cls, path: str | Path) -> Self:
        """Opens the embedded backend on a database file that exists; recovers nothing.

        Args:
            path: The database file.

        Raises:
            DatabaseError: The file does not exist, or cannot be used.
        """
        return cls._of_database(path, create=False)

    @classmethod
    def _of_database(cls, path: str | Path, *, create: bool = True) -> Self:
        from pathlib import Path

        from afnio_tellurio.local import open_backend

        client = cls.__new__(cls)
        client._backend = open_backend(Path(path), create=create)  # noqa: SLF001 - it is one of ours
        client._connect(  # noqa: SLF001 - it is one of ours
            _LOCAL_URL,
            transport=httpx.WSGITransport(app=client._backend),  # noqa: SLF001
        )
        return client

    def _connect(self, url: str, transport: httpx.BaseTransport | None) -> None:
        self._url = url
        self._transport = transport
        self._key = _ApiKey(url, is_needed=transport is None)
        self._open_pool()
        _clients.add(self)

    def _open_pool(self) -> None:
        try:
            self._http = _HttpClient(
                base_url=self._url,
                timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
                transport=self._transport,
                mounts=_without_proxy(self._url),
                # The key is added to each request, and kept where no repr shows it.
                auth=self._key,
                event_hooks={"response": [_refuse_error_status]},
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise_foreign(error)
            # Without what httpx says, which may quote a part of a password.
            source = " or ".join(_proxy_variables()) or "what the system says of proxies"
            raise ValueError(f"{source} names no proxy; write it as http://HOST:PORT") from None
        except OSError as error:
            raise_foreign(error)
            # What OpenSSL says does not name the file.
            raise ValueError(
                f"SSL_CERT_FILE is {os.environ.get('SSL_CERT_FILE')!r}, and holds no certificates "
                f"that can be read: {error.strerror or error}; name a file in PEM format"
            ) from error
        self._api = tellurio_api.Client(base_url=self._url).set_httpx_client(self._http)

    def leave_inherited_pool(self) -> None:
        """In a forked child: opens connections of its own, for its parent goes on with these."""
        # Kept rather than closed: a thread that the child has not may hold the pool's lock.
        self._inherited_pool = self._http
        self._open_pool()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    @property
    def url(self) -> str:
        """Where the backend is."""
        return self._url

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._http.is_closed

    @property
    def is_local(self) -> bool:
        """Whether it is the embedded backend, in this process."""
        return self._backend is not None

    def web_address(
        self, namespace_slug: str, project_slug: str, run_uuid: str, run_name: str
    ) -> str | None:
        """Where people look at a run in a browser, or `None` where there is no such place.

        The platform's pages have the slug of the run's name in their address. The page that
        `afnio-tellurio serve` shows takes the UUID, which every run has.

        Args:
            namespace_slug: The run's namespace.
            project_slug: Its project.
            run_uuid: Its UUID.
            run_name: Its name.
        """
        if self._backend is None:
            from slugify import slugify

            where, run = self._url, run_uuid
            if not self._http.serves_page:
                run = slugify(run_name) or run_uuid
        else:
            found = page_url(self._backend.path)
            if found is None:
                return None
            where, run = found, run_uuid
        return f"{where}/{namespace_slug}/projects/{project_slug}/runs/{run}/"

    @property
    def address(self) -> str:
        """Where the backend is: its URL, or its database's path."""
        return self._url if self._backend is None else str(self._backend.path.resolve())

    @property
    def name_in_journals(self) -> str:
        """What the files in `TELLURIO_HOME` name the backend by: its URL, or its database's path.

        That of a database in there is relative to it: the folder may be moved, or mounted
        elsewhere.
        """
        home = read_settings().home.resolve()
        if self._backend is None or not self._backend.path.resolve().is_relative_to(home):
            return self.address
        return self._backend.path.resolve().relative_to(home).as_posix()

    @property
    def api(self) -> tellurio_api.Client:
        """The generated client of this backend, for an operation of `tellurio_api.api`."""
        return self._api

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A client that is forgotten must not leave its sockets to be complained of. When the
        # interpreter ends, what closing needs may be gone already, and the system closes them.
        if not sys.is_finalizing() and hasattr(self, "_http"):
            self.close()

    def close(self) -> None:
        """Delivers what was logged, then closes the connections; the client has no use afterwards.

        What cannot be delivered within `TELLURIO_EXIT_TIMEOUT` stays on the disk for
        `afnio-tellurio sync`.
        """
        deadline = time.monotonic() + configured_timeout()
        for outbox in sender.outboxes(self):
            wait_visibly(outbox, deadline)
        self._http.close()
        if self._backend is not None:
            self._backend.close()

    # Signing in

    def login(self, api_key: str | None = None, relogin: bool = False) -> dict[str, str]:
        """Signs in: finds the API key, has the backend verify it, and uses it from now on.

        Args:
            api_key: The key; default `TELLURIO_API_KEY` where the settings name this backend, else
                the one that an earlier login stored for it. A key given here is stored in the
                system keyring where there is a usable one, else in the credentials file.
            relogin: Do not use a stored key.

        Returns:
            `{"email": ..., "username": ...}` of the key's owner.

        Raises:
            TypeError: The key is no string.
            ValueError: There is no key, or it holds what no key does.
            InvalidAPIKeyError: The backend refuses the key; it is not stored, and not used.
            CredentialsError: Others can read the credentials file, or it is damaged.
            ApiError: The backend answered with another error.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The backend's answer makes no sense.
        """
        if self._backend is not None:
            return self._owner()
        settings = read_settings(self._url)
        chosen = auth.chosen_credential(self._url, settings, api_key, relogin=relogin)
        if chosen is None:
            raise ValueError(
                f"API key is required for {'a new' if relogin else 'the first'} login "
                f"to {self._url}; give api_key, "
                f"{'set TELLURIO_API_KEY, ' if is_named_backend(self._url) else ''}"
                f"or sign in with: {sign_in_command(self._url)}"
            )
        # With a client of its own: metrics that are on their way meanwhile go with the old key,
        # which is not known to be bad.
        with TellurioClient(self._url) as probe:
            probe._key.word = chosen.key
            owner = probe._owner()
        self._use_key(chosen.key)
        if chosen.source == "argument":
            auth.store_key(self._url, chosen.key, settings)
        return owner

    def go_on_as(self, other: TellurioClient) -> None:
        """Uses the key that another client of the same backend signed in with."""
        if other._key.word is not None:
            self._use_key(other._key.word)

    def _use_key(self, api_key: str) -> None:
        """Goes on with this key, also with what an earlier one could not deliver."""
        self._key.word = api_key
        sender.resume(self)

    def _owner(self) -> dict[str, str]:
        owner = self.call(models.ApiKeyOwner, verify_api_key.sync_detailed, client=self._api)
        return {"email": str(owner.email), "username": str(owner.username)}

    # Whatever the SDK does not wrap

    def get(self, endpoint: str, json: Any = None) -> httpx.Response:
        """Sends a GET request and returns the answer as it is, whatever its status.

        Args:
            endpoint: The path, such as `/api/v0/verify-api-key/`.
            json: The request body, if any.

        Raises:
            ValueError: The endpoint does not start with a slash.
            BackendUnreachableError: The backend could not be reached.
            DeliveryError: What was logged before could not be delivered, so it cannot be read.
        """
        return self._raw("GET", endpoint, json)

    def post(self, endpoint: str, json: Any = None) -> httpx.Response:
        """Sends a POST request; see `get`."""
        return self._raw("POST", endpoint, json)

    def patch(self, endpoint: str, json: Any = None) -> httpx.Response:
        """Sends a PATCH request; see `get`."""
        return self._raw("PATCH", endpoint, json)

    def delete(self, endpoint: str, json: Any = None) -> httpx.Response:
        """Sends a DELETE request; see `get`."""
        return self._raw("DELETE", endpoint, json)

    def _raw(self, method: str, endpoint: str, json: Any) -> httpx.Response:
        if not endpoint.startswith("/"):
            raise ValueError(f"endpoint is {endpoint!r}; give a path that starts with a slash")
        self._key.find()
        self.settle(f"{method} {endpoint}")
        return self._reach(
            f"{method} {endpoint}",
            lambda: self._http.request(method, endpoint, json=json, extensions=_RAW),
        )

    def settle(self, call: str, run_uuid: str | None = None) -> None:
        """Waits until what was logged can be read: of one run, or of all.

        Raises:
            DeliveryError: It cannot be delivered, in the time of `TELLURIO_EXIT_TIMEOUT`.
        """
        for outbox in sender.outboxes():
            client = outbox.transfer.client
            is_meant = run_uuid in {None, outbox.journal.header.run_uuid}
            if is_meant and client.address == self.address and not client.is_closed:
                outbox.require(call, configured_timeout())

    # Operations of the contract

    def call(
        self,
        answer: type[A],
        operation: Callable[P, Response[Any]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> A:
        """Runs one operation of the generated client; the one funnel of errors.

        Args:
            answer: The type that a success has.
            operation: A `sync_detailed` of `tellurio_api.api`.
            args: What the operation takes by position: nothing of the generated ones does.
            kwargs: What the operation takes by name; among it `client=client.api`.

        Raises:
            ApiError: The backend answered with an error status.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The backend's answer makes no sense.
        """
        parsed, _headers = self._exchange(answer, operation, *args, **kwargs)
        return parsed

    def _exchange(
        self,
        answer: type[A],
        operation: Callable[P, Response[Any]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[A, httpx.Headers]:
        return self._answered(
            answer, _operation_id(operation), lambda: operation(*args, **kwargs), kwargs
        )

    def _answered(
        self,
        answer: type[A],
        name: str,
        request: Callable[[], Response[Any]],
        about: Mapping[str, Any],
    ) -> tuple[A, httpx.Headers]:
        identifiers = {
            key: str(value) for key, value in about.items() if key.endswith(("_slug", "_uuid"))
        }
        # Not with the request: what is wrong with a key is not the backend's answer.
        self._key.find()
        try:
            response = self._reach(name, request)
        except _ErrorStatusError as error:
            raise api_error(error.response, operation=name, identifiers=identifiers) from None
        except BackendUnreachableError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise_foreign(error)
            # What the generated parsers raise at an answer that is not as the contract has it.
            what = (
                f"lacks the field {error}"
                if isinstance(error, KeyError)
                else f"makes no sense: {error}"
            )
            raise InvalidResponseError(
                f"{name}: the answer of {self._url} {what}", operation=name
            ) from error
        if not isinstance(response.parsed, answer):
            raise InvalidResponseError(
                f"{name}: {self._url} answered with status {response.status_code:d} and "
                f"{response.content[:100]!r}, which the contract does not know",
                operation=name,
            )
        return response.parsed, httpx.Headers(response.headers)

    def _reach(self, what: str, request: Callable[[], A]) -> A:
        if self.is_closed:
            raise TellurioError(f"{what}: the client of {self._url} is closed; make a new one")
        for attempt in range(CONNECT_ATTEMPTS):
            try:
                return request()
            except httpx.DecodingError as error:
                raise_foreign(error)
                forget_key(error)
                raise InvalidResponseError(
                    f"{what}: the answer of {self._url} makes no sense: {error}", operation=what
                ) from error
            except httpx.RequestError as error:
                raise_foreign(error)
                forget_key(error)
                # Refused at once: nothing was sent, and the backend may be starting.
                if isinstance(error, httpx.ConnectError) and attempt + 1 < CONNECT_ATTEMPTS:
                    time.sleep(CONNECT_RETRY_DELAY * 2**attempt)
                    continue
                reason = str(error) or type(error).__name__
                suspects = ["the network", *_proxy_variables()]
                remedy = f"check {', '.join(suspects)} and TELLURIO_BACKEND_HTTP_BASE_URL"
                if "CERTIFICATE_VERIFY_FAILED" in reason:
                    remedy = "name the authority's certificate with SSL_CERT_FILE"
                raise BackendUnreachableError(
                    f"{what}: the backend at {self._url} cannot be reached: {reason}; {remedy}"
                ) from error
        raise AssertionError("the last attempt returns or raises")

    def create_run(
        self,
        namespace_slug: str,
        project_slug: str,
        *,
        name: str | None,
        description: str | None,
        status: str,
        idempotency_key: str,
        run_uuid: str | None = None,
    ) -> models.Run:
        """Creates a run; a backend without the extension ignores a UUID that is given."""
        body = models.RunCreate(
            uuid=UNSET if run_uuid is None else uuid.UUID(run_uuid),
            name=UNSET if name is None else name,
            description=UNSET if description is None else description,
            status=models.RunStatus(status),
        )
        return self.call(
            models.Run,
            create_run.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            client=self._api,
            body=body,
            idempotency_key=idempotency_key,
        )

    def restore_run(
        self, namespace_slug: str, project_slug: str, run_uuid: str, *, name: str
    ) -> None:
        """Creates a run that the backend lost, with its UUID, and its project where that is gone.

        Any number of processes may do so at once: the run is created once.

        Args:
            namespace_slug: The slug of the namespace that owns the project.
            project_slug: The project's slug.
            run_uuid: The UUID of the run.
            name: Its name; it gets a number where another run has taken the name.

        Raises:
            ConflictError: The run was deleted on purpose, or belongs to another project.
            NotFoundError: The namespace does not exist.
            ApiError: The backend answered with another error.
            BackendUnreachableError: The backend could not be reached.
            InvalidResponseError: The backend's answer makes no sense, or it has created a run with
                another UUID.
        """
        path = {"namespace_slug": namespace_slug, "project_slug": project_slug}
        try:
            self.call(models.Project, get_project.sync_detailed, client=self._api, **path)
        except NotFoundError:
            # A conflict: another process has created it meanwhile.
            with suppress(ConflictError):
                self.call(
                    models.Project,
                    create_project.sync_detailed,
                    namespace_slug=namespace_slug,
                    client=self._api,
                    body=models.ProjectCreate(
                        display_name=project_slug, visibility=models.Visibility.RESTRICTED
                    ),
                )
        run = self.create_run(
            namespace_slug,
            project_slug,
            name=name,
            description=None,
            status=models.RunStatus.RUNNING.value,
            # So that a backend that ignores the UUID creates one run at most, however often asked.
            idempotency_key=str(uuid.uuid5(uuid.UUID(run_uuid), "restore")),
            run_uuid=run_uuid,
        )
        if str(run.uuid) != run_uuid.lower():
            raise InvalidResponseError(
                f"createRun: {self._url} was asked to create the run {run_uuid} and created "
                f"{run.uuid}",
                operation="createRun",
            )

    def update_run(
        self,
        namespace_slug: str,
        project_slug: str,
        run_uuid: str,
        *,
        status: str | None = None,
        name: str | None = None,
        description: str | None = None,
    ) -> models.Run:
        """Changes what is given of a run."""
        return self.call(
            models.Run,
            update_run.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            run_uuid=uuid.UUID(run_uuid),
            client=self._api,
            body=models.RunUpdate(
                status=UNSET if status is None else models.RunStatus(status),
                name=UNSET if name is None else name,
                description=UNSET if description is None else description,
            ),
        )

    def delete_run(self, namespace_slug: str, project_slug: str, run_uuid: str) -> None:
        """Deletes a run and its metrics."""
        # What is on its way to it would find it gone, and be reported.
        self.settle("deleteRun", run_uuid)
        self.call(
            type(None),
            delete_run.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            run_uuid=uuid.UUID(run_uuid),
            client=self._api,
        )

    def list_runs(
        self, namespace_slug: str, project_slug: str, *, name: str | None = None
    ) -> Iterator[models.Run]:
        """The runs of a project; only those with this name where one is given."""
        return chain.from_iterable(self.list_run_pages(namespace_slug, project_slug, name=name))

    def list_run_pages(
        self,
        namespace_slug: str,
        project_slug: str,
        *,
        name: str | None = None,
        status: str | None = None,
        created_after: dt.datetime | None = None,
        created_before: dt.datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[list[models.Run]]:
        """The runs of a project, page by page; all filters but the name are the backend's to keep.

        Args:
            namespace_slug: The slug of the namespace that owns the project.
            project_slug: The project's slug.
            name: Only runs with this name, whether the backend has the filter or not.
            status: Only runs with this status.
            created_after: Only runs created then or later.
            created_before: Only runs created earlier.
            limit: How many are wanted; pages need not be larger.
        """
        cursor: str | None = None
        while True:
            page, headers = self._exchange(
                _ANY_LIST,
                list_runs.sync_detailed,
                namespace_slug=namespace_slug,
                project_slug=project_slug,
                client=self._api,
                name=UNSET if name is None else name,
                status=UNSET if status is None else models.RunStatus(status),
                created_after=created_after or UNSET,
                created_before=created_before or UNSET,
                limit=min(limit or RUNS_PAGE, RUNS_PAGE),
                cursor=cursor or UNSET,
            )
            # A backend without the filter gives them all.
            runs: list[models.Run] = page
            yield [run for run in runs if name is None or run.name == name]
            cursor = headers.get("Next-Cursor")
            if not cursor:
                return

    def get_run(self, namespace_slug: str, project_slug: str, run_uuid: str) -> models.Run:
        """One run, from a backend with or without the operation for it."""
        try:
            return self.call(
                models.Run,
                get_run.sync_detailed,
                namespace_slug=namespace_slug,
                project_slug=project_slug,
                run_uuid=uuid.UUID(run_uuid),
                client=self._api,
            )
        except ApiError as error:
            if error.status_code not in _LACKING:
                raise
            for run in self.list_runs(namespace_slug, project_slug):
                if str(run.uuid) == run_uuid:
                    return run
            if isinstance(error, NotFoundError):
                raise
            raise LookupError(f"{namespace_slug}/{project_slug} has no run {run_uuid}") from None

    def log_metric(
        self,
        namespace_slug: str,
        project_slug: str,
        run_uuid: str,
        *,
        name: str,
        value: Any,
        step: int | None,
        timestamp: dt.datetime,
    ) -> None:
        """Records one metric."""
        self.call(
            models.Metric,
            log_metric.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            run_uuid=uuid.UUID(run_uuid),
            client=self._api,
            body=models.MetricCreate(
                name=name, value=value, step=UNSET if step is None else step, timestamp=timestamp
            ),
        )

    def log_metric_batch(
        self,
        namespace_slug: str,
        project_slug: str,
        run_uuid: str,
        *,
        writer: uuid.UUID,
        first: int,
        metrics: Iterable[tuple[str, Any, int | None, dt.datetime]],
    ) -> int:
        """Records metrics of one writer, numbered from `first`; gives the number expected next."""
        created = [
            models.MetricCreate(
                name=name, value=value, step=UNSET if step is None else step, timestamp=timestamp
            )
            for name, value, step, timestamp in metrics
        ]
        receipt = self.call(
            models.MetricBatchReceipt,
            log_metric_batch.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            run_uuid=uuid.UUID(run_uuid),
            client=self._api,
            body=models.MetricBatch(writer=writer, first_sequence_number=first, metrics=created),
        )
        following: Any = receipt.next_sequence_number
        if not isinstance(following, int) or isinstance(following, bool):
            raise InvalidResponseError(
                f"logMetricBatch: the backend answered with next_sequence_number {following!r}, "
                "which is not an int",
                operation="logMetricBatch",
            )
        return following

    def list_metrics(
        self, namespace_slug: str, project_slug: str, run_uuid: str, *, name: str | None
    ) -> Iterator[models.Metric]:
        """The metrics of a run; only those with this name where one is given."""
        return chain.from_iterable(
            self.list_metric_pages(namespace_slug, project_slug, run_uuid, name=name)
        )

    def list_metric_pages(
        self, namespace_slug: str, project_slug: str, run_uuid: str, *, name: str | None
    ) -> Iterator[list[models.Metric]]:
        """What `list_metrics` gives, page by page."""
        self.settle("listMetrics", run_uuid)
        cursor: str | None = None
        while True:
            query: dict[str, Any] = {
                "namespace_slug": namespace_slug,
                "project_slug": project_slug,
                "run_uuid": uuid.UUID(run_uuid),
                "name": UNSET if name is None else name,
                "limit": METRICS_PAGE,
                "cursor": cursor or UNSET,
            }
            page, headers = self._answered(
                _ANY_LIST, "listMetrics", partial(_metrics_page, self._api, query), query
            )
            metrics: list[models.Metric] = page
            # A backend without the filter gives them all.
            yield metrics if name is None else [one for one in metrics if one.name == name]
            cursor = headers.get("Next-Cursor")
            if not cursor:
                return

    def summarize_metrics(
        self, namespace_slug: str, project_slug: str, run_uuid: str
    ) -> dict[str, models.MetricSummary] | None:
        """The summaries of a run's metrics by name; `None` from a backend that gives none."""
        self.settle("summarizeMetrics", run_uuid)
        try:
            summaries = self.call(
                models.MetricSummaries,
                summarize_metrics.sync_detailed,
                namespace_slug=namespace_slug,
                project_slug=project_slug,
                run_uuid=uuid.UUID(run_uuid),
                client=self._api,
            )
        except ApiError as error:
            if error.status_code not in _LACKING:
                raise
            return None
        return summaries.additional_properties

    def list_project_metrics(
        self, namespace_slug: str, project_slug: str
    ) -> list[models.ProjectMetric] | None:
        """The metric names of a project; `None` from a backend that lists none."""
        return self._unless_lacking(
            list_project_metrics.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
        )

    def summarize_project_metrics(
        self, namespace_slug: str, project_slug: str, *, names: list[str], run_uuids: list[str]
    ) -> list[models.SummaryColumns] | None:
        """Summaries of many runs; `None` from a backend that gives none. No names are all names."""
        return self._unless_lacking(
            summarize_project_metrics.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            name=names,
            run=list(map(uuid.UUID, run_uuids)),
        )

    def sample_project_metrics(
        self,
        namespace_slug: str,
        project_slug: str,
        *,
        names: list[str],
        run_uuids: list[str],
        buckets: int,
    ) -> list[models.SampledSeries] | None:
        """Metrics of several runs in ranges of steps; `None` from a backend that samples none."""
        try:
            samples = self.call(
                models.MetricSamples,
                sample_project_metrics.sync_detailed,
                namespace_slug=namespace_slug,
                project_slug=project_slug,
                client=self._api,
                name=names,
                run=list(map(uuid.UUID, run_uuids)),
                buckets=buckets,
            )
        except ApiError as error:
            if error.status_code not in _LACKING:
                raise
            return None
        return samples.series

    def _unless_lacking(
        self, operation: Callable[..., Response[Any]], **about: Any
    ) -> list[Any] | None:
        try:
            return self.call(_ANY_LIST, operation, client=self._api, **about)
        except ApiError as error:
            if error.status_code not in _LACKING:
                raise
            return None

    def sample_metric(
        self,
        namespace_slug: str,
        project_slug: str,
        run_uuid: str,
        *,
        name: str,
        buckets: int,
    ) -> list[models.MetricBucket] | None:
        """The values of one metric in ranges of steps; `None` from a backend that samples none."""
        self.settle("sampleMetric", run_uuid)
        try:
            found: list[models.MetricBucket] = self.call(
                _ANY_LIST,
                sample_metric.sync_detailed,
                namespace_slug=namespace_slug,
                project_slug=project_slug,
                run_uuid=uuid.UUID(run_uuid),
                client=self._api,
                name=name,
                buckets=buckets,
            )
        except ApiError as error:
            if error.status_code not in _LACKING:
                raise
            return None
        return found


TellurioClient.__module__ = "afnio_tellurio"

_clients: weakref.WeakSet[TellurioClient] = weakref.WeakSet()


class _LinesOfOthers(logging.Filter):
    """Has the loggers of httpx and httpcore pass over the requests of the SDK.

    A handler that logs to a run would turn the line of each delivery into a metric to deliver.
    """

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        # Told by the stack: a mark could be left behind by a signal handler that raises.
        frame: FrameType | None = sys._getframe()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        while frame is not None:
            if isinstance(frame.f_locals.get("self"), _HttpClient):
                return False
            frame = frame.f_back
        return True


_lines_of_others = _LinesOfOthers()
#: A filter counts for the very logger that it is added to.
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


class _HttpClient(httpx.Client):
    """Encodes the bodies of the generated client with msgspec, and logs nothing.

    The standard library takes ten times as long, while the application waits for the interpreter.
    """

    def __init__(self, **options: Any) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_lines_of_others)
        super().__init__(**options)
        #: Whether the backend's server has the page too, as far as its answers tell.
        self.serves_page = False

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        response = super().send(request, **options)
        self.serves_page = PAGE_HEADER in response.headers
        return response

    def build_request(
        self, method: str, url: httpx.URL | str, *, json: Any = None, **others: Any
    ) -> httpx.Request:
        # What a program sends by itself may hold what JSON does not, and msgspec would let pass.
        if json is not None and others.get("extensions") != _RAW:
            others["content"], json = _encode(json), None
            others["headers"] = {
                **(others.get("headers") or {}),
                "Content-Type": "application/json",
            }
        return super().build_request(method, url, json=json, **others)


class _ApiKey(httpx.Auth):
    """Adds the API key to each request: what `find` found, unless a login set it."""

    def __init__(self, url: str, *, is_needed: bool) -> None:
        self._url = url
        self._is_needed = is_needed
        self.word: str | None = None

    def find(self) -> None:
        """Looks for it, if that is not done."""
        if self._is_needed and self.word is None:
            found = auth.find_credential(self._url)
            self.word = found.key if found else None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        # For whoever uses the generated client by itself; `call` has looked before.
        self.find()
        if self.word:
            request.headers["Authorization"] = f"Api-Key {self.word}"
        yield request


class _ListedMetric(msgspec.Struct, gc=False):
    """The fields of a `models.Metric`, held to no type, just as that does."""

    name: Any
    value: Any
    step: Any
    timestamp: Any = UNSET


_decode_metrics = msgspec.json.Decoder(list[_ListedMetric]).decode


def _metrics_page(api: tellurio_api.Client, query: Mapping[str, Any]) -> Response[Any]:
    """Does what the generated listMetrics does, for millions of metrics.

    The generated parser makes a dict and a model of each, which takes ten times as long. Whatever
    msgspec does not take goes to it all the same: it is the judge of what makes sense.
    """
    arguments = list_metrics._get_kwargs(**query)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    response = api.get_httpx_client().request(**arguments)
    if response.status_code == HTTPStatus.OK:
        try:
            metrics = _decode_metrics(response.content)
            for metric in metrics:
                if metric.timestamp is not UNSET:
                    metric.timestamp = dt.datetime.fromisoformat(metric.timestamp)
            return Response(HTTPStatus.OK, response.content, dict(response.headers), metrics)
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise_foreign(error)
    return list_metrics._build_response(client=api, response=response)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class _ErrorStatusError(Exception):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def _refuse_error_status(response: httpx.Response) -> None:
    """Stops an answer without success before the generated code parses it.

    That code would fail at an HTML page with a declared status, and at a status that Python has no
    name for.
    """
    if response.status_code >= _FIRST_REDIRECT_STATUS and not response.request.extensions.get(
        "raw"
    ):
        response.read()
        raise _ErrorStatusError(response)


def _operation_id(operation: Callable[..., Any]) -> str:
    # The generator names a module after its operation: tellurio_api.api.runs.create_run is
    # createRun.
    first, *others = operation.__module__.rpartition(".")[2].split("_")
    return first + "".join(word.capitalize() for word in others)


_default_clients: dict[Settings, TellurioClient] = {}
# A signal handler may ask for a client while this thread makes one.
_default_clients_lock = threading.RLock()


def default_client() -> TellurioClient:
    """The client that the environment asks for, the same one while it asks for the same.

    Raises:
        ValueError: A variable has a value that is not allowed.
        DatabaseError: The embedded backend cannot use its database.
    """
    settings = read_settings()
    key = _backend_settings(settings)
    with _default_clients_lock:
        client = _default_clients.get(key)
        if client is None:
            client = _default_clients.setdefault(key, _new_client(settings))
        return client


def _backend_settings(settings: Settings) -> Settings:
    """The settings without those that no client depends on."""
    return replace(settings, quiet=False, exit_timeout=0.0)


def _renew_in_child() -> None:
    global _default_clients_lock  # noqa: PLW0603
    _default_clients_lock = threading.RLock()
    for client in list(_clients):
        client.leave_inherited_pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)


def _require_encryption(settings: Settings) -> None:
    host = httpx.URL(settings.url).host
    if settings.url.startswith("https:") or is_this_machine(host) or settings.allow_plain_http:
        return
    source = settings.sources["base_url"]
    raise ValueError(
        f"{source} is {settings.url!r}, and plain HTTP would send the API key unencrypted to "
        "another machine; use https, or set TELLURIO_ALLOW_PLAIN_HTTP=1"
    )


def _without_proxy(url: str) -> dict[str, httpx.BaseTransport | None]:
    """Has plain HTTP to this machine pass no proxy, which could read the API key."""
    parts = httpx.URL(url)
    return {url: None} if parts.scheme == "http" and is_this_machine(parts.host) else {}


def _proxy_variables() -> list[str]:
    """The variables that are set and have httpx use a proxy, or not."""
    return [name for name in os.environ if name.upper() in _PROXY_VARIABLES and os.environ[name]]


def goes_online(settings: Settings) -> bool:
    """Whether runs go to a backend over HTTP, as the settings are."""
    if settings.mode is not Mode.AUTO:
        return settings.mode is Mode.ONLINE
    if settings.base_url is not None:
        return True
    return auth.find_credential(DEFAULT_BASE_URL, settings) is not None


def _new_client(settings: Settings) -> TellurioClient:
    warn_of_settings(settings)
    if settings.mode is Mode.LOCAL:
        return TellurioClient.local(settings.database)
    if not goes_online(settings):
        tell(
            f"no API key is set, so runs are kept on this machine, in {settings.database} "
            "(set TELLURIO_API_KEY to track on the platform, or TELLURIO_MODE=local)"
        )
        return TellurioClient.local(settings.database)
    return TellurioClient()


def login(api_key: str | None = None, relogin: bool = False) -> dict[str, str]:
    """Signs in to the backend that the environment names, for every call that is given no client.

    Args:
        api_key: The key; default `TELLURIO_API_KEY`, else the one that an earlier login stored for
            this backend, else whoever sits at the terminal or the notebook is asked. A key given
            here or there is stored in the system keyring where there is a usable one, else in the
            credentials file.
        relogin: Do not use a stored key.

    Returns:
        `{"email": ..., "username": ...}` of the key's owner.

    Raises:
        TypeError: The key is no string.
        ValueError: There is no key, or it holds what no key does.
        InvalidAPIKeyError: The backend refuses the key; it is not stored, and not used.
        CredentialsError: Others can read the credentials file, or it is damaged.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    settings = read_settings()
    if settings.mode is Mode.DISABLED:
        return {"email": "", "username": ""}
    if settings.mode is Mode.LOCAL:
        return default_client().login(api_key, relogin)
    key = _backend_settings(settings)
    with _default_clients_lock:
        client = _default_clients.get(key)
    if client is None or client.is_local or client.is_closed:
        client = TellurioClient()
    if auth.chosen_credential(client.url, settings, api_key, relogin=relogin) is None:
        with suppress(EOFError):
            api_key = auth.ask_for_key(client.url)
    owner = client.login(api_key, relogin)
    with _default_clients_lock:
        _default_clients[key] = client
        others = [one for one in _default_clients.values() if one.url == client.url]
    for other in others:
        # The environment was another then, and runs that are open still go through it.
        other.go_on_as(client)
    return owner
