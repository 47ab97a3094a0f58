"""What a run is beside its metrics, and how that is changed."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import attrs

from afnio_tellurio.api.details import RunConfig
from afnio_tellurio.tracking.changing import change_ended_run, change_run
from afnio_tellurio.tracking.configuration import check_config_size, merged
from afnio_tellurio.tracking.details import (
    OptionalChange,
    checked_changes,
    checked_tags,
    safe_config,
)
from afnio_tellurio.tracking.reading import RunReader
from afnio_tellurio.tracking.statuses import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.settings.settings import Settings


@attrs.define(eq=False, slots=False)
class RunDescriber(RunReader):
    """A run whose config, tags and texts can be changed."""

    def update_config(self, config: Any, client: TellurioClient | None = None) -> None:
        """Merges changes into the config. Each change is kept with its time.

        While the run is open, a thread delivers the change, like metrics.

        Args:
            config: What to change, in any form that `init` takes. Mappings within it are merged,
                `None` removes a field, and anything else replaces a value (RFC 7396).
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: A value cannot be recorded; the message has its path.
            ValueError: A value cannot be recorded, or all of it is too large.
            TellurioError: The run has ended, and the request failed.
        """
        patch = safe_config("update_config", config, self._settings(client))
        if patch:
            whole = merged(self.config, patch)
            check_config_size("update_config", whole)
            self._change_details("update_config", {"config_patch": patch}, client)
            self.config = RunConfig(whole)

    def tag(
        self, *add: str, remove: Iterable[str] = (), client: TellurioClient | None = None
    ) -> None:
        """Adds and removes tags. Other processes may do so at the same time.

        Args:
            add: Tags to add, each of 1 to 255 characters; up to 100.
            remove: Tags to remove, after the others are added; up to 100.
            client: The client to use; default the one that the run was started with.

        Raises:
            TypeError: A tag is not a string, or `remove` is one.
            ValueError: A tag is empty or too long, or there are too many.
            TellurioError: The run has ended, and the request failed.
        """
        fields = {
            "add_tags": checked_tags("tag", "add", add),
            "remove_tags": checked_tags("tag", "remove", remove),
        }
        fields = {name: tags for name, tags in fields.items() if tags}
        if fields:
            self._change_details("tag", fields, client)
            tags = {*self.tags, *fields.get("add_tags", ())} - {*fields.get("remove_tags", ())}
            self.tags = tuple(sorted(tags))

    def _settings(self, client: TellurioClient | None) -> Settings:
        return self._connection_for(client).settings

    def _change_details(
        self, call: str, fields: Mapping[str, Any], client: TellurioClient | None
    ) -> None:
        """Records a change of the run, or sends it if the run has ended."""
        if self.status in ENDED:
            change_ended_run(self, self._connection_for(client), self._path(), fields)
        else:
            self._append_change(call, fields, client)

    @abstractmethod
    def _append_change(
        self, call: str, fields: Mapping[str, Any], client: TellurioClient | None
    ) -> None:
        """Records a change of the open run, for delivery."""

    def update(
        self,
        name: str | None = None,
        description: OptionalChange = ...,
        client: TellurioClient | None = None,
        *,
        notes: OptionalChange = ...,
        group: OptionalChange = ...,
        job_type: OptionalChange = ...,
        if_unchanged: bool = False,
    ) -> None:
        """Renames or describes the run, which may be finished.

        Args:
            name: The new name; default unchanged. A number is appended if another run of the
                project has the name.
            description: The new description; `None` removes it, and the default leaves it
                unchanged.
            client: The client to use; default the one that the run was started with.
            notes: The new notes, in the same way.
            group: The new group, 1 to 255 characters, in the same way.
            job_type: The new job type, 1 to 255 characters, in the same way.
            if_unchanged: Whether to refuse the update if the run itself was changed since this
                object had its last answer from the backend.

        Raises:
            TypeError: One of them is not a string.
            ValueError: Nothing is passed, or a text is empty or too long.
            NotFoundError: The run does not exist.
            RunChangedError: The run was changed, and `if_unchanged` is true. Nothing was updated,
                unless the message says otherwise; read the run again with `get_run`, and update
                that.
            InvalidResponseError: The backend ignored a change: not every backend supports them.
            TellurioError: The request failed; or `if_unchanged` is true, and the backend does not
                support it: then nothing was sent.
        """
        changes = checked_changes(
            "update",
            name=... if name is None else name,
            description=description,
            notes=notes,
            group=group,
            job_type=job_type,
        )
        if not changes:
            raise ValueError(
                "update: nothing to change; pass a name, description, notes, group, or job type"
            )
        self._change(changes, client, if_unchanged=if_unchanged)

    def _change(
        self, changes: Mapping[str, Any], client: TellurioClient | None, *, if_unchanged: bool
    ) -> None:
        connection, path = self._connection_for(client), self._path()
        change_run(self, connection, path, changes, if_unchanged=if_unchanged)
