"""Listing, finding, creating, deleting and restoring projects; the trash of a namespace."""

from __future__ import annotations

import datetime as dt
import uuid

from afnio_tellurio.api import operations
from afnio_tellurio.api.entities import (
    Project,
    RunOrg,
    TrashedItem,
    read_namespace,
    read_project,
    read_trashed_item,
)
from afnio_tellurio.client import TellurioClient, connection_of
from afnio_tellurio.default_client import client_or_default
from afnio_tellurio.validation import checked_display_name, checked_slug, checked_text


def list_namespaces(client: TellurioClient | None = None) -> list[RunOrg]:
    """The namespaces that the API key can see, by slug.

    Args:
        client: The client to use; default the environment's.

    Raises:
        NotFoundError: The backend cannot list namespaces.
        TellurioError: The request failed.
    """
    client = client_or_default(client)
    if client is None:
        return []
    namespaces = operations.list_namespaces(connection_of(client))
    return sorted(map(read_namespace, namespaces), key=lambda namespace: namespace.slug)


def list_projects(namespace_slug: str, client: TellurioClient | None = None) -> list[Project]:
    """The projects of a namespace, by slug.

    Args:
        namespace_slug: The slug of the namespace that owns the projects.
        client: The client to use; default the environment's.

    Raises:
        TypeError: The slug is not a string.
        ValueError: The slug is empty or contains an invalid character.
        NotFoundError: The namespace does not exist, or the backend cannot list projects.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("list_projects", "namespace slug", namespace_slug)
    client = client_or_default(client)
    if client is None:
        return []
    models = operations.list_projects(connection_of(client), namespace_slug)
    projects = [read_project(model, "listProjects") for model in models]
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
        The project, or `None` if it, or its namespace, does not exist.

    Raises:
        TypeError: A slug is not a string.
        ValueError: A slug is empty or contains an invalid character.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("get_project", "namespace slug", namespace_slug)
    project_slug = checked_slug("get_project", "project slug", project_slug)
    client = client_or_default(client)
    if client is None:
        return None
    model = operations.get_project(connection_of(client), namespace_slug, project_slug)
    return None if model is None else read_project(model, "getProject")


def create_project(
    namespace_slug: str,
    display_name: str,
    visibility: str = "TEAM",
    client: TellurioClient | None = None,
) -> Project:
    """Creates a project.

    Args:
        namespace_slug: The slug of the namespace that will own the project.
        display_name: The name as people see it; the slug is made from it.
        visibility: `"TEAM"`, `"RESTRICTED"`, `"PUBLIC"`, `"OPEN"`, or another one that the backend
            accepts.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A name is not a string.
        ValueError: A name is empty, too long or without a slug.
        BadRequestError: The backend does not accept the visibility. It is a `ValueError` too.
        ConflictError: A project with that slug exists.
        NotFoundError: The namespace does not exist.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("create_project", "namespace slug", namespace_slug)
    display_name, slug = checked_display_name("create_project", display_name)
    visibility = checked_text("create_project", "visibility", visibility)
    client = client_or_default(client)
    if client is None:
        now = dt.datetime.now(dt.UTC)
        nobody = str(uuid.UUID(int=0))
        return Project(nobody, display_name, slug, now, None, visibility, None, None, None, None)
    model = operations.create_project(
        connection_of(client), namespace_slug, display_name=display_name, visibility=visibility
    )
    return read_project(model, "createProject")


def delete_project(
    namespace_slug: str,
    project_slug: str,
    client: TellurioClient | None = None,
    *,
    purge: bool = False,
) -> None:
    """Deletes a project, its runs and their metrics.

    They stay in the trash for 30 days, and `restore_project` restores them. A backend without a
    trash deletes them for good.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project_slug: The project's slug.
        client: The client to use; default the environment's.
        purge: Whether to delete them for good at once. If the namespace has no such project, this
            is the one in the trash that was deleted last.

    Raises:
        TypeError: A slug is not a string.
        ValueError: A slug is empty or contains an invalid character.
        NotFoundError: The project does not exist.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("delete_project", "namespace slug", namespace_slug)
    project_slug = checked_slug("delete_project", "project slug", project_slug)
    client = client_or_default(client)
    if client is not None:
        operations.delete_project(connection_of(client), namespace_slug, project_slug, purge=purge)


def restore_project(
    namespace_slug: str, project_slug: str, client: TellurioClient | None = None
) -> Project:
    """Restores a deleted project, its runs and their metrics from the trash.

    If several with the slug were deleted, this is the last one. If none is in the trash, the
    project with the slug is returned as it is.

    Args:
        namespace_slug: The slug of the namespace that owns the project.
        project_slug: The project's slug, or its UUID, which `list_trash` returns.
        client: The client to use; default the environment's.

    Raises:
        TypeError: A slug is not a string.
        ValueError: A slug is empty or contains an invalid character.
        NotFoundError: No such project is in the trash.
        ConflictError: A project with that slug was created meanwhile.
        TellurioError: The request failed, or the backend has no trash.
    """
    namespace_slug = checked_slug("restore_project", "namespace slug", namespace_slug)
    project_slug = checked_slug("restore_project", "project slug", project_slug)
    client = client_or_default(client)
    if client is None:
        now = dt.datetime.now(dt.UTC)
        nobody = str(uuid.UUID(int=0))
        return Project(
            nobody, project_slug, project_slug, now, None, "TEAM", None, None, None, None
        )
    connection = connection_of(client)
    model = operations.restore_project(connection, namespace_slug, project_slug)
    if model is None:
        raise operations.no_trash_error("restore_project", connection, namespace_slug)
    return read_project(model, "restoreProject")


def list_trash(namespace_slug: str, client: TellurioClient | None = None) -> list[TrashedItem]:
    """The deleted runs and projects of a namespace that can be restored, the last one first.

    The runs of a deleted project are restored with it, and are not listed. The list of a namespace
    that does not exist, or of a backend without a trash, is empty.

    Args:
        namespace_slug: The slug of the namespace.
        client: The client to use; default the environment's.

    Raises:
        TypeError: The slug is not a string.
        ValueError: The slug is empty or contains an invalid character.
        TellurioError: The request failed.
    """
    namespace_slug = checked_slug("list_trash", "namespace slug", namespace_slug)
    client = client_or_default(client)
    if client is None:
        return []
    models = operations.list_trash(connection_of(client), namespace_slug)
    return [read_trashed_item(model) for model in models or ()]
