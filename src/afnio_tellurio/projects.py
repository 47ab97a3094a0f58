"""Listing, finding, creating and deleting projects."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from tellurio_api import models
from tellurio_api.api.projects import create_project as create_project_operation
from tellurio_api.api.projects import delete_project as delete_project_operation
from tellurio_api.api.projects import get_project as get_project_operation
from tellurio_api.api.projects import list_namespaces as list_namespaces_operation
from tellurio_api.api.projects import list_projects as list_projects_operation

from afnio_tellurio.client import TellurioClient, default_client
from afnio_tellurio.entities import Project, RunOrg
from afnio_tellurio.errors import NotFoundError
from afnio_tellurio.settings import is_disabled
from afnio_tellurio.validation import checked_slug
from afnio_tellurio.validation import project_slug as slug_of

# Spelt out for type checkers: the items are what the operation's generated parser makes.
_ANY_LIST: type[list[Any]] = list


def list_namespaces(client: TellurioClient | None = None) -> list[RunOrg]:
    """The namespaces that the API key can see, by slug.

    Args:
        client: The client to use; default the environment's.

    Raises:
        NotFoundError: The backend cannot list namespaces.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    if client is None and is_disabled():
        return []
    client = client or default_client()
    found: list[models.Namespace] = client.call(
        _ANY_LIST, list_namespaces_operation.sync_detailed, client=client.api
    )
    return sorted(map(RunOrg.from_model, found), key=lambda one: one.slug)


def list_projects(namespace_slug: str, client: TellurioClient | None = None) -> list[Project]:
    """The projects of a namespace, by slug.

    Args:
        namespace_slug: The slug of the namespace that owns the projects.
        client: The client to use; default the environment's.

    Raises:
        TypeError: The slug is no string.
        ValueError: The slug is empty or holds a character that no slug has.
        NotFoundError: The namespace does not exist, or the backend cannot list projects.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    checked_slug("list_projects", "namespace slug", namespace_slug)
    if client is None and is_disabled():
        return []
    client = client or default_client()
    found: list[models.Project] = client.call(
        _ANY_LIST,
        list_projects_operation.sync_detailed,
        namespace_slug=namespace_slug,
        client=client.api,
    )
    projects = [Project.from_model(model, "listProjects") for model in found]
    return sorted(projects, key=lambda project: project.slug)


def get_project(
    namespace_slug: str, project_slug: str, client: TellurioClient | None = None
) -> Project | None:
    """Finds a project.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project_slug: The project's slug.
        client: The client to use; default the environment's.

    Returns:
        The project, or `None` when it, or its namespace, does not exist.

    Raises:
        TypeError: A slug is no string.
        ValueError: A slug is empty or holds a character that no slug has.
        ApiError: The backend answered with an error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    checked_slug("get_project", "namespace slug", namespace_slug)
    checked_slug("get_project", "project slug", project_slug)
    if client is None and is_disabled():
        return None
    client = client or default_client()
    try:
        model = client.call(
            models.Project,
            get_project_operation.sync_detailed,
            namespace_slug=namespace_slug,
            project_slug=project_slug,
            client=client.api,
        )
    except NotFoundError:
        return None
    return Project.from_model(model, "getProject")


def create_project(
    namespace_slug: str,
    display_name: str,
    visibility: str = "TEAM",
    client: TellurioClient | None = None,
) -> Project:
    """Creates a project.

    Args:
        namespace_slug: The slug of the namespace that is to own the project.
        display_name: The name as people see it; its slug is made of it.
        visibility: `"TEAM"`, `"RESTRICTED"` or `"PUBLIC"`.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is no string.
        ValueError: A name is empty, too long or has no slug, or the visibility is none of the
            three.
        ConflictError: A project with that slug exists.
        NotFoundError: The namespace does not exist.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's answer makes no sense.
    """
    checked_slug("create_project", "namespace slug", namespace_slug)
    slug = slug_of("create_project", display_name)
    if visibility not in list(models.Visibility):
        allowed = ", ".join(sorted(models.Visibility))
        raise ValueError(f"create_project: visibility is {visibility!r}; give one of {allowed}")
    if client is None and is_disabled():
        now = dt.datetime.now(dt.UTC)
        nobody = str(uuid.UUID(int=0))
        return Project(nobody, display_name, slug, now, None, visibility, None, None, None, None)
    client = client or default_client()
    model = client.call(
        models.Project,
        create_project_operation.sync_detailed,
        namespace_slug=namespace_slug,
        client=client.api,
        body=models.ProjectCreate(
            display_name=display_name, visibility=models.Visibility(visibility)
        ),
    )
    return Project.from_model(model, "createProject")


def delete_project(
    namespace_slug: str, project_slug: str, client: TellurioClient | None = None
) -> None:
    """Deletes a project, its runs and their metrics.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project_slug: The project's slug.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A slug is no string.
        ValueError: A slug is empty or holds a character that no slug has.
        NotFoundError: The project does not exist.
        ApiError: The backend answered with another error.
        BackendUnreachableError: The backend could not be reached.
    """
    checked_slug("delete_project", "namespace slug", namespace_slug)
    checked_slug("delete_project", "project slug", project_slug)
    if client is None and is_disabled():
        return
    client = client or default_client()
    client.call(
        type(None),
        delete_project_operation.sync_detailed,
        namespace_slug=namespace_slug,
        project_slug=project_slug,
        client=client.api,
    )
