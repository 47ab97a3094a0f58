"""Prompts: artifacts with one file, a text or a list of messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import attrs

from afnio_tellurio.errors import TellurioError
from afnio_tellurio.interruptions import raise_foreign
from afnio_tellurio.special_numbers import restore
from afnio_tellurio.tracking.artifact import Artifact, project_of
from afnio_tellurio.tracking.artifact_arguments import (
    checked_artifact_name,
    checked_description,
    checked_metadata,
    parse_reference,
)
from afnio_tellurio.validation import checked_text, encoded_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from afnio_tellurio.api.artifact_operations import ProjectPath

    #: A text, or messages with `role` and `content`.
    PromptContent: TypeAlias = str | Sequence[Mapping[str, Any]]

#: The type of artifacts that are prompts.
PROMPT_TYPE = "prompt"
#: The paths of their files.
TEXT_PATH, MESSAGES_PATH = "prompt.txt", "messages.json"


@attrs.frozen
class Prompt:
    """A version of a prompt; either `text` or `messages` is `None`.

    Attributes:
        name: The name of the artifact.
        version: The version, for example `"v3"`; `None` if it is the fallback.
        text: The text.
        messages: The messages, each with `role` and `content`.
        metadata: What is known of the version.
        is_fallback: Whether it is the fallback that the program passed.
    """

    name: str
    version: str | None
    text: str | None
    messages: list[dict[str, Any]] | None
    metadata: dict[str, Any] = attrs.field(repr=False)
    is_fallback: bool = False


Prompt.__module__ = "afnio_tellurio"


class PromptFile(NamedTuple):
    """The file of a prompt."""

    path: str
    text: str


class Parent(NamedTuple):
    """A version that a prompt was made from.

    Attributes:
        project: Its project.
        name: The name of the artifact.
        version: `v3`, or `sha256:` and a digest.
    """

    project: ProjectPath
    name: str
    version: str

    def reference_from(self, project: ProjectPath) -> str:
        """Returns what refers to it in a project."""
        slugs = () if project == self.project else self.project
        return "/".join([*slugs, f"{self.name}:{self.version}"])


def prompt_artifact(
    call: str,
    name: str,
    prompt: Any,
    description: str | None,
    metadata: Mapping[str, Any] | None,
    parents: Sequence[str],
) -> Artifact:
    """An artifact of a prompt, to be logged.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is invalid.
    """
    checked_artifact_name(call, name)
    checked_description(call, description)
    checked_metadata(call, metadata)
    fields = {} if metadata is None else dict(metadata)
    if "parents" in fields:
        raise ValueError(f"{call}: metadata has a value 'parents'; pass parents instead")
    if parents:
        fields["parents"] = list(parents)
        checked_metadata(call, fields)
    file = prompt_file(call, "prompt", prompt)
    return Artifact(name, PROMPT_TYPE, description, fields).add_text(file.text, file.path)


def prompt_file(call: str, argument: str, prompt: Any) -> PromptFile:
    """The file of a prompt.

    Raises:
        TypeError: It is neither a string nor a list of messages.
        ValueError: A message lacks a field, or UTF-8 or JSON cannot represent the prompt.
    """
    if isinstance(prompt, str):
        return PromptFile(TEXT_PATH, checked_text(call, argument, prompt))
    if isinstance(prompt, bytes | bytearray | Mapping) or not isinstance(prompt, Sequence):
        raise TypeError(
            f"{call}: {argument} is of type {type(prompt).__name__}; it must be a string, or a "  # pyright: ignore[reportUnknownArgumentType]
            "list of messages such as {'role': 'user', 'content': 'Hello'}"
        )
    if not prompt:
        raise ValueError(f"{call}: {argument} is an empty list; pass one message or more")
    messages = [
        _checked_message(call, f"{argument}[{number}]", message)
        for number, message in enumerate(prompt)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    ]
    try:
        # Readable line by line, so that a diff is.
        text = json.dumps(messages, ensure_ascii=False, indent=2, allow_nan=False)
    except ValueError as error:
        raise_foreign(error)
        raise ValueError(
            f"{call}: {argument} contains NaN or an infinity, which JSON does not have; remove it"
        ) from None
    return PromptFile(MESSAGES_PATH, f"{text}\n")


def _checked_message(call: str, subject: str, message: Any) -> dict[str, Any]:
    """A message with its fields in one order, so that equal messages have equal bytes."""
    if not isinstance(message, Mapping):
        raise TypeError(
            f"{call}: {subject} is of type {type(message).__name__}; a message must be a mapping "
            "with role and content"
        )
    fields: dict[str, Any] = restore(encoded_value(dict(message), f"{call}: {subject}"))  # pyright: ignore[reportUnknownArgumentType]
    for name in ("role", "content"):
        if name not in fields:
            raise ValueError(f"{call}: {subject} has no {name!r}; add it")
    role = checked_text(call, f"{subject}['role']", fields.pop("role"))
    return {"role": role, "content": fields.pop("content"), **dict(sorted(fields.items()))}


def prompt_of(
    name: str,
    version: str | None,
    file: PromptFile,
    metadata: dict[str, Any],
    *,
    is_fallback: bool = False,
) -> Prompt:
    """The prompt in a file.

    Raises:
        TellurioError: The file does not have messages.
    """
    if file.path == TEXT_PATH:
        return Prompt(name, version, file.text, None, metadata, is_fallback)
    try:
        messages = json.loads(file.text)
    except ValueError as error:
        raise_foreign(error)
        messages = None
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):  # pyright: ignore[reportUnknownVariableType]
        raise TellurioError(
            f"{file.path} of {name}:{version} is not a list of messages in JSON; "
            "log another version with log_prompt"
        )
    return Prompt(name, version, None, messages, metadata, is_fallback)  # pyright: ignore[reportUnknownArgumentType]


def resolved_parents(
    call: str, parents: Any, project: ProjectPath, find: Callable[[str], Artifact]
) -> list[Parent]:
    """The versions that a prompt was made from, without aliases, which move.

    Args:
        call: The function that is called.
        parents: Artifacts and references.
        project: The project of references that do not name one.
        find: Finds the version that a reference with an alias names now.

    Raises:
        TypeError: They are not a list of those.
        ValueError: A reference is invalid, or an artifact has not been logged.
        TellurioError: A reference has an alias, and the request failed.
    """
    if isinstance(parents, str | bytes | Artifact) or not isinstance(parents, Iterable):
        raise TypeError(
            f"{call}: parents is of type {type(parents).__name__}; it must be a list of artifacts "
            "and references, such as ['name:v3']"
        )
    return list(dict.fromkeys(_resolved(call, parent, project, find) for parent in parents))  # pyright: ignore[reportUnknownVariableType]


def _resolved(
    call: str, parent: Any, project: ProjectPath, find: Callable[[str], Artifact]
) -> Parent:
    if not isinstance(parent, Artifact):
        reference = parse_reference(call, parent)
        if reference.name is not None and reference.is_exact:
            namespace = reference.namespace_slug or project.namespace_slug
            slug = reference.project_slug or project.project_slug
            place = project._replace(namespace_slug=namespace, project_slug=slug)
            return Parent(place, reference.name, reference.version)
        parent = find(parent)
    version = parent.version
    if version is None:
        if parent.digest is None:
            raise ValueError(f"{call}: parents has {parent!r}; log it first")
        version = f"sha256:{parent.digest}"
    return Parent(project_of(parent), parent.name, version)
