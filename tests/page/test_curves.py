"""The curves of the page, in a real browser: what they show, and their controls."""

import datetime as dt
import math
import re
from urllib.parse import parse_qs

import pytest
from browser_pages import Requests, eventually
from freezegun import freeze_time
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
# The number of line pixels in a column of a chart, at a share of its width.
COLORED = """([name, share]) => {
    const canvas = document.querySelector(`figure[data-metric="${name}"] canvas`);
    const plot = document.querySelector(`figure[data-metric="${name}"] .u-over`);
    // Values that were not loaded yet have no line.
    if (!canvas || !plot) return 0;
    const ratio = canvas.width / canvas.clientWidth;
    const x = Math.round((plot.offsetLeft + plot.clientWidth * share) * ratio);
    // With the edges: a line may run along the bottom.
    const y = Math.round(plot.offsetTop * ratio) - 1;
    const data = canvas.getContext("2d").getImageData(x, y, 3, Math.round(plot.clientHeight * ratio) + 2).data;
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
        const [r, g, b, a] = data.slice(i, i + 4);
        if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count += 1;
    }
    return count;
}"""


def chart(page, name="train/loss"):
    return page.locator(f'figure[data-metric="{name}"]')


def expect_runs(page, count):
    """Waits until the chart has lines of `count` runs."""
    label = re.compile(f"train/loss over step, {count} runs")
    expect(chart(page).locator(".plot")).to_have_attribute("aria-label", label)
    expect(chart(page).locator("canvas")).to_be_visible()


def expect_line(page, name, share):
    page.wait_for_function(f"(place) => ({COLORED})(place) > 0", arg=[name, share])


