"""Run tracking for agents, prompt optimization and training.

import afnio_tellurio as te

with te.init("my-team", "Digit Classifier") as run:
    run.log("train/loss", 0.25, step=0)
"""

from __future__ import annotations

# Type checkers treat this as typing.TYPE_CHECKING, whose module takes 10 ms to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from afnio_tellurio.api.artifact_entities import (
        ArtifactFile,
        ArtifactLink,
        ArtifactSummary,
        RunFile,
    )
    from afnio_tellurio.api.details import ConfigChange, EndReason
    from afnio_tellurio.api.entities import (
        Project,
        RunOrg,
        RunProject,
        RunStatus,
        RunUser,
        TrashedItem,
    )
    from afnio_tellurio.api.metrics import MetricCurve, MetricHistory, MetricPoint, MetricSummary
    from afnio_tellurio.api.run_tables import RunTable
    from afnio_tellurio.api.tables import TableRows, TableSummary
    from afnio_tellurio.client import TellurioClient
    from afnio_tellurio.default_client import login
    from afnio_tellurio.delivery.outbox import DeliveryReceipt
    from afnio_tellurio.delivery.recovery import SyncedJournal
    from afnio_tellurio.errors import (
        ApiError,
        BackendFailureError,
        BackendUnreachableError,
        BadRequestError,
        ConflictError,
        CredentialsError,
        DatabaseError,
        DeliveryError,
        InvalidAPIKeyError,
        InvalidResponseError,
        NotFoundError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RateLimitError,
        RefusedDeliveryError,
        RunChangedError,
        RunFinishedError,
        TellurioError,
    )
    from afnio_tellurio.integrations.afnio import (
        configure_logging,
        suppress_variable_notifications,
    )
    from afnio_tellurio.notebook.showing import show
    from afnio_tellurio.overviews import curves, list_metrics, summaries
    from afnio_tellurio.projects import (
        create_project,
        delete_project,
        get_project,
        list_namespaces,
        list_projects,
        list_trash,
        restore_project,
    )
    from afnio_tellurio.run_tables import best, table
    from afnio_tellurio.scanning.functions import scan
    from afnio_tellurio.tracking.artifact import Artifact
    from afnio_tellurio.tracking.artifact_functions import (
        get_artifact,
        list_artifact_versions,
        list_artifacts,
        log_artifact,
        log_audio,
        log_file,
        log_html,
        log_image,
        log_text,
        restore_artifact,
        use_artifact,
    )
    from afnio_tellurio.tracking.awaitable import afinish, aget_run, ainit, aruns
    from afnio_tellurio.tracking.finding import delete_run, get_run, restore_run, runs
    from afnio_tellurio.tracking.functions import (
        attach,
        finish,
        flush,
        get_active_run,
        init,
        log,
        log_metrics,
        log_rows,
    )
    from afnio_tellurio.tracking.prompt_functions import get_prompt, log_prompt
    from afnio_tellurio.tracking.prompts import Prompt
    from afnio_tellurio.tracking.run import Run
    from afnio_tellurio.uploading import sync

__version__ = "0.1.0"

