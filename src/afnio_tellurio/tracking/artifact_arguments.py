"""What calls pass about artifacts: checking it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from afnio_tellurio.api.artifact_entities import ARTIFACT_NAME
from afnio_tellurio.artifact_paths import check_path
from afnio_tellurio.settings.limits import (
    MAX_ARTIFACT_TYPE,
    MAX_DESCRIPTION,
    MAX_METADATA_BYTES,
    MAX_REFERENCE,
    MAX_REFERENCE_BYTES,
    MAX_STEP,
    MAX_TAGS,
)
from afnio_tellurio.validation import checked_name, checked_text, encoded_value

_SLUG = re.compile(r"[-a-zA-Z0-9_]+")
_NUMBER = re.compile(r"v\d+")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SLUGS = 2


class Reference(NamedTuple):
    """A version that a text refers to.

    Attributes:
        namespace_slug: The slug of the namespace, or None for that of the run.
        project_slug: The slug of the project, or None for that of the run.
        name: The name of the artifact, or None if only the digest is known.
        version: `v3`, an alias, or `sha256:` and a digest.
    """

    namespace_slug: str | None
    project_slug: str | None
    name: str | None
    version: str

    @property
    def is_exact(self) -> bool:
        """Whether it always refers to the same version: aliases move."""
        return self.version.startswith("sha256:") or _NUMBER.fullmatch(self.version) is not None


def checked_artifact_name(call: str, value: Any) -> str:
    """The name of an artifact.

    Raises:
        TypeError: It is not a string.
        ValueError: It is invalid.
    """
    name = checked_text(call, "artifact name", value)
    if not ARTIFACT_NAME.fullmatch(name):
        raise ValueError(
            f"{call}: artifact name is {name!r}; it must be 1 to 128 letters, digits, underscores, "
            "dots, or dashes, and not start with a dot or a dash"
        )
    return name


def checked_path(call: str, value: Any) -> str:
    """The path of a file in an artifact or a run.

    Raises:
        TypeError: It is not a string.
        ValueError: It is invalid.
    """
    path = checked_text(call, "name", value)
    try:
        check_path(path)
    except ValueError as error:
        raise ValueError(f"{call}: name is {path!r}: {error}") from None
    return path


def checked_type(call: str, value: Any) -> str:
    """The type of an artifact, 1 to 64 characters.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty or too long.
    """
    kind = checked_name(call, "type", value)
    if len(kind) > MAX_ARTIFACT_TYPE:
        raise ValueError(
            f"{call}: type has {len(kind)} characters; it may have up to {MAX_ARTIFACT_TYPE}"
        )
    return kind


def checked_description(call: str, description: Any) -> str | None:
    """The description of a version, up to 65,536 characters, or None.

    Raises:
        TypeError: It is not a string.
        ValueError: It is too long.
    """
    if description is None:
        return None
    text = checked_text(call, "description", description)
    if len(text) > MAX_DESCRIPTION:
        raise ValueError(
            f"{call}: description has {len(text):,} characters; it may have up to "
            f"{MAX_DESCRIPTION:,}; log longer texts as a file of the artifact"
        )
    return text


def checked_aliases(call: str, aliases: Any) -> list[str]:
    """Aliases, each once.

    Raises:
        TypeError: They are a string or not iterable, or one is not a string.
        ValueError: One is invalid, or there are too many.
    """
    if isinstance(aliases, str | bytes) or not isinstance(aliases, Iterable):
        raise TypeError(
            f"{call}: aliases is {aliases!r}; it must be a list of strings, such as ['best']"
        )
    checked = list(dict.fromkeys(_checked_alias(call, alias) for alias in aliases))  # pyright: ignore[reportUnknownVariableType]
    if len(checked) > MAX_TAGS:
        raise ValueError(f"{call}: {len(checked)} aliases were passed; up to {MAX_TAGS} may be")
    return checked


def _checked_alias(call: str, value: Any) -> str:
    alias = checked_text(call, "alias", value)
    if not ARTIFACT_NAME.fullmatch(alias):
        raise ValueError(
            f"{call}: alias is {alias!r}; it must be 1 to 128 letters, digits, underscores, dots, "
            "or dashes, and not start with a dot or a dash"
        )
    if alias == "latest":
        raise ValueError(f"{call}: the alias latest always names the newest version; use another")
    if _NUMBER.fullmatch(alias):
        raise ValueError(f"{call}: alias is {alias!r}, which is like a version; use another")
    return alias


def checked_metadata(call: str, metadata: Any) -> dict[str, Any]:
    """The metadata of a version in its JSON form.

    Raises:
        TypeError: It is not a mapping, or a value is not JSON.
        ValueError: It is too large, or cannot be stored unchanged.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise TypeError(
            f"{call}: metadata is of type {type(metadata).__name__}; it must be a mapping"
        )
    encoded: dict[str, Any] = encoded_value(dict(metadata), f"{call}: metadata")  # pyright: ignore[reportUnknownArgumentType]
    size = len(msgspec.json.encode(encoded))
    if size > MAX_METADATA_BYTES:
        raise ValueError(
            f"{call}: metadata has {size:,} bytes as JSON; it may have up to "
            f"{MAX_METADATA_BYTES:,}; log larger data as a file of the artifact"
        )
    return encoded


