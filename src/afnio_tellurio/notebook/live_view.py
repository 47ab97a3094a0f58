"""The live view of curves: a widget, and a thread that follows its runs while they run."""

from __future__ import annotations

import importlib
import math
import threading
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any

from afnio_tellurio.api.entities import RunStatus
from afnio_tellurio.clock import monotonic
from afnio_tellurio.errors import TellurioError
from afnio_tellurio.notebook.drawing import describe_hidden
from afnio_tellurio.notebook.front_end import read_script, read_style
from afnio_tellurio.notebook.shown_curves import read_part, read_shown
from afnio_tellurio.notebook.zooms import Zooms
from afnio_tellurio.notices import printable
from afnio_tellurio.settings.limits import MAX_STEP
from afnio_tellurio.tracking.disabled import DisabledRun
from afnio_tellurio.tracking.finding import reread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from afnio_tellurio.api.metrics import MetricCurve
    from afnio_tellurio.notebook.shown_curves import ShownCurves
    from afnio_tellurio.tracking.run import Run

#: Seconds between two polls, as those of the page; slow polls are repeated less often.
_INTERVAL = 2.0
_SHARE = 10
#: Those of a hidden view, so that its picture is up to date when the notebook is saved.
_HIDDEN_INTERVAL = 60.0
#: A cell may show curves in a loop: only the last views stay open, and fewer follow their runs.
_MAX_OPEN = 20
_MAX_FOLLOWING = 4
_MAX_MESSAGE = 300

_open: deque[_LiveView] = deque()


def open_view(
    runs: Sequence[Run],
    names: Sequence[str],
    shown: ShownCurves,
    picture: str,
    update_picture: Callable[[ShownCurves], None],
) -> dict[str, Any] | None:
    """Opens a live view.

    Args:
        runs: The runs.
        names: The metrics; empty for all that have numbers.
        shown: What it shows at first.
        picture: The class of the picture that it hides while it is visible.
        update_picture: Replaces that picture.

    Returns:
        What to display, or None if widgets are not installed.
    """
    kind = _widget_kind()
    if kind is None:
        return None
    widget = kind(data=_data_of(shown), picture=picture)
    view = _LiveView(widget, runs, names, shown, update_picture)
    view.follow()
    _open.append(view)
    while len(_open) > _MAX_OPEN:
        _open.popleft().close()
    for older in list(_open)[:-_MAX_FOLLOWING]:
        older.stop()
    return view.bundle()


@cache
def _widget_kind() -> Any:
    try:
        anywidget: Any = importlib.import_module("anywidget")
    except ImportError:
        return None
    traitlets: Any = importlib.import_module("traitlets")
    members = {
        "_esm": read_script(),
        "_css": read_style(),
        "data": traitlets.Dict().tag(sync=True),
        "picture": traitlets.Unicode().tag(sync=True),
    }
    return type("CurvesWidget", (anywidget.AnyWidget,), members)


