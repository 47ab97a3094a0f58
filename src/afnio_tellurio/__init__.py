"""Run tracking for agents, prompt optimisation and training.

import afnio_tellurio as te

with te.init("my-team", "Digit Classifier") as run:
    run.log("train/loss", 0.25, step=0)
"""

from __future__ import annotations

# Type checkers take this for typing.TYPE_CHECKING, whose module takes 10 ms to be imported.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from afnio_tellurio.active import get_active_run
    from afnio_tellurio.client import TellurioClient, login
    from afnio_tellurio.delivery.recovery import SyncedJournal, sync
    from afnio_tellurio.delivery.sender import DeliveryReceipt
    from afnio_tellurio.entities import (
        MetricCurve,
        MetricHistory,
        MetricSummary,
        Project,
        RunOrg,
        RunProject,
        RunStatus,
        RunUser,
    )
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
        RunFinishedError,
        TellurioError,
    )
    from afnio_tellurio.notebook import show
    from afnio_tellurio.overviews import curves, list_metrics, summaries
    from afnio_tellurio.projects import (
        create_project,
        delete_project,
        get_project,
        list_namespaces,
        list_projects,
    )
    from afnio_tellurio.run import (
        Run,
        attach,
        delete_run,
        finish,
        flush,
        get_run,
        init,
        log,
        log_metrics,
        runs,
    )

__version__ = "0.1.0"

# Each public name and the module that holds it. A name is loaded when it is first used: httpx and
# attrs take longer to import than all the rest, and a program that never starts a run should not
# pay for them.
_MODULE_OF = {
    "sync": "delivery.recovery",
    "log_metrics": "run",
    "flush": "run",
    "attach": "run",
    "SyncedJournal": "delivery.recovery",
    "DeliveryReceipt": "delivery.sender",
    "DeliveryError": "errors",
    "ApiError": "errors",
    "BackendFailureError": "errors",
    "BackendUnreachableError": "errors",
    "BadRequestError": "errors",
    "ConflictError": "errors",
    "CredentialsError": "errors",
    "DatabaseError": "errors",
    "InvalidAPIKeyError": "errors",
    "InvalidResponseError": "errors",
    "MetricCurve": "entities",
    "MetricHistory": "entities",
    "MetricSummary": "entities",
    "NotFoundError": "errors",
    "PayloadTooLargeError": "errors",
    "PermissionDeniedError": "errors",
    "Project": "entities",
    "RateLimitError": "errors",
    "Run": "run",
    "RunFinishedError": "errors",
    "RunOrg": "entities",
    "RunProject": "entities",
    "RunStatus": "entities",
    "RunUser": "entities",
    "TellurioClient": "client",
    "TellurioError": "errors",
    "create_project": "projects",
    "curves": "overviews",
    "delete_project": "projects",
    "delete_run": "run",
    "finish": "run",
    "get_active_run": "active",
    "get_project": "projects",
    "get_run": "run",
    "init": "run",
    "list_metrics": "overviews",
    "list_namespaces": "projects",
    "list_projects": "projects",
    "log": "run",
    "login": "client",
    "runs": "run",
    "show": "notebook",
    "summaries": "overviews",
}

__all__ = [
    "ApiError",
    "BackendFailureError",
    "BackendUnreachableError",
    "BadRequestError",
    "ConflictError",
    "CredentialsError",
    "DatabaseError",
    "DeliveryError",
    "DeliveryReceipt",
    "InvalidAPIKeyError",
    "InvalidResponseError",
    "MetricCurve",
    "MetricHistory",
    "MetricSummary",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "Project",
    "RateLimitError",
    "Run",
    "RunFinishedError",
    "RunOrg",
    "RunProject",
    "RunStatus",
    "RunUser",
    "SyncedJournal",
    "TellurioClient",
    "TellurioError",
    "attach",
    "create_project",
    "curves",
    "delete_project",
    "delete_run",
    "finish",
    "flush",
    "get_active_run",
    "get_project",
    "get_run",
    "init",
    "list_metrics",
    "list_namespaces",
    "list_projects",
    "log",
    "log_metrics",
    "login",
    "runs",
    "show",
    "summaries",
    "sync",
]


# Not for type checkers, who would take it for leave to use any name.
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
    return sorted({*globals(), *__all__})
