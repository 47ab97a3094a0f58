"""Checks of what a run is beside its metrics: its config, tags, group, job type, notes, parent."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

from afnio_tellurio.api.details import RunConfig
from afnio_tellurio.api.entities import RunRecord
from afnio_tellurio.notices import warn_once
from afnio_tellurio.settings.limits import MAX_TAGS
from afnio_tellurio.tracking.configuration import checked_config
from afnio_tellurio.tracking.redaction import redact_config
from afnio_tellurio.validation import checked_name, checked_text

if TYPE_CHECKING:
    from afnio_tellurio.settings.settings import Settings

#: A text to set, None to remove it, or `...` to leave it as it is.
OptionalChange: TypeAlias = str | EllipsisType | None


def checked_details(
    call: str,
    settings: Settings,
    *,
    config: Any,
    tags: Iterable[str],
    group: str | None,
    job_type: str | None,
    notes: str | None,
    parent: RunRecord | str | None,
) -> dict[str, Any]:
    """The details that a run is to start with, as the body of `createRun`.

    Raises:
        TypeError: One of them has the wrong type.
        ValueError: One of them cannot be recorded.
    """
    details: dict[str, Any] = {}
    if config is not None:
        details["config"] = safe_config(call, config, settings)
    checked = checked_tags(call, "tags", tags)
    if checked:
        details["tags"] = checked
    labels = checked_changes(call, group=group, job_type=job_type, notes=notes)
    details.update({name: text for name, text in labels.items() if text is not None})
    if parent is not None:
        details["parent_uuid"] = _uuid_of_parent(call, parent)
    return details


def keep_details(run: RunRecord, details: Mapping[str, Any]) -> None:
    """Keeps in the run what it was started with, if the backend does not."""
    for name, value in as_attributes(details).items():
        if not getattr(run, name):
            setattr(run, name, value)


def as_attributes(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details of `createRun` as attributes of a run."""
    return {
        **details,
        "config": RunConfig(details.get("config", {})),
        "tags": tuple(sorted(details.get("tags", ()))),
    }


def as_changes(details: Mapping[str, Any], run: RunRecord) -> dict[str, Any]:
    """The details of `createRun`, for a run that exists, as the body of `updateRun`."""
    names = {"config": "config_patch", "tags": "add_tags"}
    changes = {
        names.get(name, name): value for name, value in details.items() if name != "parent_uuid"
    }
    if "config_patch" in changes:
        changes["config_patch"] = _without_kept_nulls(changes["config_patch"], run.config)
    return changes


def _without_kept_nulls(patch: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A patch without the nulls that the config has: in a patch, they would remove the field."""
    kept: dict[str, Any] = {}
    for name, value in patch.items():
        before = config.get(name, ...)
        if isinstance(value, dict) and isinstance(before, dict):
            kept[name] = _without_kept_nulls(value, before)  # pyright: ignore[reportUnknownArgumentType]
        elif value is not None or before is not None:
            kept[name] = value
    return kept


def safe_config(call: str, config: Any, settings: Settings) -> dict[str, Any]:
    """A config, or a patch of one, as plain JSON without credentials.

    Raises:
        TypeError: It contains a type that JSON does not have.
        ValueError: It contains a value that JSON or the contract cannot represent.
    """
    plain = checked_config(call, config)
    if not settings.redact:
        return plain
    safe, paths = redact_config(plain)
    if paths:
        warn_once(
            f"{call}: replaced what looks like a credential in the config, at "
            f"{', '.join(paths)}; TELLURIO_REDACT=0 keeps such values"
        )
    return safe


def checked_tags(call: str, argument: str, tags: Any) -> list[str]:
    """A collection of tags, each once.

    Raises:
        TypeError: It is a string or not iterable, or a tag is not a string.
        ValueError: A tag is empty or too long, or there are too many.
    """
    if isinstance(tags, str | bytes) or not isinstance(tags, Iterable):
        raise TypeError(
            f"{call}: {argument} is {tags!r}; it must be a list of strings, such as ['baseline']"
        )
    checked = list(dict.fromkeys(checked_name(call, "tag", tag) for tag in tags))  # pyright: ignore[reportUnknownVariableType]
    if len(checked) > MAX_TAGS:
        raise ValueError(
            f"{call}: {argument} has {len(checked)} tags; it may have up to {MAX_TAGS}"
        )
    return checked


def checked_changes(
    call: str,
    *,
    name: OptionalChange = ...,
    description: OptionalChange = ...,
    group: OptionalChange = ...,
    job_type: OptionalChange = ...,
    notes: OptionalChange = ...,
) -> dict[str, Any]:
    """The fields of a run to change, without those that stay, as the body of `updateRun`.

    Raises:
        TypeError: One of them is not a string.
        ValueError: One of them is empty or too long.
    """
    changes = {
        "name": (name, checked_name, "run name"),
        "description": (description, checked_text, "description"),
        "group": (group, checked_name, "group"),
        "job_type": (job_type, checked_name, "job type"),
        "notes": (notes, checked_text, "notes"),
    }
    return {
        field: None if text is None else check(call, label, text)
        for field, (text, check, label) in changes.items()
        if text is not ...
    }


def checked_filters(
    call: str,
    *,
    tag: str | None,
    group: str | None,
    job_type: str | None,
    parent: RunRecord | str | None,
) -> dict[str, str]:
    """The details that listed runs must have, as parameters of `listRuns`.

    Raises:
        TypeError: One of them has the wrong type.
        ValueError: One of them is empty or too long, or the parent is not a UUID.
    """
    texts = {"tag": tag, "group": group, "job_type": job_type}
    filters = {
        name: checked_name(call, name.replace("_", " "), text)
        for name, text in texts.items()
        if text is not None
    }
    if parent is not None:
        filters["parent_uuid"] = _uuid_of_parent(call, parent)
    return filters


def has_details(run: RunRecord, filters: Mapping[str, str]) -> bool:
    """Whether a run has the details; a backend without the filters returns all runs."""
    return all(
        wanted in run.tags if name == "tag" else getattr(run, name) == wanted
        for name, wanted in filters.items()
    )


def _uuid_of_parent(call: str, parent: Any) -> str:
    text = parent.uuid if isinstance(parent, RunRecord) else parent
    try:
        return str(uuid.UUID(text))
    except (AttributeError, TypeError, ValueError):
        pass
    message = f"{call}: parent is {parent!r}; it must be a run or a run's UUID"
    raise ValueError(message) if isinstance(parent, str) else TypeError(message)