def test_there_is_a_curve_for_each_metric_in_its_group(open_digits):
    page = open_digits(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    expect(page.locator("h2 bdi")).to_have_text(["train", "val"])
    expect(page.locator("figcaption > bdi")).to_have_text(["flat", "loss", "loss"])
    expect(page.locator("figcaption > bdi").first).to_have_attribute("title", "train/flat")
    assert chart(page, "confusion").count() == 0


def test_only_the_chosen_runs_have_lines_and_a_reload_keeps_them(open_digits):
    page = open_digits(PROJECT)
    expect_runs(page, 3)
    page.get_by_label("Show low").uncheck()
    expect_runs(page, 2)
    page.reload()
    expect_runs(page, 2)
    expect(page.locator("[aria-label=Runs] li:has(:checked) a")).to_have_text(["high", "middle"])
    page.get_by_role("button", name="Reset selection").click()
    expect(page.get_by_label("Show low")).to_be_checked()


def test_up_to_eight_lines_have_colors_of_their_own_and_more_have_patterns(open_page, client):
    for number in range(10):
        with te.init("acme", "Digits", f"r{number}", client=client) as run:
            run.log("train/loss", number)
    page = open_page(PROJECT)
    marks = page.locator("[aria-label=Runs] :checked + .mark")
    expect(marks).to_have_count(10)
    styles = [mark.get_attribute("style") for mark in marks.all()]
    assert len(set(styles)) == 10
    assert sum("transparent" in style for style in styles) == 2
    # Two of them are left: they take colors alone, and keep those that they had.
    for number in range(8):
        page.get_by_label(f"Show r{number}").uncheck()
    expect(marks).to_have_count(2)
    assert [mark.get_attribute("style") for mark in marks.all()] == styles[:2]
    page.get_by_role("button", name="Show only r3").click()
    expect(marks).to_have_count(1)
    assert "transparent" not in marks.get_attribute("style")


def test_runs_are_selected_all_none_or_one(open_digits):
    page = open_digits(PROJECT)
    expect_runs(page, 3)
    page.get_by_label("Show only middle").click()
    expect(chart(page).locator(".plot")).to_have_attribute("aria-label", re.compile("1 run[.]"))
    page.get_by_role("button", name="All", exact=True).click()
    expect_runs(page, 3)
    page.get_by_role("button", name="None").click()
    expect(page.get_by_text("No runs are selected.")).to_be_visible()
    expect(page.locator("figure")).to_have_count(0)
    page.locator(".main").get_by_role("button", name="Reset selection").click()
    expect_runs(page, 3)


def test_nan_is_a_gap(open_digits, digits):
    page = open_digits(f"{PROJECT}runs/{digits.low}/")
    expect(chart(page, "train/flat").locator("canvas")).to_be_visible()
    expect_line(page, "train/flat", 0.2)
    expect_line(page, "train/flat", 0.8)
    assert page.evaluate(COLORED, ["train/flat", 0.5]) == 0


def test_the_x_axis_can_be_time(open_digits, digits):
    page = open_digits(f"{PROJECT}runs/{digits.low}/")
    for axis, label in (("relative", "time since start"), ("wall", "wall time")):
        page.get_by_label("X axis").select_option(axis)
        expect(chart(page).locator(".plot")).to_have_attribute("aria-label", re.compile(label))
        assert f"x={axis}" in page.url
        expect_line(page, "train/loss", 0.5)


def test_axes_can_be_logarithmic_and_lines_smoothed(open_digits, digits):
    page = open_digits(f"{PROJECT}runs/{digits.low}/")
    expect(chart(page).locator("canvas")).to_be_visible()
    picture_of = "document.querySelector(`figure[data-metric='train/loss'] canvas`).toDataURL()"
    seen = {page.evaluate(picture_of)}
    for act in (
        lambda: page.get_by_label("Log y").check(),
        lambda: page.get_by_label("Log x").check(),
        lambda: page.get_by_label("Smoothing").fill("5"),
    ):
        act()
        page.wait_for_function(f"(seen) => !seen.includes({picture_of})", arg=list(seen))
        seen.add(page.evaluate(picture_of))
    expect(page.locator("output")).to_have_text("10 steps")
    assert all(word in page.url for word in ("logx=1", "logy=1", "smooth=10"))


def test_a_zoom_asks_for_finer_ranges_of_its_steps_alone(open_page, client):
    with te.init("acme", "Digits", "long", client=client) as run:
        for step in range(5000):
            run.log("loss", step % 100, step=step)
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    plot = chart(page, "loss").locator(".u-over")
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    middle = box["y"] + box["height"] / 2
    with page.expect_request(lambda request: "from_step" in request.url) as asked:
        page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=4)
        page.mouse.up()
    query = dict(part.split("=") for part in asked.value.url.split("?")[1].split("&"))
    start, end = int(query["from_step"]), int(query["to_step"])
    assert 2250 < start < 2625 < end < 3250
    answer = asked.value.response().json()
    assert answer["series"][0]["width"] == 1
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)
    assert "zoom" not in page.url


def drag(page, plot, start, end):
    """Zooms in between two shares of a chart's width."""
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, middle, steps=4)
    page.mouse.up()


