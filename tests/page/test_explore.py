"""Scatter plots and parallel coordinates of runs, in a real browser."""

import itertools
import json
import math
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from browser_pages import HOSTILE, REVERSED, Requests, eventually, serious_barriers
from color_vision import OKLAB, VISIONS, linear, luminance, styles_of, times
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
POINTS = "circle.point"
LINES = ".line:not(.left-out)"
#: Rates over more than two orders of magnitude, and a loss for each; `e` has none.
RATES = {"a": 0.0001, "b": 0.001, "c": 0.01, "d": 0.1, "e": 0.1}


def explored(**options):
    return f"{PROJECT}?{urlencode({'tab': 'explore', **options}, doseq=True)}"


@pytest.fixture
def rates(client):
    """The UUIDs of runs with the rates, and losses of 1 to 4."""
    uuids = {}
    for number, (name, rate) in enumerate(RATES.items()):
        config = {"optim": {"lr": rate, "name": "sgd" if number % 2 else "adam"}, "same": 1}
        with te.init("acme", "Digits", name, config=config, client=client) as run:
            if name != "e":
                run.log("loss", number + 2)
                run.log("loss", number + 1)
        uuids[name] = run.uuid
    return uuids


def lefts(page):
    """Where the points are, from left to right, by their runs' order of rates."""
    return sorted(box["x"] for box in (one.bounding_box() for one in page.locator(POINTS).all()))


def tip(page):
    return page.locator(".tip").inner_text().split("\n")


# Scatter


def test_a_scatter_plot_draws_what_differs_against_a_metric_in_one_request(open_page, rates):
    page = open_page(PROJECT)
    page.get_by_role("link", name="Explore").click()
    expect(page.locator(POINTS)).to_have_count(4)
    expect(page.locator(".missing")).to_have_text(
        "4 runs drawn. Not drawn: 1 run without a number of loss"
    )
    assert page.get_by_label("X", exact=True).input_value() == "config:optim.lr"
    assert page.get_by_label("Y", exact=True).input_value() == "last:loss"
    [request] = Requests(page, "/table/").all()
    assert "config.optim.lr" in request["url"]
    # The rates are equally far from each other on the logarithmic axis that they get.
    gaps = [after - before for before, after in itertools.pairwise(lefts(page))]
    assert max(gaps) - min(gaps) < 1
    page.get_by_label("Scale of optim.lr").select_option("linear")
    expect(page).to_have_url(re.compile("scale=linear%3Aconfig%3Aoptim.lr"))
    page.reload()
    expect(page.locator(POINTS)).to_have_count(4)
    gaps = [after - before for before, after in itertools.pairwise(lefts(page))]
    assert gaps[2] > 8 * gaps[1] > 64 * gaps[0]


def test_nothing_is_asked_before_the_metrics_are_known(open_page, rates):
    page = open_page("/")
    held = []

    def hold(route):
        held.append(route)

    page.route("**/digits/metrics/", hold)
    with page.expect_request("**/digits/metrics/"):
        page.goto(page.url + explored().lstrip("/"))
    expect(page.get_by_text("Loading…")).to_be_visible()
    for route in held:
        route.continue_()
    expect(page.locator(POINTS)).to_have_count(4)
    assert len(Requests(page, "/table/").all()) == 1


def test_a_point_tells_about_its_run_and_opens_it(open_page, rates):
    page = open_page(explored(color="config:optim.name", py="minimum:loss"))
    point = page.locator(POINTS).nth(1)
    point.hover()
    expect(page.locator(".tip strong")).to_have_text("c")
    assert tip(page) == ["c", "optim.lr", "0.0100", "loss", "3", "optim.name", "adam"]
    page.mouse.move(5, 5)
    expect(page.locator(".tip")).to_have_count(0)
    page.get_by_role("application").focus()
    for key, name in [
        ("ArrowRight", "a"),
        ("ArrowRight", "b"),
        ("ArrowLeft", "a"),
        ("ArrowLeft", "d"),
    ]:
        page.keyboard.press(key)
        expect(page.locator(".tip strong")).to_have_text(name)
    expect(page.locator(".plot [aria-live]")).to_have_text(
        "d: optim.lr 0.1000, loss 4, optim.name sgd"
    )
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"runs/{rates['d']}/"))
    page.go_back()
    point.click()
    expect(page).to_have_url(re.compile(f"runs/{rates['c']}/"))


