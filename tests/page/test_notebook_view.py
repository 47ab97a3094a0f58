"""The live view of notebooks, with the script that a kernel sends, in a real browser.

The model has what anywidget's has. The kernel's side is tests/notebook/test_live_view.py.
"""

import json
import queue
import re
import time

import pytest
from browser_pages import AXE, PATIENCE, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te
from afnio_tellurio.notebook.front_end import read_script, read_style
from afnio_tellurio.notebook.live_view import _data_of, _LiveView
from afnio_tellurio.notebook.shown_curves import read_shown

HOSTILE = "<img src=x onerror=alert(1)>\"'&"
RENDER = """
async ({script, data}) => {
  const listeners = {"change:data": new Set(), "msg:custom": new Set()};
  globalThis.sent = [];
  globalThis.model = {
    state: {data, picture: "picture-1"},
    get: name => model.state[name],
    on: (event, listener) => listeners[event].add(listener),
    off: (event, listener) => listeners[event].delete(listener),
    send: content => sent.push(content),
    change: data => { model.state.data = data; for (const listener of listeners["change:data"]) listener(); },
    answer: content => { for (const listener of listeners["msg:custom"]) listener(content); }
  };
  const url = URL.createObjectURL(new Blob([script], {type: "text/javascript"}));
  const {default: widget} = await import(url);
  globalThis.leave = widget.render({model, el: document.getElementById("view")});
}
"""
NOTEBOOK = """<!doctype html><html lang="en"><title>Notebook</title><meta charset="utf-8">
<style>{style}</style>
<body style="background:{paper};color:{ink}"><main><h1>Notebook</h1>
<div class="picture-1">the picture</div><div id="view"></div></main></body></html>"""
LIGHT = {"paper": "#fff", "ink": "#000"}
DARK = {"paper": "#111", "ink": "#eee"}


class Notebook:
    def __init__(self, browser):
        self._context = browser.browser.new_context()
        self.page = self._context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self._problems = []
        self.page.on("console", lambda message: self._problems.append(message.text))
        self.page.on("pageerror", lambda error: self._problems.append(f"{error} {error.stack}"))
        self.page.on("dialog", lambda dialog: (self._problems.append("dialog"), dialog.dismiss()))
        self.page.on("request", self._watch)

    def _watch(self, request):
        if not request.url.startswith(("blob:", "data:", "about:")):
            self._problems.append(request.url)

    def open(self, data, theme=LIGHT):
        self.page.set_content(NOTEBOOK.format(style=read_style(), **theme))
        self.page.evaluate(RENDER, {"script": read_script(), "data": data})
        return self.page

    def close(self):
        self._context.close()
        assert self._problems == []


@pytest.fixture
def notebook(browser):
    opened = Notebook(browser)
    yield opened
    opened.close()


def _log(client, name, values, metric="train/loss"):
    with te.init("acme", "Digits", name, client=client) as run:
        for step, value in enumerate(values):
            run.log(metric, value, step=step)
    return run


@pytest.fixture
def runs(client):
    return [_log(client, "low", [1.0] * 50), _log(client, "high", [3.0] * 50)]


def _read(runs):
    return _data_of(read_shown(runs, ()))


def _zoom(page, start, end):
    """Drags over a part of the first chart, and returns the message to the kernel."""
    _hover(page, start)
    page.mouse.down()
    _hover(page, end)
    count = page.evaluate("sent.length")
    page.mouse.up()
    page.wait_for_function(f"sent.length === {count + 1}")
    return page.evaluate("sent.at(-1)")


class Kernel:
    """The kernel's side of a view; its answers wait for the test."""

    def __init__(self, runs):
        self.answers = queue.Queue()
        self.data = {}
        self._view = _LiveView(self, runs, (), read_shown(runs, ()), lambda _shown: None)

    def on_msg(self, receive):
        self._receive = receive

    def send(self, content):
        # As JSON: nothing else reaches a browser.
        self.answers.put(json.loads(json.dumps(content)))

    def answer(self, message):
        self._receive(self, message, [])
        return self.answers.get(timeout=PATIENCE)