@pytest.mark.parametrize("axis", ["step", "relative", "wall"])
def test_a_zoom_is_shared_by_all_charts_and_kept_in_the_address(open_page, client, axis):
    with (
        freeze_time("2026-01-14 12:00") as clock,
        te.init("acme", "Digits", "long", client=client) as run,
    ):
        for step in range(2000):
            run.log("loss", step % 100, step=step)
            run.log("train/loss", step % 10, step=step)
            clock.tick(1)
    page = open_page(f"{PROJECT}runs/{run.uuid}/?x={axis}")
    for name in ("loss", "train/loss"):
        expect_line(page, name, 0.5)
    asked = Requests(page, "from_step")
    assert asked.all() == []
    drag(page, chart(page, "loss").locator(".u-over"), 0.4, 0.6)
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    asked.to_be_more_than(1)
    requests = [parse_qs(request["url"].partition("?")[2]) for request in asked.all()]
    assert {query["name"][0] for query in requests} == {"loss", "train/loss"}
    low, high = map(float, parse_qs(page.url.partition("?")[2])["zoom"])
    if axis == "step":
        assert {query["from_step"][0] for query in requests} == {str(math.floor(low))}
        assert {query["to_step"][0] for query in requests} == {str(math.ceil(high))}
        chart(page, "train/loss").locator(".plot").press("ArrowRight")
        # It moves from where the pointer was in the other chart, or from the start.
        spoken = chart(page, "train/loss").locator("[aria-live=polite]")
        expect(spoken).to_contain_text(re.compile("^step (8..|9..|1,[012]..):"))
    start = dt.datetime(2026, 1, 14, 12, tzinfo=dt.UTC).timestamp() if axis == "wall" else 0
    for query in requests:
        # A step takes a second; the values of the whole run are some steps apart.
        assert abs(int(query["from_step"][0]) - (low - start)) < 20
        assert abs(int(query["to_step"][0]) - (high - start)) < 20
    page.reload()
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    for name in ("loss", "train/loss"):
        expect_line(page, name, 0.5)
    # Another axis has other numbers.
    page.get_by_label("X axis").select_option("wall" if axis == "step" else "step")
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)


def test_a_zoom_between_two_points_in_time_asks_for_those_between_them(open_digits):
    page = open_digits("/")
    steps = page.evaluate(
        """async () => {
            const {stepsBetween} = await import("/assets/plotting.js");
            const lines = [
                {start: 100, series: {step: [0, 10, 20, 30], timestamp: [100, 110, 120, 130]}},
                {start: 0, series: {step: [5, 500], timestamp: [1, 2]}},
            ];
            const ranges = [[12, 18], [10, 20], [9, 21], [31, 40], [-5, -1], [-5, 0], [30, 40]];
            return ranges.map(range => stepsBetween(lines, range, "relative"));
        }"""
    )
    assert steps == [[10, 20], [0, 30], [0, 30], None, None, [0, 10], [20, 30]]


def test_a_zoom_of_an_address_asks_for_steps_that_there_can_be(open_digits):
    page = open_digits(f"{PROJECT}?zoom=-1e30&zoom=1e30")
    expect_runs(page, 3)
    asked = Requests(page, "from_step")
    asked.to_be_more_than(1)
    for request in asked.all():
        query = parse_qs(request["url"].partition("?")[2])
        assert query["from_step"] == ["0"]
        assert 2**53 < int(query["to_step"][0]) < 2**63
    expect(page.locator(".problem:visible")).to_have_count(0)


def test_hovering_shows_all_runs_at_that_step(open_digits):
    page = open_digits(PROJECT)
    expect_runs(page, 3)
    chart(page).locator(".u-over").hover(position={"x": 30, "y": 50})
    tip = page.locator(".tip:visible")
    expect(tip.locator("> div").first).to_have_text(re.compile(r"^step \d+$"))
    expect(tip.locator("bdi")).to_have_text(["high", "middle", "low"])
    expect(tip).to_have_count(1)


def test_a_chart_that_is_drawn_again_under_a_resting_pointer_keeps_its_tip(open_digits):
    page = open_digits(PROJECT)
    expect_runs(page, 3)
    plot = chart(page).locator(".u-over")
    plot.hover(position={"x": 30, "y": 50})
    tip = chart(page).locator(".tip")
    expect(tip).to_be_visible()
    before = tip.inner_text()
    plot.evaluate("(plot) => { plot.dataset.old = 'yes'; }")
    # For the page, this equals a click on the button, without moving the pointer.
    page.get_by_role("button", name="Dark mode").dispatch_event("click")
    expect(chart(page).locator("[data-old]")).to_have_count(0)
    expect(plot).to_be_visible()
    expect(tip).to_be_visible()
    assert tip.inner_text() == before
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()
    page.get_by_role("button", name="Light mode").dispatch_event("click")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    expect(plot).to_be_visible()
    expect(tip).to_be_hidden()