def test_values_that_an_axis_cannot_show_are_counted(open_page, client):
    for number, value in enumerate([1, 0, -2, math.nan, "auto", None, True, 3]):
        config = {} if value is None else {"mixed": value, "n": number if number < 4 else math.inf}
        with te.init("acme", "Digits", f"r{number}", config=config, client=client) as run:
            run.log("loss", 1)
    page = open_page(explored(px="config:mixed", py="last:loss"))
    expect(page.locator(POINTS)).to_have_count(7)
    expect(page.locator(".missing")).to_contain_text("1 run without a value of mixed")
    for scale, count, words in [
        ("linear", 4, "4 runs without a number of mixed"),
        ("log", 2, "6 runs without a positive number of mixed"),
    ]:
        page.get_by_label("Scale of mixed").select_option(scale)
        expect(page.locator(POINTS)).to_have_count(count)
        expect(page.locator(".missing")).to_contain_text(words)
    page = open_page(explored(px="config:n", py="last:loss"))
    expect(page.locator(POINTS)).to_have_count(4)
    expect(page.locator(".missing")).to_contain_text("4 runs without a number of n")
    assert page.get_by_label("Scale of n").input_value() == "linear"


def test_runs_without_a_value_for_the_color_are_gray_and_counted(open_page, rates):
    page = open_page(explored(py="created", color="last:loss"))
    expect(page.locator(POINTS)).to_have_count(5)
    expect(page.locator(".legend")).to_contain_text("1 run without a number")
    fills = page.locator(POINTS).evaluate_all("all => all.map(one => one.style.fill)")
    assert fills.count("var(--quiet)") == 1


def test_the_scale_of_the_colors_ends_at_the_least_and_the_greatest_value(open_page, client):
    for layers in (1, 4, 10):
        config = {"layers": layers, "same": 3}
        with te.init("acme", "Digits", f"r{layers:02}", config=config, client=client) as run:
            run.log("score", layers)
    for color in ("config:layers", "last:score"):
        page = open_page(explored(px="config:layers", py="last:score", color=color))
        expect(page.locator(POINTS)).to_have_count(3)
        expect(page.locator(".legend span")).to_have_text(re.compile(r"^1\s+10$"))
        # The first and the last point have the colors of the ends.
        fills = page.locator(POINTS).evaluate_all("all => all.map(one => one.style.fill)")
        assert fills[0] == "color-mix(in oklab, var(--ramp-1), var(--ramp-2) 100.0%)"
        assert fills[2] == "color-mix(in oklab, var(--ramp-0), var(--ramp-1) 0.0%)"
    # A run that is not drawn has no color.
    with te.init("acme", "Digits", config={"layers": 99}, client=client):
        pass
    page = open_page(explored(px="config:layers", py="last:score", color="config:layers"))
    expect(page.locator(".missing")).to_contain_text("3 runs drawn")
    expect(page.locator(".legend span")).to_have_text(re.compile(r"^1\s+10$"))
    page = open_page(explored(px="config:layers", py="last:score", color="created"))
    expect(page.locator(".legend span")).to_have_text(re.compile(r"\d{4}, \d.*\d{4}, \d"))
    page = open_page(explored(px="config:layers", py="last:score", color="config:same"))
    expect(page.locator(".legend span")).to_have_text(re.compile(r"^3\s+3$"))
    assert page.locator(POINTS).first.get_attribute("style").count("NaN") == 0


def test_the_filter_of_the_table_chooses_the_runs(open_page, rates):
    page = open_page(explored(q="config.optim.lr > 0.0005", status="COMPLETED"))
    expect(page.locator(POINTS)).to_have_count(3)
    [request] = Requests(page, "/table/").all()
    [where] = parse_qs(urlsplit(request["url"]).query)["where"]
    assert where == "(config.optim.lr > 0.0005) and (status = COMPLETED)"
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_text("No runs match.")).to_be_visible()
    page.get_by_role("button", name="Clear filter").click()
    expect(page.locator(POINTS)).to_have_count(4)
    page.get_by_role("button", name="Table").click()
    expect(page.locator("tbody tr")).to_have_text(["d0.10004", "c0.01003", "b0.00102", "a0.00011"])


