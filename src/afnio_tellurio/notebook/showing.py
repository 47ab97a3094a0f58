"""Shows the curves of runs in a notebook."""

from __future__ import annotations

import importlib
import sys
import uuid
from typing import TYPE_CHECKING, Any

from afnio_tellurio.notebook.drawing import draw_curves
from afnio_tellurio.notebook.live_view import open_view
from afnio_tellurio.notebook.shown_curves import read_shown
from afnio_tellurio.notices import printable
from afnio_tellurio.overviews import checked_runs
from afnio_tellurio.settings.settings import is_quiet
from afnio_tellurio.tracking.run import Run
from afnio_tellurio.validation import checked_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from afnio_tellurio.notebook.shown_curves import ShownCurves

_HINT = (
    '<div style="font:12px system-ui,sans-serif;opacity:.7">'
    "For live, interactive curves: "
    "<code>pip install &#x27;afnio-tellurio[notebook]&#x27;</code></div>"
)
_hints = [_HINT]


def show(run: Run | Iterable[Run], *names: str) -> None:
    """Displays the curves of one run, or the overlaid curves of several, in a notebook.

    With the extra `notebook` they are interactive, and follow runs while they run. The picture that
    stays in the notebook is SVG, which needs no server.

    Args:
        run: The run, or several; up to 50 are shown.
        names: The metrics to draw; default: all that have numbers, up to 24.

    Raises:
        TypeError: A name is not a string, or the runs are not runs.
        ValueError: A name is empty or too long, there are no runs, or no run has such a metric.
            A run that is running may log its first value later.
        LookupError: A run was deleted.
        RuntimeError: The code does not run in a notebook.
        ApiError: The backend answered with an error.
        BackendUnreachableError: The backend could not be reached.
        InvalidResponseError: The backend's response is invalid.
    """
    names = tuple(checked_name("show", "metric name", name) for name in names)
    display = _find_display()
    runs = checked_runs("show", [run] if isinstance(run, Run) else run)
    if not runs:
        raise ValueError("show: no runs; pass one run or several")
    # One that is passed twice is one line.
    runs = list({run.uuid: run for run in runs}.values())
    shown = read_shown(runs, names)
    # A live view hides the picture of this class. It is an output of its own: JupyterLab shows an
    # error in place of a view without a kernel, not another form of the same output.
    picture = f"afnio-tellurio-{uuid.uuid4().hex}"
    display_id = picture

    def update(shown: ShownCurves) -> None:
        display(_bundle(shown, picture), raw=True, display_id=display_id, update=True)

    view = open_view(runs, names, shown, picture, update)
    hint = "" if view is not None or is_quiet() or not _hints else _hints.pop()
    display(_bundle(shown, picture, hint), raw=True, display_id=display_id)
    if view is not None:
        display(view, raw=True)


def _bundle(shown: ShownCurves, picture: str, hint: str = "") -> dict[str, str]:
    names = printable(", ".join(run.name for run in shown.runs))
    return {
        "text/html": f'<div class="{picture}">{draw_curves(shown)}{hint}</div>',
        "text/plain": f"<curves of {names}>",
    }


def _find_display() -> Any:
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        raise RuntimeError("show: this is not a notebook; in a terminal, use: afnio-tellurio show")
    return importlib.import_module("IPython.display").display