def test_a_tip_shows_new_values_under_a_resting_pointer(open_page, client):
    run = te.init("acme", "Digits", "live", client=client)
    for step in (0, 1):
        run.log("loss", 1.5, step=step)
    run.flush()
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    plot = chart(page, "loss").locator(".u-over")
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    plot.hover(position={"x": box["width"] - 5, "y": 50})
    tip = chart(page, "loss").locator(".tip")
    expect(tip).to_contain_text("step 1")
    run.log("loss", 2.5, step=2)
    run.flush()
    eventually(page, expect(tip).to_contain_text, "step 2")
    expect(tip).to_contain_text("2.5")
    run.finish()


def test_all_digits_of_a_large_step_are_shown(open_page, client):
    with te.init("acme", "Digits", "tokens", client=client) as run:
        for step in (0, 12_345_678, 12_345_679):
            run.log("loss", 1, step=step)
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    plot = chart(page, "loss").locator(".plot")
    expect(plot.locator("canvas")).to_be_visible()
    spoken = chart(page, "loss").locator("[aria-live=polite]")
    plot.press("ArrowRight")
    expect(spoken).to_contain_text("step 12,345,678:")
    expect(plot.locator(".tip")).to_contain_text("step 12,345,678")
    page.get_by_role("button", name="Table: loss").click()
    expect(chart(page, "loss").locator("tbody")).to_contain_text("12,345,678")


def test_a_chart_is_used_with_the_keyboard_alone(open_digits):
    page = open_digits(PROJECT)
    expect_runs(page, 3)
    plot = chart(page).locator(".plot")
    plot.focus()
    page.keyboard.press("ArrowRight")
    spoken = chart(page).locator("[aria-live=polite]")
    expect(spoken).to_contain_text("step 1:")
    page.keyboard.press("ArrowRight")
    expect(spoken).to_have_text("step 2: high 1, middle 0.66667, low 0.33333")
    page.keyboard.press("ArrowLeft")
    expect(spoken).to_contain_text("step 1:")
    page.get_by_role("button", name="Dark mode").dispatch_event("click")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(chart(page).locator("canvas")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(spoken).to_contain_text("step 2:")
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)


def test_behind_each_curve_there_is_a_table(open_digits, digits):
    page = open_digits(f"{PROJECT}runs/{digits.low}/")
    button = page.get_by_role("button", name="Table: train/flat")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    table = chart(page, "train/flat").get_by_role("table")
    expect(table.locator("tbody tr")).to_have_count(100)
    expect(table.locator("tbody tr").nth(50)).to_contain_text("NaN")


def test_a_curve_is_saved_as_csv_and_as_a_picture(open_digits):
    page = open_digits(PROJECT)
    expect_runs(page, 3)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV: train/loss").click()
    assert download.value.suggested_filename == "train_loss.csv"
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "run,metric,step,time,last,minimum,maximum,count"
    assert len(lines) == 301
    assert re.match(r"high,train/loss,0,20\d\d-.*Z,3,3,3,1$", lines[1])
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG: train/loss").click()
    assert download.value.suggested_filename == "train_loss.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG\r\n")


def test_nothing_can_be_saved_before_it_is_loaded(open_digits):
    page = open_digits("/")
    # No response arrives.
    page.route("**/metrics/sample/**", lambda _route: None)
    page.get_by_role("link", name="Digits").click()
    expect(chart(page)).to_contain_text("Loading…")
    expect(chart(page).get_by_role("button")).to_have_count(0)
    page.unroute("**/metrics/sample/**")
    page.reload()
    expect(page.get_by_role("button", name="Save as CSV: train/loss")).to_be_enabled()


# Axes, averages, and tips