def _hover(page, share=0.5):
    """Puts the pointer on the first chart, at a share of its plot."""
    plot = page.locator(".u-over").first
    width = plot.evaluate("plot => plot.clientWidth")
    plot.hover(position={"x": width * share, "y": 20})


def _tip(page):
    return page.locator(".tip:not([hidden])")


def test_it_draws_what_the_kernel_sends_and_hides_the_picture(notebook, runs):
    page = notebook.open(_read(runs))
    expect(page.locator("figure canvas")).to_have_count(1)
    expect(page.locator(".runs button")).to_have_text(["low completed", "high completed"])
    expect(page.get_by_text("the picture")).to_be_hidden()
    page.evaluate("leave()")
    expect(page.get_by_text("the picture")).to_be_visible()
    expect(page.locator(".afnio-tellurio")).to_have_count(0)


def test_names_are_text(notebook, client):
    page = notebook.open(_read([_log(client, HOSTILE + "\u202e", [1, 2, 3], HOSTILE)]))
    expect(page.locator("figcaption bdi")).to_have_text(HOSTILE)
    expect(page.locator(".runs bdi")).to_have_text(HOSTILE + "\ufffd")
    _hover(page)
    expect(_tip(page).locator("bdi")).to_have_text(HOSTILE + "\ufffd")
    expect(page.locator("#view img")).to_have_count(0)


def test_the_tip_has_the_values_at_the_pointer_the_greatest_first(notebook, runs):
    page = notebook.open(_read(runs))
    expect(page.locator("figure canvas")).to_have_count(1)
    _hover(page)
    expect(_tip(page).locator("b")).to_have_text(["3", "1"])
    expect(_tip(page).locator("bdi")).to_have_text(["high", "low"])
    page.get_by_role("button", name="high").click()
    expect(page.get_by_role("button", name="high")).to_have_attribute("aria-pressed", "false")
    _hover(page, 0.4)
    expect(_tip(page).locator("b")).to_have_text(["1"])


def _mark_chart(page):
    page.locator(".u-over").first.evaluate("plot => { plot.dataset.old = 'yes'; }")


def _expect_new_chart(page):
    """Waits until the chart is drawn again: a new one shows no tip before the pointer moves."""
    expect(page.locator("[data-old]")).to_have_count(0)
    expect(page.locator(".u-over").first).to_be_visible()


def test_a_drag_zooms_and_new_values_keep_the_zoom(notebook, client):
    run = _log(client, "one", range(101))
    page = notebook.open(_read([run]))
    _hover(page, 0.25)
    page.mouse.down()
    _hover(page, 0.5)
    _mark_chart(page)
    page.mouse.up()
    _expect_new_chart(page)
    _hover(page, 0.2)
    # Steps 25 to 50.
    expect(_tip(page).locator("b")).to_have_text(["30"])
    data = _read([run])
    data["charts"][0]["lines"][0]["last"][30] = 7
    page.evaluate("data => model.change(data)", data)
    _hover(page, 0.2)
    expect(_tip(page).locator("b")).to_have_text(["7"])
    _mark_chart(page)
    page.get_by_role("button", name="Reset zoom").click()
    _expect_new_chart(page)
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)
    _hover(page, 0.2)
    expect(_tip(page).locator("b")).to_have_text(["20"])


