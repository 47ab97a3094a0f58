"""The live view of curves: what a real kernel sends to its front end."""

import importlib.util
import os
import queue
import re
import threading

import pytest
from children import GUARD

from afnio_tellurio.notebook import live_view
from afnio_tellurio.notebook.front_end import read_script, read_style
from afnio_tellurio.notebook.live_view import _LiveView
from afnio_tellurio.notebook.shown_curves import ShownCurves

VIEW = "application/vnd.jupyter.widget-view+json"
FOLLOWED = {
    "comm_close", "comm_msg", "comm_open", "display_data", "error", "status", "update_display_data",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _widgets():
    if importlib.util.find_spec("anywidget") is None:
        message = "anywidget is not installed; scripts/test.sh installs it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


class Cell:
    """A cell that runs, and the messages that it has the front end receive."""

    def __init__(self, client, source):
        self._client = client
        self._asked = client.execute(source)
        self.messages = []

    def until(self, is_enough):
        """Returns the first message that is enough; also one that arrives after the cell."""
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=GUARD)
            except queue.Empty:
                pytest.fail(f"it does not come; so far: {[kind for kind, _ in self.messages]}")
            kind, content = message["msg_type"], message["content"]
            if kind not in FOLLOWED:
                continue
            assert kind != "error", content
            self.messages.append((kind, content))
            if is_enough(kind, content):
                return content

    def ended(self):
        self.until(lambda _kind, content: content.get("execution_state") == "idle")
        return self.messages


def _data(content):
    return content.get("data", {}).get("state", {}).get("data")


def _steps(content):
    charts = (_data(content) or {}).get("charts", [])
    return [line["step"] for chart in charts for line in chart["lines"]]


def test_a_view_is_displayed_beside_the_picture_that_it_hides(kernel, running_kernel):
    kernel("import afnio_tellurio as te")
    messages = Cell(
        running_kernel,
        """
with te.init("acme", "Digits", "<script>\\u202eevil") as run:
    for step in range(3):
        run.log_metrics({"loss": [0.5, float("nan"), float("-inf")][step]})
te.show(run)
""",
    ).ended()
    shown = [content["data"] for kind, content in messages if kind == "display_data"]
    picture, view = shown
    assert set(picture) == {"text/html", "text/plain"}
    assert view["text/plain"] == ""
    opened = [content for kind, content in messages if kind == "comm_open"]
    states = {content["comm_id"]: content["data"]["state"] for content in opened}
    state = states[view[VIEW]["model_id"]]
    assert f'<div class="{state["picture"]}">' in picture["text/html"]
    (run,) = state["data"]["runs"]
    assert (run["name"], run["status"]) == ("<script>\ufffdevil", "completed")
    (chart,) = state["data"]["charts"]
    (line,) = chart["lines"]
    assert (chart["name"], line["step"]) == ("loss", [0, 1, 2])
    assert line["last"] == [0.5, "NaN", "-Infinity"]
    assert (state["_esm"], state["_css"]) == (read_script(), read_style())


def test_the_view_has_no_key_and_no_address(server, kernel, running_kernel):
    kernel("import afnio_tellurio as te, os; os.environ['TELLURIO_MODE'] = 'online'")
    (told,) = kernel("print(os.environ['TELLURIO_API_KEY'])")
    key = told[1]["text"].strip()
    messages = Cell(
        running_kernel,
        'with te.init("acme", "Digits") as run:\n    run.log("loss", 1)\nte.show(run)',
    ).ended()
    opened = [content["data"]["state"] for kind, content in messages if kind == "comm_open"]
    (state,) = [state for state in opened if "picture" in state]
    assert len(key) > 3
    assert key not in str(messages)
    assert server not in str(state)


