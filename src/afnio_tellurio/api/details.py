"""What a run is beside its metrics: its config, why it ended, and what a backend does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import attrs
from tellurio_api.types import UNSET

from afnio_tellurio.api.answers import AnswerFields
from afnio_tellurio.notices import warn_once

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    from tellurio_api import models

    from afnio_tellurio.api.connection import Connection

#: The field of a run that each field of a request sets.
_DETAILS = {
    "config": "config",
    "config_patch": "config",
    "tags": "tags",
    "add_tags": "tags",
    "remove_tags": "tags",
    "group": "group",
    "job_type": "job type",
    "notes": "notes",
    "parent_uuid": "parent",
    "environment": "environment",
}
#: What nobody asked to keep: a backend without it is not reported.
_AUTOMATIC = {"environment"}


def _refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise TypeError("run.config cannot be changed in place; use run.update_config({...})")


_refused: Any = _refuse


class RunConfig(dict[str, Any]):
    """The config of a run, to read. `Run.update_config` changes it."""

    __setitem__ = __delitem__ = __ior__ = _refused
    clear = pop = popitem = setdefault = update = _refused

    def __reduce__(self) -> tuple[Any, ...]:
        # Else unpickling would set the items one by one.
        return RunConfig, (dict(self),)


@attrs.frozen
class EndReason:
    """Why a run ended.

    Attributes:
        kind: `"exception"`, `"signal"`, `"exit"` (the status of the process), `"superseded"` by a
            newer `init`, `"canceled"` with its task, `"vanished"` with its process, or a word that
            was added later.
        type: The type of the exception, or `None`.
        message: Its message, or a sentence about the end, or `None`.
        traceback: The last 20 frames of its traceback, up to 16 KiB, or `None`.
        signal: The name of the signal, such as `"SIGTERM"`, or `None`.
        extra: The fields of a backend that is newer than this SDK, by name.
    """

    kind: str
    type: str | None = None
    message: str | None = None
    traceback: str | None = attrs.field(default=None, repr=False)
    signal: str | None = None
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)

    def __str__(self) -> str:
        if self.signal is not None:
            return f"signal {self.signal}"
        if self.type is not None:
            return f"{self.type}: {self.message}" if self.message else self.type
        return self.message or self.kind


def read_end_reason(model: models.EndReason, field: AnswerFields) -> EndReason:
    """The reason in a response about a run."""
    return EndReason(
        kind=field.text("ended_because.kind", model.kind),
        type=field.optional_text("ended_because.type", model.type_),
        message=field.optional_text("ended_because.message", model.message),
        traceback=field.optional_text("ended_because.traceback", model.traceback),
        signal=field.optional_text("ended_because.signal", model.signal),
        extra=model.additional_properties,
    )


@attrs.frozen
class ConfigChange:
    """A change of a run's config.

    Attributes:
        timestamp: When it was made, with a time zone.
        patch: What was changed, as a JSON Merge Patch (RFC 7396): `None` removes a field.
        extra: The fields of a backend that is newer than this SDK, by name.
    """

    timestamp: dt.datetime
    patch: dict[str, Any]
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False, eq=False, kw_only=True)


def read_config_change(model: models.ConfigChange) -> ConfigChange:
    """A change in a response to `listConfigChanges`."""
    field = AnswerFields("listConfigChanges")
    return ConfigChange(
        timestamp=field.date("timestamp", model.timestamp),
        patch=field.json_object("patch", model.patch),
        extra=model.additional_properties,
    )


def named_details(fields: Iterable[str]) -> str:
    """The names, for people, of what the fields of a request set."""
    return " and ".join(dict.fromkeys(_DETAILS.get(name, name) for name in fields))


def warn_of_ignored_details(
    connection: Connection, model: models.Run, fields: Mapping[str, Any]
) -> None:
    """Warns once of each detail that a backend does not keep: its answer lacks the field.

    Args:
        connection: The backend.
        model: Its answer.
        fields: The fields of the request.
    """
    for name in fields:
        detail = _DETAILS.get(name)
        attribute = name if detail not in {"config", "tags"} else detail
        if detail is None or detail in _AUTOMATIC or getattr(model, attribute) is not UNSET:
            continue
        warn_once(
            f"{connection.url} does not keep the {detail} of runs; use a backend that does, "
            "such as the local one"
        )


for _kind in (ConfigChange, EndReason):
    # Tracebacks and reprs show a class as users import it; its module may change.
    _kind.__module__ = "afnio_tellurio"