def test_a_zoom_loads_finer_points_and_its_reset_shows_the_whole_again(notebook, client):
    run = _log(client, "one", range(961))
    page = notebook.open(_read([run]))
    coarse = _read([run])["charts"][0]["lines"][0]["step"]
    message = _zoom(page, 0.25, 0.3)
    answer = Kernel([run]).answer(message)
    (line,) = answer["charts"][0]["lines"]
    first, last = answer["steps"]
    assert 230 < first < 250
    assert 280 < last < 296
    assert line["step"] == list(range(first, last + 1))
    assert len(coarse) < 400
    assert set(line["step"]) - set(coarse)
    page.evaluate("answer => model.answer(answer)", answer)
    page.locator(".plot").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    spoken = page.locator("[aria-live]")
    expect(spoken).to_have_text(re.compile(r"^step \d+: one \d+$"))
    before = int(spoken.text_content().split()[-1])
    page.keyboard.press("ArrowRight")
    # Every step has its point, which it had not before.
    expect(spoken).to_have_text(f"step {before + 1}: one {before + 1}")
    _mark_chart(page)
    page.get_by_role("button", name="Reset zoom").click()
    _expect_new_chart(page)
    assert page.evaluate("sent.at(-1).zoom") is None
    page.evaluate("answer => model.answer(answer)", answer)
    page.locator(".plot").focus()
    _hover(page, 0.27)
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        expect(spoken).not_to_have_text(f"step {before + 1}: one {before + 1}")
    step = int(spoken.text_content().split()[-1])
    assert {step - 4, step} <= set(coarse)
    page.keyboard.press("ArrowLeft")
    expect(spoken).to_have_text(f"step {step - 4}: one {step - 4}")


def test_only_the_answer_to_the_last_zoom_counts(notebook, client):
    run = _log(client, "one", range(961))
    page = notebook.open(_read([run]))
    kernel = Kernel([run])
    first = kernel.answer(_zoom(page, 0.25, 0.5))
    second = kernel.answer(_zoom(page, 0.25, 0.5))
    assert second["number"] == first["number"] + 1
    for answer, value in (second, 2), (first, 1), ({**second, "view": "another"}, 1):
        (line,) = answer["charts"][0]["lines"]
        line["last"] = line["minimum"] = line["maximum"] = [value] * len(line["step"])
        page.evaluate("answer => model.answer(answer)", answer)
    _hover(page, 0.45)
    expect(_tip(page).locator("b")).to_have_text(["2"])


def test_a_problem_of_a_zoom_is_shown_beside_the_points_that_are_there(notebook, client):
    run = _log(client, "one", range(101))
    page = notebook.open(_read([run]))
    message = _zoom(page, 0.25, 0.5)
    answer = Kernel([run]).answer(message)
    (line,) = answer["charts"][0]["lines"]
    line["last"][line["step"].index(30)] = 7
    page.evaluate("answer => model.answer(answer)", answer)
    told = {**answer, "charts": [], "problem": "No finer points: <b>"}
    page.evaluate("answer => model.answer(answer)", told)
    expect(page.get_by_role("status")).to_have_text("No finer points: <b>")
    _hover(page, 0.2)
    expect(_tip(page).locator("b")).to_have_text(["7"])
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.get_by_role("status")).to_have_count(0)


def test_a_zoomed_line_still_grows(notebook, client):
    run = _log(client, "one", range(101))
    page = notebook.open(_read([run]))
    answer = Kernel([run]).answer(_zoom(page, 0.5, 0.99))
    # Two points are newer than the answer.
    (part,) = answer["charts"][0]["lines"]
    for column in part.keys() - {"run"}:
        part[column] = part[column][:-2]
    data = _read([run])
    data["charts"][0]["lines"][0]["last"][-1] = 7
    page.evaluate(
        "([answer, data]) => { model.answer(answer); model.change(data); }", [answer, data]
    )
    page.locator(".plot").focus()
    for _ in range(60):
        page.keyboard.press("ArrowRight")
    expect(page.locator("[aria-live]")).to_have_text("step 100: one 7")


def test_a_chart_that_is_drawn_again_keeps_the_pointer(notebook, client):
    run = _log(client, "one", range(1, 102))
    page = notebook.open(_read([run]))
    expect(page.locator("figure canvas")).to_have_count(1)
    _hover(page, 0.2)
    expect(_tip(page).locator("b")).to_have_text(["21"])
    _mark_chart(page)
    # Not with the pointer, which stays where it is.
    page.get_by_role("button", name="Log y").evaluate("button => button.click()")
    _expect_new_chart(page)
    expect(_tip(page).locator("b")).to_have_text(["21"])