def test_values_that_cannot_be_loaded_are_explained(open_page, rates):
    page = open_page("/")
    refused = {"status": 500, "json": {"detail": "The disk is full."}}
    page.route("**/table/**", lambda route: route.fulfill(**refused))
    page.goto(page.url + explored().lstrip("/"))
    expect(page.locator("main .problem", has_text="The disk is full.")).to_be_visible()
    expect(page.get_by_text("The values can't be loaded.")).to_be_visible()
    page.unroute_all()
    page.get_by_label("Y", exact=True).select_option("maximum:loss")
    expect(page.locator(POINTS)).to_have_count(4)
    expect(page.locator("main .problem", has_text="The disk is full.")).to_have_count(0)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_whole_numbers_have_whole_ticks(open_page, client, scale):
    for number in (2, 3, 4):
        config = {"layers": number, "width": number}
        with te.init("acme", "Digits", f"r{number}", config=config, client=client) as run:
            run.log("score", number + 0.5)
    scales = [f"{scale}:{key}" for key in ("config:layers", "config:width")]
    page = open_page(explored(px="config:layers", py="config:width", scale=scales))
    expect(page.locator(POINTS)).to_have_count(3)
    expect(page.locator(".plot text:not(.axis-name)")).to_have_text(["2", "3", "4"] * 2)
    axes = ["config:layers", "config:width", "last:score"]
    page = open_page(explored(plot="parallel", axis=axes, scale=scales))
    expect(page.locator(LINES)).to_have_count(3)
    for index in (0, 1):
        ticks = page.locator(".plot g").nth(index).locator("text")
        expect(ticks).to_have_text(["2", "3", "4"])
    # The others have ticks between.
    expect(page.locator(".plot g").nth(2).locator("text", has_text="2.5")).to_have_count(1)


def test_durations_below_a_second_have_ticks_of_their_own(open_page, client):
    te.create_project("acme", "Digits", client=client)
    begin = datetime(2026, 1, 2, tzinfo=UTC)
    for number in range(1, 4):
        body = {"name": f"r{number}", "date_created": begin.isoformat()}
        run = client.post(f"/api/v0{PROJECT}runs/", body).json()
        end = begin + timedelta(milliseconds=10 * number)
        fields = {"status": "COMPLETED", "date_ended": end.isoformat()}
        client.patch(f"/api/v0{PROJECT}runs/{run['uuid']}/", fields)
    page = open_page(explored(px="status", py="duration"))
    expect(page.locator(POINTS)).to_have_count(3)
    ticks = page.locator("text[text-anchor=end]:not(.axis-name)").all_text_contents()
    assert {"0.01 s", "0.02 s", "0.03 s"} <= set(ticks)
    assert len(set(ticks)) == len(ticks)


def test_a_column_that_no_run_has_leaves_nothing_to_draw(open_page, rates):
    page = open_page(explored(py="last:lost"))
    expect(page.get_by_text("No run has both values.")).to_be_visible()
    expect(page.locator(".missing")).to_contain_text("5 runs without a number of lost")


def test_names_and_values_are_text_in_all_drawings(open_page, client):
    for name in [*HOSTILE, "open\u202e\u2066"]:
        config = {name[:200]: 1, "of": name}
        with te.init("acme", "Digits", name, config=config, client=client) as run:
            run.log(name, 1)
    options = {"py": f"last:{HOSTILE[0]}", "px": "config:of", "color": "config:of"}
    for path in (
        explored(**options),
        explored(plot="parallel", axis=["config:of", "created", f"config:{'x' * 200}", "group"]),
    ):
        page = open_page(path)
        expect(page.locator(".legend, .missing").first).to_be_visible()
        assert page.evaluate(REVERSED) == []
        assert page.locator("main script, main img, main iframe").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page = open_page(explored(px="config:of", py="created"))
    expect(page.locator(POINTS)).to_have_count(len(HOSTILE) + 1)
    page.get_by_role("application").press("ArrowRight")
    expect(page.locator(".tip")).to_be_visible()
    assert serious_barriers(page) == []


# Parallel coordinates


def drag(page, axis, start, end):
    """Drags along an axis between shares of its length, from its lower end."""
    box = page.locator(f".brush[data-axis='{axis}']").bounding_box()
    left, low, high = box["x"] + box["width"] / 2, box["y"] + box["height"] - 6, box["y"] + 6
    page.mouse.move(left, low + start * (high - low))
    page.mouse.down()
    page.mouse.move(left, low + end * (high - low), steps=3)
    page.mouse.up()


def heads(page):
    return [one.inner_text().split("\n")[0] for one in page.locator(".axis-head").all()]


