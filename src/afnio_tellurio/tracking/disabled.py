"""The run while tracking is disabled."""
# ruff: noqa: D102 - its methods are those of `Run`

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.api.metrics import MetricHistory
from afnio_tellurio.api.tables import TableRows
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.settings.settings import read_settings
from afnio_tellurio.tracking.artifact import Artifact, disabled_artifact, named_artifact
from afnio_tellurio.tracking.prompts import prompt_artifact
from afnio_tellurio.tracking.run import Run
from afnio_tellurio.tracking.safeguard import deactivate
from afnio_tellurio.tracking.statuses import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from afnio_tellurio.api.artifact_entities import ArtifactLink, RunFile
    from afnio_tellurio.api.details import ConfigChange
    from afnio_tellurio.api.metrics import MetricPoint, MetricSummary
    from afnio_tellurio.api.tables import TableSummary
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.delivery.outbox import DeliveryReceipt
    from afnio_tellurio.delivery.records import End
    from afnio_tellurio.settings.settings import Settings
    from afnio_tellurio.tracking.prompts import PromptContent
    from afnio_tellurio.tracking.run_artifacts import AnyPath, ArtifactSource


class DisabledRun(Run):
    """The run of `init` if `TELLURIO_MODE` is `disabled`: every call does nothing."""

    def log(
        self, name: str, value: Any, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        pass

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        pass

    def log_rows(
        self,
        name: str,
        rows: Iterable[Mapping[str, Any]],
        key: str | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        pass

    def log_artifact(
        self, source: ArtifactSource, name: str | None = None, **options: Any
    ) -> Artifact:
        if isinstance(source, Artifact):
            return disabled_artifact(source)
        if name is None:
            # As `Run.log_artifact` names it.
            name = "disabled"
            if isinstance(source, str | os.PathLike):
                name = os.path.basename(os.path.abspath(source))  # noqa: PTH100, PTH119
        kind: str = options.get("type", "file")
        description, metadata = options.get("description"), options.get("metadata")
        artifact = named_artifact("log_artifact", name, kind, description, metadata)
        return disabled_artifact(artifact)

    def log_prompt(self, name: str, prompt: PromptContent, **options: Any) -> Artifact:
        # Without `parents`: references cannot be looked up.
        artifact = prompt_artifact(
            "log_prompt", name, prompt, options.get("description"), options.get("metadata"), []
        )
        return disabled_artifact(artifact)

    def use_artifact(self, artifact: str | Artifact, **_options: Any) -> Artifact:
        raise TellurioError(
            f"use_artifact: tracking is disabled, so {artifact!r} cannot be read; see TELLURIO_MODE"
        )

    def outputs(self, client: TellurioClient | None = None) -> list[ArtifactLink]:  # noqa: ARG002
        return []

    def inputs(self, client: TellurioClient | None = None) -> list[ArtifactLink]:  # noqa: ARG002
        return []

    def files(
        self,
        prefix: str | None = None,  # noqa: ARG002
        client: TellurioClient | None = None,  # noqa: ARG002
    ) -> list[RunFile]:
        return []

    def log_file(
        self, path: AnyPath, name: str | None = None, client: TellurioClient | None = None
    ) -> None:
        pass

    def log_image(
        self, name: str, image: Any, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        pass

    def log_audio(
        self,
        name: str,
        audio: Any,
        step: int | None = None,
        sample_rate: int | None = None,
        client: TellurioClient | None = None,
    ) -> None:
        pass

    def log_text(
        self, name: str, text: str, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        pass

    def log_html(
        self, name: str, html: str, step: int | None = None, client: TellurioClient | None = None
    ) -> None:
        pass

    def _finish(self, client: TellurioClient | None, end: End) -> DeliveryReceipt:  # noqa: ARG002
        self._leave_end(end)
        return self._receipt()

    def _end(self, status: RunStatus, because: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        if self.status not in ENDED:
            self.status = status
        deactivate(self)

    def _leave_end(self, end: End) -> None:
        self._end(RunStatus(end.status))

    def _settings(self, client: TellurioClient | None) -> Settings:  # noqa: ARG002
        return read_settings()

    def _change_details(
        self, call: str, fields: Mapping[str, Any], client: TellurioClient | None
    ) -> None:
        pass

    def _change(
        self,
        changes: Mapping[str, Any],
        client: TellurioClient | None,  # noqa: ARG002
        *,
        if_unchanged: bool,  # noqa: ARG002
    ) -> None:
        for field, value in changes.items():
            setattr(self, field, value)

    def config_changes(self, client: TellurioClient | None = None) -> list[ConfigChange]:  # noqa: ARG002
        return []

    @property
    def url(self) -> None:
        return None

    def metrics(self, name: str | None = None, client: TellurioClient | None = None) -> Any:  # noqa: ARG002
        return {} if name is None else MetricHistory(name, [], [], [])

    def tables(self, client: TellurioClient | None = None) -> dict[str, TableSummary]:  # noqa: ARG002
        return {}

    def rows(
        self,
        name: str,
        client: TellurioClient | None = None,  # noqa: ARG002
        *,
        replaced: bool = False,  # noqa: ARG002
    ) -> TableRows:
        return TableRows(name, None, [], [])

    def iter_metrics(
        self,
        name: str | None = None,  # noqa: ARG002
        client: TellurioClient | None = None,  # noqa: ARG002
    ) -> Iterator[MetricPoint]:
        return iter(())

    def summary(self, client: TellurioClient | None = None) -> dict[str, MetricSummary]:  # noqa: ARG002
        return {}

    def curve(
        self,
        name: str,  # noqa: ARG002
        buckets: int = 1000,  # noqa: ARG002
        client: TellurioClient | None = None,  # noqa: ARG002
    ) -> tuple[list[int], list[float]]:
        return [], []
