"""The files of a run, and capturing files for delivery."""

from __future__ import annotations

import os
import uuid
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import attrs

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.api.artifact_entities import RunFile, read_run_file
from afnio_tellurio.artifacts.capture import capture
from afnio_tellurio.artifacts.collecting import collect_file
from afnio_tellurio.artifacts.index import remove_captured
from afnio_tellurio.artifacts.media import encoded_audio, encoded_image
from afnio_tellurio.artifacts.remote_files import open_remote
from afnio_tellurio.artifacts.room import NoRoomError, check_room
from afnio_tellurio.artifacts.sources import BytesSource, Source
from afnio_tellurio.client import connection_of
from afnio_tellurio.clock import monotonic
from afnio_tellurio.delivery.journal_appending import JournalSealedError
from afnio_tellurio.delivery.senders import settle, wait_for
from afnio_tellurio.files import real_path
from afnio_tellurio.settings.limits import IN_PLACE_BYTES
from afnio_tellurio.tracking.artifact_arguments import checked_path
from afnio_tellurio.tracking.describing import RunDescriber
from afnio_tellurio.tracking.safeguard import safeguard
from afnio_tellurio.tracking.statuses import ENDED
from afnio_tellurio.validation import checked_name, checked_step, checked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO, TypeAlias

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.artifact_manifests import ManifestFile
    from afnio_tellurio.artifacts.capture import Captured
    from afnio_tellurio.artifacts.remote_files import Download
    from afnio_tellurio.artifacts.sources import AnySource
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.delivery.file_outbox import FileOutbox
    from afnio_tellurio.delivery.file_transfer import UploadResult
    from afnio_tellurio.delivery.recording import Recording
    from afnio_tellurio.errors import RunFinishedError

    AnyPath: TypeAlias = str | os.PathLike[str]