def test_ticks_are_round_whole_and_tight(open_digits):
    page = open_digits("/")
    ticks = page.evaluate(
        """async () => {
            const axes = await import("/assets/axes.js");
            return {
                whole: axes.linearTicks(0, 3, 8, "whole"),
                halves: axes.linearTicks(0, 1, 3),
                seconds: axes.linearTicks(0, 600, 7, "seconds"),
                decades: axes.logTicks(0.001, 1000, 4),
                tight: axes.logTicks(2.1, 2.9, 4),
                texts: axes.tickTexts([0, 0.25, 0.5], false),
                small: axes.tickTexts([0, 2.5e-5, 5e-5, 7.5e-5], false),
                alike: axes.tickTexts([4.5e-4, 5e-4, 5.5e-4, 6e-4], false),
                large: axes.tickTexts([0, 500000, 1000000, 1500000], false),
                range: axes.paddedRange(2, 3, true),
                flat: axes.paddedRange(5, 5, false),
            };
        }"""
    )
    low, high = ticks.pop("range")
    assert 1.9 < low < 2
    assert 3 < high < 3.1
    assert ticks.pop("flat") == [4.5, 5.5]
    assert ticks == {
        "whole": [0, 1, 2, 3],
        "halves": [0, 0.5, 1],
        "seconds": [0, 120, 240, 360, 480, 600],
        "decades": [0.01, 1, 100],
        "tight": [2.2, 2.4, 2.6, 2.8],
        "texts": ["0", "0.25", "0.50"],
        "small": ["0", "2.5e-5", "5e-5", "7.5e-5"],
        "alike": ["0.00045", "0.00050", "0.00055", "0.00060"],
        "large": ["0", "500K", "1M", "1.5M"],
    }


# What the charts write, by their canvas.
RECORD_TEXTS = """
globalThis.written = [];
const fillText = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...others) {
    written.push([this.canvas, text]);
    return fillText.call(this, text, ...others);
};
"""
WRITTEN = """(name) => written
    .filter(([canvas]) => canvas.closest(`[data-metric="${name}"]`)).map(([, text]) => text)"""


@pytest.mark.parametrize("query", ["", "?logy=1"])
@pytest.mark.parametrize("size", [1e-300, 1e21, 1e300])
def test_a_metric_of_any_size_has_ticks(open_page, client, query, size):
    with te.init("acme", "Digits", "sizes", client=client) as run:
        for step in range(1, 9):
            run.log("total_flos", step * size, step=step)
    page = open_page(f"{PROJECT}{query}", service_workers="block")
    page.add_init_script(RECORD_TEXTS)
    page.reload()
    expect(chart(page, "total_flos").locator("canvas")).to_be_visible()
    page.wait_for_function(
        f"text => ({WRITTEN})('total_flos').includes(text)", arg=f"{2 * size:.0e}"
    )


@pytest.mark.parametrize("query", ["", "?logy=1"])
def test_a_metric_of_whole_numbers_has_whole_ticks(open_page, client, query):
    with te.init("acme", "Digits", "counts", client=client) as run:
        for step, epoch in enumerate((1, 1, 2, 2)):
            run.log("epoch", epoch, step=step)
            run.log("loss", epoch / 1.6, step=step)
    page = open_page(f"{PROJECT}{query}", service_workers="block")
    page.add_init_script(RECORD_TEXTS)
    page.reload()
    expect(page.locator("figure canvas")).to_have_count(2)

    def texts(name):
        page.wait_for_function(f"(name) => ({WRITTEN})(name).includes('Step')", arg=name)
        return set(page.evaluate(WRITTEN, name)) - {"Step"}

    # Steps are whole, too.
    assert texts("epoch") <= {"0", "1", "2", "3"}
    assert {text for text in texts("loss") if "." in text}


def test_an_average_is_the_same_at_any_resolution(open_digits):
    page = open_digits("/")
    averages = page.evaluate(
        """async () => {
            const {averaging} = await import("/assets/plotting.js");
            return [1, 16, 64].map(width => {
                const average = averaging(100, width);
                let value;
                for (let step = width - 1; step < 1024; step += width) value = average(step, step < 512 ? 1 : 3);
                return value;
            });
        }"""
    )
    assert averages[0] == pytest.approx(3 - 2 * 2**-5.12, rel=0.01)
    assert averages == pytest.approx([averages[0]] * 3, rel=1e-9)