def test_parallel_axes_are_what_differs_and_a_metric(open_page, rates):
    page = open_page(explored())
    page.get_by_role("button", name="Parallel coordinates").click()
    expect(page.locator(LINES)).to_have_count(4)
    assert heads(page) == ["optim.lr", "optim.name", "loss"]
    expect(page.locator(".missing")).to_contain_text("1 run without a number of loss")
    page.get_by_text("Axes", exact=True).click()
    page.get_by_role("button", name="Move optim.lr to the right").click()
    page.get_by_label("Add an axis").select_option("maximum:loss")
    page.get_by_role("button", name="Remove optim.name").click()
    expect(page.locator(".axis-head")).to_have_text(["optim.lr", "losslast", "lossmaximum"])
    page.reload()
    expect(page.locator(".axis-head")).to_have_text(["optim.lr", "losslast", "lossmaximum"])
    # The last axis has the colors.
    colors = page.locator(LINES).evaluate_all("all => all.map(one => getComputedStyle(one).stroke)")
    assert len(set(colors)) == 4


def test_a_range_of_an_axis_keeps_the_lines_that_cross_it(open_page, rates):
    page = open_page(explored(plot="parallel"))
    expect(page.locator(LINES)).to_have_count(4)
    drag(page, "config:optim.lr", 0.2, 0.8)
    expect(page.locator(LINES)).to_have_count(2)
    expect(page.get_by_text("2 of 4 runs in the ranges")).to_be_visible()
    drag(page, "config:optim.name", 0, 0.3)
    expect(page.locator(LINES)).to_have_count(1)
    # It opens no run, and a saved address has it.
    [_, brush] = [
        json.loads(one)
        for one in page.evaluate("new URLSearchParams(location.search).getAll('brush')")
    ]
    assert brush == ["config:optim.name", "adam", "adam"]
    page.reload()
    expect(page.locator(LINES)).to_have_count(1)
    expect(page.locator(".left-out")).to_have_count(3)
    page.get_by_role("application").press("ArrowRight")
    expect(page.locator(".tip strong")).to_have_text("c")
    page.get_by_role("button", name="Table").click()
    expect(page.locator("tbody th")).to_have_text(["c"])
    drag(page, "config:optim.name", 0.5, 0.5)
    expect(page.locator(LINES)).to_have_count(2)
    page.get_by_role("button", name="Clear ranges").click()
    expect(page.locator(LINES)).to_have_count(4)
    assert "brush" not in page.url


def test_a_range_can_be_typed(open_page, rates):
    page = open_page(explored(plot="parallel"))
    page.get_by_text("Axes", exact=True).click()
    page.get_by_label("Start of loss").fill("2")
    page.get_by_label("Start of loss").press("Enter")
    expect(page.locator(LINES)).to_have_count(3)
    page.get_by_label("End of loss").fill("3")
    page.get_by_label("End of loss").press("Enter")
    expect(page.locator(LINES)).to_have_count(2)


@pytest.mark.parametrize(
    "brush",
    ["[", "{}", '["config:optim.lr"]', '["none",1,2]', '["config:optim.name","x","y"]', "[1,2,3]"],
)
def test_a_range_that_does_not_fit_filters_nothing(open_page, rates, brush):
    page = open_page(explored(plot="parallel", brush=brush))
    expect(page.locator(LINES)).to_have_count(4)


def test_runs_that_one_request_does_not_load_are_counted(open_page, rates):
    page = open_page("/")
    page.route(
        "**/table/**",
        lambda route: route.continue_(url=route.request.url.replace("limit=1000", "limit=3")),
    )
    page.goto(page.url + explored().lstrip("/"))
    expect(page.locator(POINTS)).to_have_count(2)
    expect(page.locator(".missing")).to_contain_text(
        "2 older runs: only the newest 1000 are loaded"
    )
    assert len(Requests(page, "/table/").all()) == 1


def test_a_run_that_has_just_started_is_not_counted_as_an_older_one(open_page, rates, client):
    page = open_page(explored(px="config:optim.lr", py="last:loss"))
    expect(page.locator(POINTS)).to_have_count(4)
    held = []

    def hold(route):
        held.append(route)

    page.route("**/table/**", hold)
    new = te.init("acme", "Digits", "new", config={"optim": {"lr": 0.5}}, client=client)
    eventually(page, expect(page.locator(".title .quiet")).to_contain_text, "6 runs")
    expect(page.locator(".missing")).not_to_contain_text("older")
    for route in held:
        route.continue_()
    page.unroute_all()
    new.finish()