@attrs.define(eq=False, slots=False)
class RunWithFiles(RunDescriber):
    """A run that has files of its own."""

    def log_file(
        self, path: AnyPath, name: str | None = None, client: TellurioClient | None = None
    ) -> None:
        """Logs a file of the run, which replaces the one with the same name.

        Args:
            path: The file.
            name: Its name at the backend, with `/` between its parts; default the file's name.
            client: The client to use; default the one that the run was started with.

        Raises:
            OSError: The file cannot be read, or the disk does not take its copy.
            RunFinishedError: The run is finished.
            ValueError: It is not a regular file, or the name is invalid.
        """
        name = None if name is None else checked_path("log_file", name)
        (source,) = collect_file(path, name)
        self._log_run_file("log_file", source, "file", None, None, client)

    def log_image(
        self, name: str, image: Any, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        """Logs an image of a series.

        Args:
            name: The name of the series, with `/` between its parts.
            image: The path or the bytes of a PNG, JPEG, GIF or WebP file; a NumPy array of shape
                (height, width), (height, width, 1), (height, width, 3) or (height, width, 4), with
                integers from 0 to 255 or floats from 0 to 1; an image of PIL; or a figure of
                matplotlib.
            step: The step, 0 or more; default the one after the last of this name.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: It is not an image.
            ValueError: It is not an image, or the name or the step is invalid.
            RunFinishedError: The run is finished.
        """
        data, content_type = encoded_image(image)
        self._log_media("log_image", name, data, "image", content_type, step, client)

    def log_audio(
        self,
        name: str,
        audio: Any,
        step: int | None = None,
        sample_rate: int | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        """Logs a sound of a series.

        Args:
            name: The name of the series, with `/` between its parts.
            audio: The path or the bytes of a WAV, MP3, Ogg or FLAC file; or a NumPy array of shape
                (samples,) or (samples, channels), with floats from -1 to 1 or integers of 16 bits.
            step: The step, 0 or more; default the one after the last of this name.
            sample_rate: Samples in a second; required for an array.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: It is not a sound.
            ValueError: It is not a sound, the sample rate is missing, or another argument is
                invalid.
            RunFinishedError: The run is finished.
        """
        data, content_type = encoded_audio(audio, sample_rate)
        self._log_media("log_audio", name, data, "audio", content_type, step, client)

    def log_text(
        self, name: str, text: str, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        """Logs a text of a series, such as an answer of a model.

        Args:
            name: The name of the series, with `/` between its parts.
            text: The text.
            step: The step, 0 or more; default the one after the last of this name.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: The text is not a string.
            ValueError: The name or the step is invalid.
            RunFinishedError: The run is finished.
        """
        data = checked_text("log_text", "text", text).encode()
        content_type = "text/plain; charset=utf-8"
        self._log_media("log_text", name, data, "text", content_type, step, client)

    def log_html(
        self, name: str, html: str, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        """Logs a page of HTML of a series. It is shown without access to anything else.

        Args:
            name: The name of the series, with `/` between its parts.
            html: The HTML.
            step: The step, 0 or more; default the one after the last of this name.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: The HTML is not a string.
            ValueError: The name or the step is invalid.
            RunFinishedError: The run is finished.
        """
        data = checked_text("log_html", "html", html).encode()
        self._log_media("log_html", name, data, "html", "text/html; charset=utf-8", step, client)

    def files(
        self, prefix: str | None = None, client: TellurioClient | None = None
    ) -> list[RunFile]:
        """The files that were logged to the run, sorted by path and step.

        Args:
            prefix: Only those whose path starts with this text.
            client: The client to use; default the one that the run was started with.

        Raises:
            TellurioError: The request failed.
        """
        connection = self._connection_for(client)
        settle(connection, "listRunFiles", self.uuid, lane="files")
        if prefix is not None:
            checked_text("files", "prefix", prefix)
        files = operations.list_run_files(connection, self._path(), prefix=prefix)
        return [read_run_file(file, "listRunFiles") for file in files]

    def open_file(
        self, path: str, step: int | None = None, client: TellurioClient | None = None
    ) -> BinaryIO:
        """Opens a file of the run for reading; only the parts that are read are downloaded.

        Args:
            path: Its path, or the name of the series.
            step: The step; default the last one.
            client: The client to use; default the one that the run was started with.

        Raises:
            FileNotFoundError: The run does not have the file.
            TellurioError: The request failed.
        """
        step = checked_step(step, "open_file")
        found = [
            file
            for file in self.files(path, client)
            if file.path == path and (step is None or file.step == step)
        ]
        if not found:
            at = "" if step is None else f" at step {step}"
            raise FileNotFoundError(f"run {self.name!r} has no file {path!r}{at}")
        file = found[-1]
        subject = f"{path!r} of run {self.name!r}"
        return open_remote(self._downloader(file, client), file.size, file.digest, subject)

    def _downloader(self, file: RunFile, client: TellurioClient | None) -> Download:
        connection, run = self._connection_for(client), self._path()
        return lambda start, end: operations.download_run_file(
            connection, run, file.path, file.step, start, end, file.size
        )

    def _log_media(
        self,
        call: str,
        name: str,
        data: bytes,
        kind: str,
        content_type: str,
        step: int | None,
        client: TellurioClient | None,
    ) -> None:
        source = BytesSource(checked_path(call, checked_name(call, "name", name)), data)
        self._log_run_file(call, source, kind, content_type, checked_step(step, call), client)

    def _log_run_file(
        self,
        call: str,
        source: AnySource,
        kind: str,
        content_type: str | None,
        step: int | None,
        client: TellurioClient | None,
    ) -> None:
        def body(captured: Captured) -> dict[str, Any]:
            (file,) = captured.index.files
            fields = {
                "path": file.path,
                "kind": kind,
                "digest": file.digest,
                "step": step,
                "content_type": content_type,
            }
            return {
                "run_file": {name: value for name, value in fields.items() if value is not None}
            }

        self._capture_files(call, [source], body, client)

    def _capture_files(
        self,
        call: str,
        sources: Sequence[AnySource],
        body: Callable[[Captured], dict[str, Any]],
        client: TellurioClient | None,
        *,
        capture: str = "auto",
    ) -> tuple[FileOutbox, UploadResult, list[ManifestFile]] | None:
        """Captures files, and records an upload of them; None while tracking is disabled."""
        if capture not in {"auto", "copy", "in-place"}:
            raise ValueError(
                f"{call}: capture is {capture!r}; it must be 'auto', 'copy', or 'in-place'"
            )
        if self.status in ENDED:
            raise self._finished_error(call)
        sources = _without_home(call, sources, str(self._settings(client).home))
        outbox = self._file_outbox_for(client)
        key = str(uuid.uuid4())
        limit = _limit_of(capture)
        try:
            captured = capture_into(
                outbox, key, sources, self._connection_for(client), in_place_above=limit
            )
        except OSError:
            # Another thread has ended the run meanwhile, and the folder of the copies is gone.
            if self.status not in ENDED:
                raise
            raise self._finished_error(call) from None
        files = captured.index.files
        counts = {"files": len(files), "bytes": sum(file.size or 0 for file in files)}
        result = outbox.watch(key)
        try:
            outbox.append_upload(key, {**body(captured), **counts})
        except JournalSealedError:
            remove_captured(captured.folder)
            raise self._finished_error(call) from None
        except OSError:
            remove_captured(captured.folder)
            raise
        outbox.wake()
        return outbox, result, files

    def _file_outbox_for(self, client: TellurioClient | None) -> FileOutbox:
        safeguard.watch_exit()
        return self._record().open_file_outbox(None if client is None else connection_of(client))

    @abstractmethod
    def _record(self) -> Recording:
        """What this process logs to the run."""

    @abstractmethod
    def _finished_error(self, call: str) -> RunFinishedError:
        """The error of a call that logs after the end."""


def _without_home(call: str, sources: Sequence[AnySource], home: str) -> list[AnySource]:
    """The sources that are not in `TELLURIO_HOME`, which has API keys, and changes meanwhile.

    Raises:
        ValueError: All of them are.
    """
    folder = os.path.join(real_path(home), "")  # noqa: PTH118 - compared as text
    kept = [
        source
        for source in sources
        if not (isinstance(source, Source) and str(source.file).startswith(folder))
    ]
    if sources and not kept:
        raise ValueError(
            f"{call}: the files are in {home!r}, which has API keys and the database itself, "
            "and is not logged; copy them elsewhere"
        )
    return kept


def _limit_of(capture: str) -> int | None:
    """The size above which files are not copied."""
    return {"copy": None, "in-place": -1}.get(capture, IN_PLACE_BYTES)


def capture_into(
    outbox: FileOutbox,
    key: str,
    sources: Sequence[AnySource],
    connection: Connection,
    *,
    in_place_above: int | None,
) -> Captured:
    """Captures files into the outbox; waits for the sender if the disk has no room for them."""
    # The copy for a backend in this process becomes the blob: nothing is copied again.
    if connection.is_local:
        in_place_above = None
    deadline = monotonic() + connection.settings.exit_timeout

    def check(wanted: int) -> None:
        waiting = 0 if connection.is_local else outbox.waiting()[1]
        try:
            check_room(outbox.folder.parent, wanted, waiting)
        except NoRoomError:
            if not waiting or not wait_for(outbox, max(0.0, deadline - monotonic())):
                raise
            check_room(outbox.folder.parent, wanted, outbox.waiting()[1])

    return capture(sources, outbox.folder / key, in_place_above=in_place_above, check_room=check)