def test_new_values_are_drawn(notebook, client):
    run = _log(client, "one", range(101))
    page = notebook.open(_read([run]))
    canvas = page.locator("figure canvas")
    expect(canvas).to_have_count(1)
    page.wait_for_function("document.querySelector('figure canvas').width > 0")
    page.evaluate("globalThis.canvas = document.querySelector('figure canvas')")
    before = canvas.screenshot()
    data = _read([run])
    data["charts"][0]["lines"][0]["last"] = [50] * 101
    page.evaluate("data => model.change(data)", data)
    deadline = time.monotonic() + PATIENCE
    while canvas.screenshot() == before:
        assert time.monotonic() < deadline
    # The same chart, with its zoom and pointer.
    assert page.evaluate("canvas === document.querySelector('figure canvas')")


def test_the_keyboard_reaches_values_and_zooms(notebook, runs):
    page = notebook.open(_read(runs))
    plot = page.locator(".plot")
    expect(page.locator("figure canvas")).to_have_count(1)
    plot.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[aria-live]")).to_have_text("step 2: high 3, low 1")
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    page.locator(".plot").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)


def test_the_axes_can_be_time_and_logarithmic(notebook, runs):
    page = notebook.open(_read(runs))
    page.get_by_label("X axis").select_option("relative")
    label = re.compile("^train/loss over time since start, 2 runs")
    expect(page.locator(".plot")).to_have_attribute("aria-label", label)
    _hover(page, 0.99)
    expect(_tip(page).locator("div").first).to_contain_text(" s")
    page.get_by_role("button", name="Log y").click()
    expect(page.get_by_role("button", name="Log y")).to_have_attribute("aria-pressed", "true")


def test_new_runs_metrics_and_problems_appear(notebook, client, runs):
    page = notebook.open(_read([]) | {"hidden": "1 more run not shown."})
    expect(page.get_by_text("No numeric metrics yet.")).to_be_visible()
    expect(page.get_by_text("1 more run not shown.")).to_be_visible()
    page.evaluate("data => model.change(data)", _read(runs))
    expect(page.locator("figure canvas")).to_have_count(1)
    page.evaluate("data => model.change(data)", _read(runs) | {"problem": "Not updated: <b>"})
    expect(page.get_by_role("status")).to_have_text("Not updated: <b>")


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_everyone_can_read_it_in_both_themes(notebook, runs, theme):
    page = notebook.open(_read(runs), theme)
    expect(page.locator("figure canvas")).to_have_count(1)
    name = "dark" if theme is DARK else "light"
    expect(page.locator(".afnio-tellurio")).to_have_attribute("data-theme", name)
    page.get_by_role("button", name="low").click()
    _hover(page)
    expect(_tip(page)).to_be_visible()
    assert AXE.is_file()
    assert serious_barriers(page) == []


def test_it_follows_a_change_of_the_theme(notebook, runs):
    page = notebook.open(_read(runs))
    view = page.locator(".afnio-tellurio")
    expect(view).to_have_attribute("data-theme", "light")
    color = "getComputedStyle(document.querySelector('.mark')).backgroundImage"
    before = page.evaluate(color) + page.evaluate(color.replace("Image", "Color"))
    page.evaluate("document.body.style.color = '#fff'")
    expect(view).to_have_attribute("data-theme", "dark")
    assert page.evaluate(color) + page.evaluate(color.replace("Image", "Color")) != before


def test_the_kernel_is_told_when_it_goes_out_of_view(notebook, runs):
    page = notebook.open(_read(runs))
    expect(page.locator("figure canvas")).to_have_count(1)
    page.evaluate("document.body.style.paddingTop = '300vh'")
    page.wait_for_function("sent.length === 1")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("sent.length === 2")
    page.evaluate("leave()")
    sent = page.evaluate("sent")
    assert [message["visible"] for message in sent] == [False, True, False]
    assert {type(message["view"]) for message in sent} == {str}
    assert len({message["view"] for message in sent}) == 1