def test_a_view_follows_a_run_while_the_kernel_is_busy(kernel, running_kernel, tmp_path):
    kernel("import afnio_tellurio as te, os, time")
    go_on = tmp_path / "go_on"
    cell = Cell(
        running_kernel,
        f"""
run = te.init("acme", "Digits", "live")
run.log("loss", 1)
te.show(run)
run.log("loss", 2)
while not os.path.exists({str(go_on)!r}):
    time.sleep(0.05)
run.finish()
""",
    )
    cell.until(lambda kind, content: kind == "comm_open" and _steps(content) == [[0]])
    # The cell goes on only after this.
    cell.until(lambda kind, content: kind == "comm_msg" and _steps(content) == [[0, 1]])
    go_on.touch()
    last = cell.until(
        lambda kind, content: (
            kind == "comm_msg"
            and (_data(content) or {"runs": []})["runs"][0]["status"] != "running"
        )
    )
    assert _data(last)["runs"][0]["status"] == "completed"
    # What a notebook without a kernel shows is up to date.
    picture = cell.until(lambda kind, _content: kind == "update_display_data")
    first = next(content for kind, content in cell.messages if kind == "display_data")
    assert picture["transient"] == first["transient"]
    assert re.search("</bdi> completed", picture["data"]["text/html"])
    (thread_names,) = kernel(
        "import threading\n"
        "for thread in threading.enumerate():\n"
        "    if thread.name == 'tellurio-show': thread.join()\n"
        "print([t.name for t in threading.enumerate() if t.name == 'tellurio-show'])"
    )
    assert thread_names[1]["text"] == "[]\n"


def test_a_view_that_is_opened_before_the_first_value_waits_for_its_metric(
    kernel, running_kernel, tmp_path
):
    kernel("import afnio_tellurio as te, os, time")
    go_on = tmp_path / "go_on"
    cell = Cell(
        running_kernel,
        f"""
run = te.init("acme", "Digits", "early")
te.show([run, run], "loss", "other")
run.log("other", 1)
while not os.path.exists({str(go_on)!r}):
    time.sleep(0.05)
run.log("loss", 2)
run.finish()
""",
    )
    opened = cell.until(lambda kind, content: kind == "comm_open" and _data(content))
    assert [len(_data(opened)[part]) for part in ("runs", "charts")] == [1, 2]
    polled = cell.until(lambda kind, content: kind == "comm_msg" and _data(content))
    assert _steps(polled) == [[0]]
    assert _data(polled)["problem"] == ""
    go_on.touch()
    cell.until(lambda kind, content: kind == "comm_msg" and _steps(content) == [[0], [0]])
    messages = kernel('te.show(run, "lost")')
    assert messages[-1][1]["evalue"] == "show: no metric 'lost'; did you mean 'loss'?"


def test_a_view_of_a_deleted_run_says_so(kernel, running_kernel):
    kernel("import afnio_tellurio as te")
    cell = Cell(
        running_kernel,
        """
from afnio_tellurio.notebook import live_view
run = te.init("acme", "Digits", "doomed")
run.log("loss", 1)
te.show(te.get_run("acme", "digits", "doomed"))
# It reads nothing meanwhile.
live_view._open[-1]._receive(None, {"view": "1", "visible": False}, [])
run.finish()
te.delete_run("acme", "digits", "doomed")
live_view._open[-1]._receive(None, {"view": "1", "visible": True}, [])
""",
    )
    told = cell.until(lambda _kind, content: (_data(content) or {}).get("problem"))
    assert _data(told)["problem"].startswith("Not updated: ")
    assert _steps(told) == [[0]]


def test_only_the_last_views_of_a_loop_stay_open(kernel, running_kernel):
    kernel("import afnio_tellurio as te")
    messages = Cell(
        running_kernel,
        """
import threading
from afnio_tellurio.notebook import live_view
live_view._MAX_OPEN, live_view._MAX_FOLLOWING = 3, 2
for view in live_view._open:
    view.stop()
with te.init("acme", "Digits", "looped") as run:
    run.log("loss", 1)
    for _ in range(6):
        te.show(run)
    display({"text/plain": str([view._has_stopped for view in live_view._open])}, raw=True)
""",
    ).ended()
    texts = [content["data"]["text/plain"] for kind, content in messages if kind == "display_data"]
    assert texts[-1] == "[True, False, False]"
    shown = [content["data"] for kind, content in messages if kind == "display_data"]
    views = [data[VIEW]["model_id"] for data in shown if VIEW in data]
    closed = {content["comm_id"] for kind, content in messages if kind == "comm_close"}
    assert [view in closed for view in views] == [True, True, True, False, False, False]


def _custom(view):
    """Whether a message is one of a view to its front end."""
    return lambda kind, content: (
        kind == "comm_msg" and content["comm_id"] == view and content["data"]["method"] == "custom"
    )


def _send(client, view, content):
    data = {"method": "custom", "content": content}
    message = client.session.msg("comm_msg", {"comm_id": view, "data": data})
    client.shell_channel.send(message)


