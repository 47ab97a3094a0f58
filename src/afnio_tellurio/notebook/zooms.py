"""The zooms of a live view: a thread reads finer points for them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import attrs

from afnio_tellurio.notices import printable

if TYPE_CHECKING:
    from collections.abc import Callable

#: A view that a browser has closed does not say so: only the last zooms are kept.
_MAX_ZOOMS = 8
_MAX_MESSAGE = 300


@attrs.frozen(eq=False)
class _Zoom:
    view: str
    number: int
    first: int
    last: int


class Zooms:
    """The zooms of the places where a widget is displayed.

    A thread, because the kernel must go on with its cells. It ends when there is nothing to read.
    """

    def __init__(
        self,
        read: Callable[[int, int], list[dict[str, Any]]],
        send: Callable[[dict[str, Any]], None],
    ) -> None:
        self._read = read
        self._send = send
        self._lock = threading.Lock()
        self._zooms: dict[str, _Zoom] = {}
        self._due: list[str] = []
        self._is_reading = False

    def zoom(self, view: str, number: int, first: int, last: int) -> None:
        """Reads finer points for a view, in place of those of its zoom before.

        Args:
            view: The place.
            number: The number of the zoom, which the answer repeats.
            first: The first step.
            last: The last step.
        """
        with self._lock:
            self._zooms.pop(view, None)
            self._zooms[view] = _Zoom(view, number, first, last)
            while len(self._zooms) > _MAX_ZOOMS:
                del self._zooms[next(iter(self._zooms))]
        self._read_again([view])

    def reset(self, view: str) -> None:
        """Forgets the zoom of a view."""
        with self._lock:
            self._zooms.pop(view, None)

    def refresh(self, is_visible: Callable[[str], bool]) -> None:
        """Reads again, for the visible views: a run has grown."""
        with self._lock:
            views = [view for view in self._zooms if is_visible(view)]
        self._read_again(views)

    def _read_again(self, views: list[str]) -> None:
        with self._lock:
            self._due += [view for view in views if view not in self._due]
            if self._is_reading or not self._due:
                return
            self._is_reading = True
        threading.Thread(target=self._answer, name="tellurio-zoom", daemon=True).start()

    def _answer(self) -> None:
        while (zoom := self._next()) is not None:
            answer: dict[str, Any] = {
                "view": zoom.view,
                "number": zoom.number,
                "steps": [zoom.first, zoom.last],
                "charts": [],
                "problem": "",
            }
            try:
                answer["charts"] = self._read(zoom.first, zoom.last)
            except Exception as error:  # noqa: BLE001 - shown in the view, which keeps its points
                answer["problem"] = printable(f"No finer points: {error}")[:_MAX_MESSAGE]
            if self._zooms.get(zoom.view) is zoom:
                self._send(answer)

    def _next(self) -> _Zoom | None:
        """The next zoom to read, or None if the thread ends."""
        with self._lock:
            while self._due:
                zoom = self._zooms.get(self._due.pop(0))
                if zoom is not None:
                    return zoom
            self._is_reading = False
            return None