def test_a_pointer_may_leave_a_chart_that_lacks_a_line(open_digits):
    page = open_digits("/")
    widths = page.evaluate(
        """async () => {
            const {showTip} = await import("/assets/tips.js");
            const box = document.createElement("div");
            box.append(document.createElement("div"));
            const chart = {cursor: {left: -10}, series: [{}, {width: 9}], redraw: () => 0};
            const drawn = [{}, {part: "y", line: 0}, {part: "y", line: 1}];
            showTip(chart, box.firstChild, {plot: {drawn, data: [[]]}, lines: []}, "step");
            return chart.series.map(({width}) => width);
        }"""
    )
    assert widths == [None, 1.5]


def test_an_average_is_the_same_in_a_zoom(open_digits):
    page = open_digits("/")
    whole, part = page.evaluate(
        """async () => {
            const {plotted} = await import("/assets/plotting.js");
            const settings = {x: "step", logX: false, logY: false, halfLife: 10, zoom: null};
            const seriesOf = (start) => {
                const step = Array.from({length: 100 - start}, (_, index) => start + index);
                const last = step.map(step => step < 50 ? 1 : 3);
                const count = step.map(() => 1);
                return {step, timestamp: step, last, minimum: last, maximum: last, count, width: 1};
            };
            const whole = seriesOf(0);
            const lines = [{series: whole}, {series: seriesOf(55), lead: whole}];
            return lines.map(line => plotted([line], settings).points[0].parts.y.slice(-45));
        }"""
    )
    assert len(part) == 45
    assert part == pytest.approx(whole, rel=1e-12)


def test_lines_are_plotted_alike_over_steps_and_over_times_that_equal_them(open_digits):
    """Over steps, a series is drawn as it is; over times, its points are copied."""
    page = open_digits("/")
    differing, lengths = page.evaluate(
        """async () => {
            const {plotted} = await import("/assets/plotting.js");
            let seed = 1;
            const below = (limit) => (seed = (seed * 48271) % 2147483647) % limit;
            const seriesOf = () => {
                const [first, every, length] = [below(3), 1 + below(2), below(6)];
                const step = Array.from({length}, (_, at) => first + at * every);
                const value = () => below(12) ? below(100) : [null, "NaN", "Infinity"][below(3)];
                const [last, minimum, maximum] = [0, 1, 2].map(() => step.map(value));
                const count = step.map(() => 1 + below(1 + below(2)));
                return {step, timestamp: step, last, minimum, maximum, count, width: every};
            };
            const dataOf = (lines, x) => {
                const settings = {x, logX: false, logY: false, halfLife: 0, zoom: null};
                const {points, data, drawn, isEmpty, bandWidth} = plotted(lines, settings);
                // Nothing follows the last point of a line.
                if (!isRight(lines, data, drawn)) differing.push(data);
                const rows = data.map(row => Array.from(data[0], (_, at) => row[at] === undefined ? "" : row[at]));
                const places = points.map(({x: xs, index}) => xs.map((x, at) => [x, index ? index[at] : at]));
                return JSON.stringify({rows, drawn, isEmpty, bandWidth, places});
            };
            const differing = [];
            const lengths = new Set();
            // Each row has what its line has at each step.
            const column = {y: "last", low: "minimum", high: "maximum"};
            const isRight = (lines, [xs, ...rows], drawn) => rows.every((row, at) => {
                const {part, line} = drawn[at + 1];
                const {step, [column[part]]: values} = lines[line].series;
                return step.every(one => xs.includes(one)) && [...xs].every((x, place) => {
                    const value = step.includes(x) ? values[step.indexOf(x)] : undefined;
                    return row[place] === (typeof value === "string" ? null : value);
                });
            });
            for (let round = 0; round < 500; round += 1) {
                const lines = Array.from({length: 1 + below(4)}, (_, slot) => ({slot, start: 0, series: seriesOf()}));
                const [copied, direct] = ["relative", "step"].map(x => dataOf(lines, x));
                if (copied !== direct) differing.push([copied, direct]);
                lengths.add(lines.length);
            }
            return [differing, lengths.size];
        }"""
    )
    assert differing == []
    assert lengths == 4