def checked_keep(call: str, keep: Any) -> int | None:
    """How many versions to keep, 1 or more, or None for all.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is less than 1.
    """
    if keep is None:
        return None
    if not isinstance(keep, int) or isinstance(keep, bool):
        raise TypeError(f"{call}: keep is {keep!r}; it must be an integer")
    if keep < 1:
        raise ValueError(f"{call}: keep is {keep}; it must be 1 or more")
    if keep > MAX_STEP:
        raise ValueError(f"{call}: keep is {keep}; it must be up to {MAX_STEP}")
    return keep


def checked_flag(call: str, argument: str, value: Any) -> bool:
    """An argument that is either true or false.

    Raises:
        TypeError: It is not a bool.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{call}: {argument} is {value!r}; it must be True or False")
    return value


def checked_uri(call: str, uri: Any) -> str:
    """The address of a reference, 1 to 8,192 characters.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty or too long.
    """
    text = checked_text(call, "uri", uri)
    if not 1 <= len(text) <= MAX_REFERENCE:
        raise ValueError(
            f"{call}: uri has {len(text):,} characters; it must have 1 to {MAX_REFERENCE:,}"
        )
    return text


def checked_digest(call: str, digest: Any) -> str | None:
    """The SHA-256 of a reference in hexadecimal, or None.

    Raises:
        TypeError: It is not a string.
        ValueError: It is not a digest.
    """
    if digest is None:
        return None
    text = checked_text(call, "digest", digest)
    if not _DIGEST.fullmatch(text):
        raise ValueError(
            f"{call}: digest is {text!r}; it must be a SHA-256, 64 lowercase hexadecimal digits"
        )
    return text


def checked_size(call: str, size: Any) -> int | None:
    """The size of a reference in bytes, or None.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is negative or too large.
    """
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool):
        raise TypeError(f"{call}: size is {size!r}; it must be an integer")
    if not 0 <= size <= MAX_REFERENCE_BYTES:
        raise ValueError(f"{call}: size is {size}; it must be 0 to {MAX_REFERENCE_BYTES:,}")
    return size


def parse_reference(call: str, text: Any) -> Reference:
    """The version that `name`, `name:v3`, `name:alias`, or `sha256:...` refers to.

    The slug of a project, or of a namespace and a project, may stand before it, with slashes.

    Raises:
        TypeError: It is not a string.
        ValueError: It is invalid.
    """
    text = checked_text(call, "artifact", text)
    *slugs, last = text.split("/")
    name, colon, version = last.partition(":")
    problem = f"{call}: artifact is {text!r}; pass name, name:v3, name:alias, or sha256:DIGEST"
    if len(slugs) > _SLUGS or not all(map(_SLUG.fullmatch, slugs)):
        raise ValueError(f"{problem}, after PROJECT/ or NAMESPACE/PROJECT/ if it is in another one")
    namespace, project = [None, None, *slugs][-2:]
    if name == "sha256":
        if not _DIGEST.fullmatch(version):
            raise ValueError(f"{problem}; a digest has 64 hexadecimal digits")
        return Reference(namespace, project, None, f"sha256:{version}")
    is_digest = version.startswith("sha256:") and _DIGEST.fullmatch(version.partition(":")[2])
    if not ARTIFACT_NAME.fullmatch(name) or (
        colon and not (is_digest or ARTIFACT_NAME.fullmatch(version))
    ):
        raise ValueError(problem)
    return Reference(namespace, project, name, version or "latest")
