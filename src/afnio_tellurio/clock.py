"""Time for code that goes on while tests freeze or shift the clock.

freezegun and time-machine replace `time.monotonic`, also where a module has imported its name.
While the clock stands still, a wait with a deadline would never end. So no other module uses it.

Times of day come from `time` and `datetime` as usual: a test expects to read back those it set.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    RealDatetime = dt.datetime
else:
    # While the clock is frozen, the module has a subclass in its place, which msgspec rejects.
    RealDatetime = next(kind for kind in dt.datetime.__mro__ if kind.__module__ == "datetime")

#: Seconds on a clock that never goes back, like `time.monotonic`.
monotonic: Callable[[], float]

if sys.platform == "win32":
    from importlib.util import find_spec, module_from_spec

    # The clock may be frozen already. A second instance of the module has the original.
    _spec = find_spec("time")
    assert _spec is not None
    assert _spec.loader is not None
    _time = module_from_spec(_spec)
    _spec.loader.exec_module(_time)
    monotonic = partial(_time.monotonic)
else:
    # These tools leave this function as it is for this clock.
    monotonic = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