def test_a_point_is_drawn_for_each_step_that_has_a_pixel(open_page, client):
    with te.init("acme", "Digits", "dense", client=client) as run:
        for step in range(250):
            run.log("loss", step % 7, step=step)
    page = open_page(PROJECT)
    expect(chart(page, "loss").locator("canvas")).to_be_visible()
    chart(page, "loss").hover()
    page.get_by_role("button", name="Table: loss").click()
    expect(chart(page, "loss").locator("tbody tr")).to_have_count(250)
    asked = Requests(page, "/metrics/sample/").all()
    assert len([request for request in asked if "cursor" not in request["url"]]) == 1


def test_a_tip_has_the_greatest_value_first_and_marks_the_nearest_line(open_page, client):
    for name, value, steps in (("short", 9, 10), ("low", 1, 100), ("high", 5, 100)):
        with te.init("acme", "Digits", name, client=client) as run:
            for step in range(steps):
                run.log("loss", value, step=step)
    page = open_page(PROJECT)
    plot = chart(page, "loss").locator(".u-over")
    box = plot.bounding_box()
    tip = chart(page, "loss").locator(".tip")
    plot.hover(position={"x": box["width"] * 0.02, "y": 20})
    expect(tip.locator("bdi")).to_have_text(["short", "high", "low"])
    expect(tip.locator("[data-near=true] bdi")).to_have_text("short")
    # The short run has ended there.
    plot.hover(position={"x": box["width"] * 0.8, "y": box["height"] - 5})
    expect(tip.locator("bdi")).to_have_text(["high", "low"])
    expect(tip.locator("[data-near=true] bdi")).to_have_text("low")


def test_one_chart_has_a_logarithmic_axis_of_its_own(open_digits):
    page = open_digits(PROJECT)
    expect_runs(page, 3)
    button = page.get_by_role("button", name="Logarithmic y axis: train/loss")
    # The tools are there for the keyboard too, when there are values.
    expect(button).to_be_enabled()
    button.focus()
    expect(chart(page).locator(".tools")).to_have_css("opacity", "1")
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    other = page.get_by_role("button", name="Logarithmic y axis: val/loss")
    expect(other).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_be_enabled()
    button.press("Enter")
    expect(page).to_have_url(re.compile(f"{PROJECT}$"))


def test_a_chart_takes_the_whole_screen(open_digits):
    page = open_digits(PROJECT)
    expect_runs(page, 3)
    small = chart(page).locator("canvas").bounding_box()
    page.get_by_role("button", name="Full screen: train/loss").press("Enter")
    expect(page.get_by_role("button", name="Leave full screen: train/loss")).to_be_visible()
    page.wait_for_function(
        "(height) => document.querySelector('figure:fullscreen canvas')?.clientHeight > height",
        arg=2 * small["height"],
    )
    page.get_by_role("button", name="Leave full screen: train/loss").press("Enter")
    page.wait_for_function("() => !document.fullscreenElement")
    expect(page.get_by_role("button", name="Full screen: train/loss", exact=True)).to_have_count(1)