# The module of each public name. A name is loaded when it is first used: httpx and attrs take
# longer to import than everything else, and a program that never starts a run should not pay for
# them.
_NAMES_OF = {
    "api.artifact_entities": (
        "ArtifactFile",
        "ArtifactLink",
        "ArtifactSummary",
        "RunFile",
    ),
    "api.details": ("ConfigChange", "EndReason"),
    "api.entities": (
        "Project",
        "RunOrg",
        "RunProject",
        "RunStatus",
        "RunUser",
        "TrashedItem",
    ),
    "api.metrics": (
        "MetricCurve",
        "MetricHistory",
        "MetricPoint",
        "MetricSummary",
    ),
    "api.run_tables": ("RunTable",),
    "api.tables": ("TableRows", "TableSummary"),
    "client": ("TellurioClient",),
    "default_client": ("login",),
    "delivery.outbox": ("DeliveryReceipt",),
    "delivery.recovery": ("SyncedJournal",),
    "errors": (
        "ApiError",
        "BackendFailureError",
        "BackendUnreachableError",
        "BadRequestError",
        "ConflictError",
        "CredentialsError",
        "DatabaseError",
        "DeliveryError",
        "InvalidAPIKeyError",
        "InvalidResponseError",
        "NotFoundError",
        "PayloadTooLargeError",
        "PermissionDeniedError",
        "RateLimitError",
        "RefusedDeliveryError",
        "RunChangedError",
        "RunFinishedError",
        "TellurioError",
    ),
    "integrations.afnio": (
        "configure_logging",
        "suppress_variable_notifications",
    ),
    "notebook.showing": ("show",),
    "overviews": (
        "curves",
        "list_metrics",
        "summaries",
    ),
    "projects": (
        "create_project",
        "delete_project",
        "get_project",
        "list_namespaces",
        "list_projects",
        "list_trash",
        "restore_project",
    ),
    "run_tables": (
        "best",
        "table",
    ),
    "scanning.functions": ("scan",),
    "tracking.artifact": ("Artifact",),
    "tracking.artifact_functions": (
        "get_artifact",
        "list_artifact_versions",
        "list_artifacts",
        "log_artifact",
        "log_audio",
        "log_file",
        "log_html",
        "log_image",
        "log_text",
        "restore_artifact",
        "use_artifact",
    ),
    "tracking.awaitable": (
        "afinish",
        "aget_run",
        "ainit",
        "aruns",
    ),
    "tracking.finding": (
        "delete_run",
        "get_run",
        "restore_run",
        "runs",
    ),
    "tracking.functions": (
        "attach",
        "finish",
        "flush",
        "get_active_run",
        "init",
        "log",
        "log_metrics",
        "log_rows",
    ),
    "tracking.prompt_functions": ("get_prompt", "log_prompt"),
    "tracking.prompts": ("Prompt",),
    "tracking.run": ("Run",),
    "uploading": ("sync",),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}

__all__ = [
    "ApiError",
    "Artifact",
    "ArtifactFile",
    "ArtifactLink",
    "ArtifactSummary",
    "BackendFailureError",
    "BackendUnreachableError",
    "BadRequestError",
    "ConfigChange",
    "ConflictError",
    "CredentialsError",
    "DatabaseError",
    "DeliveryError",
    "DeliveryReceipt",
    "EndReason",
    "InvalidAPIKeyError",
    "InvalidResponseError",
    "MetricCurve",
    "MetricHistory",
    "MetricPoint",
    "MetricSummary",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "Project",
    "Prompt",
    "RateLimitError",
    "RefusedDeliveryError",
    "Run",
    "RunChangedError",
    "RunFile",
    "RunFinishedError",
    "RunOrg",
    "RunProject",
    "RunStatus",
    "RunTable",
    "RunUser",
    "SyncedJournal",
    "TableRows",
    "TableSummary",
    "TellurioClient",
    "TellurioError",
    "TrashedItem",
    "afinish",
    "aget_run",
    "ainit",
    "aruns",
    "attach",
    "best",
    "configure_logging",
    "create_project",
    "curves",
    "delete_project",
    "delete_run",
    "finish",
    "flush",
    "get_active_run",
    "get_artifact",
    "get_project",
    "get_prompt",
    "get_run",
    "init",
    "list_artifact_versions",
    "list_artifacts",
    "list_metrics",
    "list_namespaces",
    "list_projects",
    "list_trash",
    "log",
    "log_artifact",
    "log_audio",
    "log_file",
    "log_html",
    "log_image",
    "log_metrics",
    "log_prompt",
    "log_rows",
    "log_text",
    "login",
    "restore_artifact",
    "restore_project",
    "restore_run",
    "runs",
    "scan",
    "show",
    "summaries",
    "suppress_variable_notifications",
    "sync",
    "table",
    "use_artifact",
]


# Not for type checkers, which would then accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