def test_a_zoom_is_read_while_the_kernel_runs_other_cells(kernel, running_kernel, tmp_path):
    go_on = tmp_path / "go_on"
    kernel("import afnio_tellurio as te, os, time")
    shown = Cell(
        running_kernel,
        f"""
from afnio_tellurio.notebook import live_view
with te.init("acme", "Digits", "zoomed") as run:
    for step in range(1000):
        run.log("loss", step)
te.show(run)
read = live_view.read_part
def wait_and_read(*arguments):
    while not os.path.exists({str(go_on)!r}):
        time.sleep(0.05)
    return read(*arguments)
live_view.read_part = wait_and_read
""",
    ).ended()
    (opened,) = [
        content for kind, content in shown if kind == "comm_open" and _data(content) is not None
    ]
    view = opened["comm_id"]
    _send(running_kernel, view, {"view": "1", "number": 1, "zoom": [100, 104]})
    # A cell that comes after the zoom ends before it.
    (told,) = kernel("print('busy')")
    assert told[1]["text"] == "busy\n"
    go_on.touch()
    cell = Cell(running_kernel, "live_view.read_part = read")
    answer = cell.until(_custom(view))["data"]["content"]
    assert (answer["view"], answer["number"], answer["problem"]) == ("1", 1, "")
    (chart,) = answer["charts"]
    assert (chart["metric"], chart["lines"][0]["last"]) == ("loss", [100, 101, 102, 103, 104])


def test_the_points_of_a_zoom_grow_with_the_run(kernel, running_kernel, tmp_path):
    kernel("import afnio_tellurio as te, os, time")
    go_on = tmp_path / "go_on"
    cell = Cell(
        running_kernel,
        f"""
from afnio_tellurio.notebook import live_view
run = te.init("acme", "Digits", "growing")
run.log("loss", 1)
te.show(run)
live_view._open[-1]._receive(None, {{"view": "1", "number": 1, "zoom": [0, 10]}}, [])
while not os.path.exists({str(go_on)!r}):
    time.sleep(0.05)
run.log("loss", 2)
run.finish()
""",
    )

    def has(steps):
        def is_enough(kind, content):
            answer = content.get("data", {}).get("content", {})
            charts = answer.get("charts", [])
            return kind == "comm_msg" and [
                line["step"] for chart in charts for line in chart["lines"]
            ] == [steps]

        return is_enough

    cell.until(has([0]))
    go_on.touch()
    cell.until(has([0, 1]))


class FakeWidget:
    def __init__(self):
        self.data = {}
        self.send = None

    def on_msg(self, receive):
        self.receive = receive


NOTHING = ShownCurves([], [], {}, 0, 0)


class RecordingCondition:
    """Records what is waited for, and lets no time pass."""

    def __init__(self):
        self.waited = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def notify_all(self):
        pass

    def wait(self, _seconds):
        pass

    def wait_for(self, is_due, seconds):
        self.waited.append((is_due(), seconds))


def test_a_hidden_view_is_read_less_often():
    widget = FakeWidget()
    view = _LiveView(widget, [], (), NOTHING, lambda _shown: None)
    view._changed = condition = RecordingCondition()
    messages = [
        {"view": "1", "visible": False}, {"view": "2", "visible": True},
        {"view": "2", "visible": False}, {"view": 3}, None, {"view": "1", "visible": True},
    ]  # fmt: skip
    assert view._wait(2.0)
    for message in messages:
        widget.receive(widget, message, [])
        assert view._wait(2.0)
    assert [is_due for is_due, _ in condition.waited] == [
        True, False, True, False, False, False, True
    ]  # fmt: skip
    assert {seconds for _, seconds in condition.waited} == {live_view._HIDDEN_INTERVAL}
    view.stop()
    assert not view._wait(2.0)


def test_a_view_that_is_stopped_ends_at_once():
    view = _LiveView(FakeWidget(), [], (), NOTHING, lambda _shown: None)
    waiting = threading.Thread(target=view._wait, args=[10**6], daemon=True)
    waiting.start()
    view.stop()
    waiting.join(GUARD)
    assert not waiting.is_alive()


def test_nothing_is_loaded_from_elsewhere():
    assert not re.search(r"\bimport\b\s*[({*\w]|\bfetch\(|XMLHttpRequest", read_script())
    assert not re.search(r"@import|url\(", read_style())


def test_the_style_has_the_colors_of_both_themes():
    assert read_style().count("--line-7:") == 2
    assert read_style().count("&[data-theme=dark] {") == 1
    assert ":root" not in read_style()