def test_sections_are_closed_and_charts_are_searched_by_the_address(open_page, client):
    with te.init("acme", "Digits", "run", client=client) as run:
        for name in ("train/loss", "train/acc", "val/loss", "speed"):
            run.log(name, 1)
    page = open_page(PROJECT)
    expect(page.locator("h2 bdi")).to_have_text(["train", "val", "Other"])
    for name in ("train", "Other"):
        page.get_by_role("button", name=re.compile(f"{name} [0-9]")).click()
    expect(page.locator("figure")).to_have_count(1)
    page.reload()
    expect(page.locator("figure")).to_have_count(1)
    page.get_by_role("button", name=re.compile("train 2")).click()
    expect(page.locator("figure")).to_have_count(3)
    page.get_by_label("Search charts").fill("ACC")
    expect(page.locator("figure")).to_have_count(1)
    page.get_by_label("Search charts").fill("nothing")
    expect(page.get_by_text("No matching charts.")).to_be_visible()


def test_a_chart_without_a_number_says_so(open_page, client):
    with te.init("acme", "Digits", "nan", client=client) as run:
        run.log("loss", float("nan"))
    with te.init("acme", "Digits", "other", client=client) as other:
        other.log("accuracy", 1)
        other.log("loss", 1)
    page = open_page(f"{PROJECT}?run={run.uuid}")
    expect(chart(page, "loss")).to_contain_text("No numbers to draw.")
    # Charts are of the metrics of the selected runs.
    expect(page.locator("figure")).to_have_count(1)
    expect(page.locator("figure canvas")).to_have_count(0)
    page.get_by_label("Show other").check()
    expect(page.locator("figure canvas")).to_have_count(2)


def test_a_logarithmic_chart_without_a_positive_number_says_so(open_page, client):
    with te.init("acme", "Digits", "below", client=client) as run:
        run.log_metrics({"loss": -1, "zero": 0})
    page = open_page(f"{PROJECT}?logy=1")
    for name in ("loss", "zero"):
        expect(chart(page, name)).to_contain_text("No positive numbers to draw.")
    page.get_by_label("Log y").uncheck()
    expect(page.locator("figure canvas")).to_have_count(2)


@pytest.mark.parametrize("smooth", ["1e999", "-Infinity", "NaN", "-5", "abc"])
def test_a_smoothing_of_an_address_that_is_no_number_is_off(open_digits, smooth):
    page = open_digits(f"{PROJECT}?smooth={smooth}")
    expect(chart(page).locator("canvas")).to_be_visible()
    expect(page.locator("output")).to_have_text("Off")


@pytest.mark.parametrize("is_full", [False, True])
def test_another_zoom_does_not_show_the_points_of_the_last_one(open_page, client, is_full):
    with te.init("acme", "Digits", "long", client=client) as run:
        for step in range(5000):
            run.log("loss", step % 100, step=step)
    held = []

    def hold(route):
        held.append(route)

    page = open_page(f"{PROJECT}runs/{run.uuid}/?zoom=1000&zoom=1100")
    if is_full:
        page.get_by_role("button", name="Full screen: loss").click()
        expect(page.get_by_role("button", name="Leave full screen: loss")).to_be_visible()
    page.get_by_role("button", name="Table: loss").click()
    rows = chart(page, "loss").locator("tbody tr")
    expect(rows.first).to_contain_text("1,000")
    expect(rows).to_have_count(101)
    page.route("**/sample/*from_step=2000*", hold)
    with page.expect_request("**/sample/*from_step=2000*"):
        page.evaluate(
            """() => {
                history.pushState(null, "", "?zoom=2000&zoom=2100");
                dispatchEvent(new Event("popstate"));
            }"""
        )
    # Until the answer, those of the whole run.
    expect(rows.filter(has_text=re.compile("4,9.."))).not_to_have_count(0)
    for route in held:
        route.continue_()
    expect(rows.first).to_contain_text("2,000")
    page.unroute_all()
    held.clear()
    page.route("**/sample/*from_step=1000*", hold)
    with page.expect_request("**/sample/*from_step=1000*"):
        page.go_back()
    expect(rows.filter(has_text=re.compile("4,9.."))).not_to_have_count(0)
    for route in held:
        route.continue_()
    expect(rows).to_have_count(101)
