"""Finds runs and projects by the paths of arguments; errors name what exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import afnio_tellurio as te
from afnio_tellurio.filters.names import similar_names
from afnio_tellurio.notices import quoted_argument

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Names that a message lists.
_LISTED = 10
#: Runs whose names are compared with one that does not exist.
_SEARCHED = 500


def find_run(path: Sequence[str]) -> te.Run:
    """Returns the run at NAMESPACE/PROJECT/RUN.

    Raises:
        LookupError: It does not exist; the message names similar ones, or how to restore it.
        TellurioError: The request failed.
    """
    namespace, project, name = path
    try:
        return te.get_run(namespace, project, name)
    except LookupError:
        _require_not_in_trash("run", path)
        names = [run.name for run in te.runs(namespace, project, limit=_SEARCHED)]
    raise LookupError(
        f"Run {namespace}/{project}/{name} not found{existing_names(name, names, 'Newest runs')}"
    )


def list_projects(namespace: str) -> list[te.Project]:
    """Returns the projects of a namespace.

    Raises:
        LookupError: The namespace does not exist; the message names those that do.
        TellurioError: The request failed.
    """
    problem: te.NotFoundError | None = None
    projects: list[te.Project] = []
    try:
        projects = te.list_projects(namespace)
    except te.NotFoundError as error:
        problem = error
    if projects:
        return projects
    try:
        namespaces = [each.slug for each in te.list_namespaces()]
    except te.NotFoundError:
        # The backend cannot list them.
        if problem:
            raise problem from None
        return []
    if namespace not in namespaces:
        hint = existing_names(namespace, namespaces, "Namespaces")
        raise LookupError(f"Namespace {namespace} not found{hint}")
    return []


def find_namespaces(namespace: str | None) -> list[str]:
    """Returns the slug of a namespace alone, which may not exist, or those of all."""
    return [each.slug for each in te.list_namespaces()] if namespace is None else [namespace]


def find_projects(namespace: str | None) -> list[tuple[str, te.Project]]:
    """Returns the projects of a namespace, or of all, each with the slug of its namespace.

    Raises:
        LookupError: The namespace does not exist; the message names those that do.
        TellurioError: The request failed.
    """
    return [
        (slug, project) for slug in find_namespaces(namespace) for project in list_projects(slug)
    ]


def find_project(namespace: str, project: str) -> te.Project:
    """Returns a project.

    Raises:
        LookupError: It does not exist; the message names those that do.
        TellurioError: The request failed.
    """
    found = te.get_project(namespace, project)
    if found is None:
        raise LookupError(_about_missing_project(namespace, project))
    return found


def missing_project(namespace: str, project: str) -> str | None:
    """Returns the message about a project that does not exist, or None if it exists.

    Raises:
        LookupError: The namespace does not exist.
        TellurioError: The request failed.
    """
    is_missing = te.get_project(namespace, project) is None
    return _about_missing_project(namespace, project) if is_missing else None


def _require_not_in_trash(kind: str, path: Sequence[str]) -> None:
    """Raises a `LookupError` if the trash has a run or a project with this name."""
    namespace, project, *run_name = path
    try:
        items = te.list_trash(namespace)
    except te.TellurioError:
        # The message about what does not exist holds without the trash.
        return
    for item in items:
        is_named = not run_name or run_name[0] in {item.name, item.uuid}
        if item.kind == kind and item.project_slug == project and is_named:
            name = "/".join(path)
            raise LookupError(
                f"{kind.title()} {name} is in the trash. To restore it: "
                f"afnio-tellurio restore {quoted_argument(name)}"
            )


def _about_missing_project(namespace: str, project: str) -> str:
    try:
        _require_not_in_trash("project", (namespace, project))
    except LookupError as error:
        return str(error)
    try:
        slugs = [each.slug for each in list_projects(namespace)]
    except te.NotFoundError:
        # The backend cannot list them.
        return f"Project {namespace}/{project} not found"
    hint = existing_names(project, slugs, f"Projects in {namespace}")
    return f"Project {namespace}/{project} not found{hint}"


def existing_names(name: str, names: Sequence[str], title: str) -> str:
    """Returns the end of a message about a name that does not exist: similar ones, or all."""
    similar = similar_names(name, names)
    if similar:
        return f". Did you mean {' or '.join(similar)}?"
    if not names:
        return f". {title}: none"
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f". {title}: {', '.join(names[:_LISTED])}{more}"
