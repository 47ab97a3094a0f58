"""Functions on prompts: logging one to the active run, and reading one where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from afnio_tellurio.api import artifact_operations as operations
from afnio_tellurio.artifacts.fetched_prompts import FetchedPrompt, recall, remember
from afnio_tellurio.client import connection_of
from afnio_tellurio.clock import monotonic
from afnio_tellurio.deadlines import within
from afnio_tellurio.default_client import client_or_default
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.notices import warn
from afnio_tellurio.settings.limits import PROMPT_TIMEOUT
from afnio_tellurio.special_numbers import restore
from afnio_tellurio.tracking.active import active_run
from afnio_tellurio.tracking.artifact_arguments import parse_reference
from afnio_tellurio.tracking.disabled import DisabledRun
from afnio_tellurio.tracking.finding_artifacts import find_artifact, place_of
from afnio_tellurio.tracking.functions import get_active_run
from afnio_tellurio.tracking.prompts import (
    MESSAGES_PATH,
    PROMPT_TYPE,
    TEXT_PATH,
    Prompt,
    PromptFile,
    prompt_file,
    prompt_of,
)
from afnio_tellurio.tracking.reading import source_of
from afnio_tellurio.validation import encoded_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from afnio_tellurio.api.connection import Connection
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.tracking.artifact import Artifact
    from afnio_tellurio.tracking.artifact_arguments import Reference
    from afnio_tellurio.tracking.prompts import PromptContent
    from afnio_tellurio.tracking.run import Run


def log_prompt(
    name: str,
    prompt: PromptContent,
    *,
    aliases: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    description: str | None = None,
    parents: Iterable[str | Artifact] = (),
    keep: int | None = None,
    wait: bool = False,
    client: TellurioClient | None = None,
) -> Artifact:
    """Logs a prompt as a version of an artifact of the active run; see `Run.log_prompt`.

    Raises:
        ValueError: No run is active.
    """
    return get_active_run().log_prompt(
        name,
        prompt,
        aliases=aliases,
        metadata=metadata,
        description=description,
        parents=parents,
        keep=keep,
        wait=wait,
        client=client,
    )


def get_prompt(
    reference: str,
    *,
    fallback: PromptContent | None = None,
    client: TellurioClient | None = None,
) -> Prompt:
    """Reads a version of a prompt, and is made for programs that must go on without a backend.

    If the backend does not answer within 5 seconds, or does not have the version, this is the
    prompt that this machine last read with the same reference. Without one, it is the fallback. A
    warning says so. The version is recorded as an input of the active run.

    Args:
        reference: `"NAMESPACE/PROJECT/NAME:production"`, for example; without a version or an
            alias, it is the newest one. With an active run, its namespace and project may be left
            out.
        fallback: The prompt to use if there is nothing else: a text, or messages.
        client: The client to use; default that of the active run, else the environment's.

    Raises:
        NotFoundError: The artifact or the version does not exist.
        TypeError: An argument has the wrong type.
        ValueError: The reference is invalid, the project is missing, or the artifact is not a
            prompt.
        TellurioError: The request failed, or tracking is disabled, and there is no fallback.
    """
    parsed = parse_reference("get_prompt", reference)
    spare = None if fallback is None else prompt_file("get_prompt", "fallback", fallback)
    run: Run | None = active_run()
    if client is None and isinstance(run, DisabledRun):
        return _disabled(reference, parsed, spare)
    project = None
    if run is None or isinstance(run, DisabledRun):
        run = None
        client = client_or_default(client)
        if client is None:
            return _disabled(reference, parsed, spare)
        connection = connection_of(client)
    else:
        connection, path = source_of(run, client)
        project = operations.ProjectPath(*path[:2])
    place = place_of("get_prompt", reference, parsed, project)
    # The same reference may name something else at another backend.
    key = "\n".join([connection.name_in_journals, *place, parsed.name or "", parsed.version])
    last = recall(connection.settings.cache, key)
    try:
        with within(monotonic() + PROMPT_TIMEOUT):
            artifact = find_artifact(connection, "get_prompt", reference, project, type=PROMPT_TYPE)
            found = _fetched(artifact, last)
        prompt = _prompt_of(found)
    except (TellurioError, LookupError) as error:
        raise_foreign(error)
        problem = f"get_prompt: {reference!r} could not be read ({error})"
        if last is None:
            if spare is None:
                raise
            warn(f"{problem}; the fallback is used")
            return _fallback(parsed, spare)
        warn(f"{problem}; {last.name}:{last.version}, which was read before, is used")
        found, prompt = last, _prompt_of(last)
    if found != last:
        _remember(connection, key, found)
    if run is not None and place == project:
        _note_use(run, found, client)
    return prompt


def _disabled(text: str, reference: Reference, spare: PromptFile | None) -> Prompt:
    if spare is None:
        raise TellurioError(
            f"get_prompt: tracking is disabled, so {text!r} cannot be read; pass fallback, or see "
            "TELLURIO_MODE"
        )
    return _fallback(reference, spare)


def _fallback(reference: Reference, spare: PromptFile) -> Prompt:
    return prompt_of(reference.name or reference.version, None, spare, {}, is_fallback=True)


def _fetched(artifact: Artifact, last: FetchedPrompt | None) -> FetchedPrompt:
    """The prompt in a version."""
    version, digest = artifact.version or "", artifact.digest or ""
    metadata = encoded_value(artifact.metadata, "get_prompt: metadata")
    if last is not None and last.digest == digest:
        file = PromptFile(last.path, last.text)
    else:
        file = _file_of(artifact)
    return FetchedPrompt(artifact.name, version, digest, metadata, *file)


def _file_of(artifact: Artifact) -> PromptFile:
    paths = {file.path for file in artifact.files}
    for path in (TEXT_PATH, MESSAGES_PATH):
        if path in paths:
            try:
                return PromptFile(path, _bytes_of(artifact, path).decode())
            except UnicodeDecodeError as error:
                raise TellurioError(f"{path!r} of {artifact!r} is not text in UTF-8") from error
    raise TellurioError(
        f"{artifact!r} has no {TEXT_PATH} and no {MESSAGES_PATH}; log prompts with log_prompt"
    )


def _bytes_of(artifact: Artifact, path: str) -> bytes:
    try:
        return artifact.path(path).read_bytes()
    except OSError as error:
        raise_foreign(error)
        if isinstance(error, TellurioError):
            raise
        # The cache cannot be written: it may be on a disk that is full, or read-only.
        return artifact.read_bytes(path)


def _prompt_of(found: FetchedPrompt) -> Prompt:
    file = PromptFile(found.path, found.text)
    return prompt_of(found.name, found.version, file, restore(found.metadata))


def _remember(connection: Connection, key: str, found: FetchedPrompt) -> None:
    try:
        remember(connection.settings.cache, key, found)
    except OSError as error:
        raise_foreign(error)
        warn(
            f"get_prompt: {found.name}:{found.version} is not kept for times without a backend: "
            f"{error}"
        )


def _note_use(run: Run, found: FetchedPrompt, client: TellurioClient | None) -> None:
    try:
        run._log_use(found.name, found.version, client)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    except (TellurioError, OSError) as error:
        raise_foreign(error)
        warn(f"get_prompt: the input of run {run.name!r} was not recorded: {error}")