class _LiveView:
    """A widget, and the thread that follows its runs.

    A thread, because a kernel that trains a model answers no message before the cell has ended.
    """

    def __init__(
        self,
        widget: Any,
        runs: Sequence[Run],
        names: Sequence[str],
        shown: ShownCurves,
        update_picture: Callable[[ShownCurves], None],
    ) -> None:
        self._widget = widget
        self._runs = list(runs)
        self._names = names
        self._shown = shown
        self._update_picture = update_picture
        self._changed = threading.Condition()
        self._has_stopped = False
        # Whether each view of the widget is visible; it is displayed before the first message.
        self._visible: dict[str, bool] = {}
        self._zooms = Zooms(self._read_part, widget.send)
        widget.on_msg(self._receive)

    def bundle(self) -> dict[str, Any]:
        """What to display: other front ends than notebooks show nothing for it."""
        bundle: Any = self._widget._repr_mimebundle_()
        data: Any = bundle[0] if isinstance(bundle, tuple) else bundle  # pyright: ignore[reportUnknownVariableType]
        return {**data, "text/plain": ""}

    def follow(self) -> None:
        """Starts the thread, if a run is running."""
        if _are_running(self._runs):
            threading.Thread(target=self._follow, name="tellurio-show", daemon=True).start()

    def stop(self) -> None:
        """Has the thread end."""
        with self._changed:
            self._has_stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        """Removes the widget: the picture appears in its place."""
        self.stop()
        self._widget.close()

    def _receive(self, _widget: Any, content: Any, _buffers: Any) -> None:
        match content:
            case {"view": str(view), "visible": bool(is_visible)}:
                with self._changed:
                    self._visible[view] = is_visible
                    self._changed.notify_all()
            case {"view": str(view), "number": int(number), "zoom": [int(first), int(last)]}:
                if 0 <= first <= last:
                    self._zooms.zoom(view, number, first, min(last, MAX_STEP))
            case {"view": str(view), "zoom": None}:
                self._zooms.reset(view)
            case _:
                pass  # not from our front end

    def _follow(self) -> None:
        pause = _INTERVAL
        while self._wait(pause):
            started = monotonic()
            try:
                self._runs = [reread(run) if _are_running([run]) else run for run in self._runs]
                shown = read_shown(self._runs, self._names, are_required=False)
            except (TellurioError, ValueError, LookupError) as error:
                # A run was deleted, or the backend is away for now.
                message = printable(f"Not updated: {error}")[:_MAX_MESSAGE]
                self._widget.data = {**self._widget.data, "problem": message}
            else:
                self._shown = shown
                self._widget.data = _data_of(shown)
                self._zooms.refresh(lambda view: self._visible.get(view, True))
                if not _are_running(self._runs):
                    self._update_picture(shown)
                    return
            pause = max(_INTERVAL, _SHARE * (monotonic() - started))

    def _read_part(self, first: int, last: int) -> list[dict[str, Any]]:
        return _charts_of(read_part(self._shown, first, last))

    def _wait(self, seconds: float) -> bool:
        """Waits for the next poll; returns False if it has stopped."""
        with self._changed:
            if not self._has_stopped:
                self._changed.wait(seconds)
            self._changed.wait_for(
                lambda: self._has_stopped or self._is_visible(), _HIDDEN_INTERVAL
            )
            return not self._has_stopped

    def _is_visible(self) -> bool:
        return not self._visible or any(self._visible.values())


def _are_running(runs: Sequence[Run]) -> bool:
    return any(run.status == RunStatus.RUNNING and not isinstance(run, DisabledRun) for run in runs)


def _data_of(shown: ShownCurves) -> dict[str, Any]:
    """What the front end draws, as JSON: nothing but names, states, and numbers."""
    return {
        "runs": [
            {
                "uuid": run.uuid,
                "name": printable(run.name),
                "status": run.status.value.lower(),
                "start": run.date_created.timestamp() if run.date_created is not None else 0,
            }
            for run in shown.runs
        ],
        "charts": _charts_of(shown.lines),
        "hidden": describe_hidden(shown),
        "problem": "",
    }


def _charts_of(lines: Mapping[str, Mapping[int, MetricCurve]]) -> list[dict[str, Any]]:
    return [
        {
            "metric": name,
            "name": printable(name),
            "lines": [_line(index, curve) for index, curve in by_run.items()],
        }
        for name, by_run in lines.items()
    ]


def _line(index: int, curve: MetricCurve) -> dict[str, Any]:
    return {
        "run": index,
        "step": curve.steps,
        "timestamp": [0 if time is None else time.timestamp() for time in curve.timestamps],
        "last": list(map(_plain, curve.values)),
        "minimum": list(map(_plain, curve.minima)),
        "maximum": list(map(_plain, curve.maxima)),
    }


def _plain(value: float | None) -> float | str | None:
    """A number as JSON has it; the page has the same words for the others."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