def test_an_axis_has_no_room_for_runs_that_are_not_drawn(open_page, client):
    for number, config in enumerate([{"n": 1}, {"n": 2}, {}]):
        with te.init("acme", "Digits", config=config, client=client) as run:
            run.log("score", [0.8, 0.9, 0.1][number])
    for options in ({"px": "config:n"}, {"plot": "parallel", "axis": ["config:n", "last:score"]}):
        page = open_page(explored(py="last:score", **options))
        expect(page.locator(".missing")).to_contain_text("2 runs drawn. Not drawn: 1 run")
        texts = page.locator("svg text").all_text_contents()
        assert "0.80" in texts
        assert not {"0.1", "0.10", "0.2", "0.20"} & set(texts)


def test_a_status_is_written_as_elsewhere(open_page, rates):
    page = open_page(explored(px="status", py="last:loss", color="status"))
    expect(page.get_by_role("group", name="Colors")).to_contain_text("Completed")
    expect(page.locator("svg")).to_contain_text(["Completed"])
    expect(page.locator(".explore")).not_to_contain_text("COMPLETED")


@pytest.mark.parametrize("theme", [0, 1])
def test_the_colors_of_the_scale_have_an_order_for_any_color_vision(theme):
    card = re.findall("--card: (#[0-9a-f]{3,6})", styles_of("page.css"))[theme].ljust(7, "f")
    ramp = re.findall(r"--ramp-\d: (#[0-9a-f]{6})", styles_of("explore.css"))[3 * theme :][:3]
    assert len(ramp) == 3
    for vision in VISIONS:
        seen = [[min(1, max(0, part)) for part in times(vision, linear(color))] for color in ramp]
        lightness = [
            times(OKLAB[1], [part ** (1 / 3) for part in times(OKLAB[0], light)])[0]
            for light in seen
        ]
        assert all(after - before > 0.08 for before, after in itertools.pairwise(lightness))
    for color in ramp:
        dark, bright = sorted([luminance(color), luminance(card)])
        assert (bright + 0.05) / (dark + 0.05) >= 3


# Extremes


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_largest_and_the_smallest_numbers_are_drawn(open_page, client, scale):
    extremes = [1.79e308, 1e-308, 1.0] + ([-1.79e308] if scale == "linear" else [])
    for number, value in enumerate(extremes):
        with te.init("acme", "Digits", config={"x": value, "n": number}, client=client) as run:
            run.log("loss", value)
    key = "config:x"
    scales = {"scale": [f"{scale}:{key}", f"{scale}:last:loss"]}
    page = open_page(explored(px=key, py="last:loss", color=key, **scales))
    expect(page.locator(POINTS)).to_have_count(len(extremes))
    places = page.locator(POINTS).evaluate_all(
        "all => all.map(one => [one.cx, one.cy].map(length => length.baseVal.value))"
    )
    assert len({round(left) for left, _top in places}) == 3
    assert all(0 < left < 1280 and 0 < top < 440 for left, top in places)
    expect(page.locator(".legend")).to_contain_text("e+308")
    expect(page.locator(".explore")).not_to_contain_text(re.compile("NaN|Infinity"))
    page = open_page(explored(plot="parallel", axis=[key, "last:loss"], **scales))
    expect(page.locator(LINES)).to_have_count(len(extremes))
    for line in page.locator(LINES).all():
        assert "NaN" not in line.get_attribute("d")


@pytest.mark.parametrize("name", ["constructor", "__proto__", "config:", "toString:loss", "nosuch"])
def test_axes_of_an_address_that_do_not_exist_are_ignored(open_page, rates, name):
    page = open_page(explored(px=name, py=name, color=name))
    expect(page.locator(POINTS)).to_have_count(4)
    page = open_page(explored(plot="parallel", axis=[name, "config:optim.lr", "last:loss"]))
    expect(page.locator(".axis-head")).to_have_text([re.compile("optim.lr"), re.compile("loss")])
    page = open_page(
        f"{PROJECT}?{urlencode({'tab': 'table', 'col': [name, 'last:loss']}, doseq=True)}"
    )
    expect(page.locator("thead .number")).to_have_text([re.compile("loss")])
    expect(page.locator("tbody td.number")).to_have_count(5)
