"""Every view and control of the page, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
FILTER = "#filter"


def names(page):
    """The runs of the table, from top to bottom."""
    return page.locator("[aria-label=Runs] tbody th").all_inner_texts()


def chart(page, name="train/loss"):
    return page.locator(f'figure[data-metric="{name}"]')


def colours(page, name, share):
    """How many pixels of a chart, in a column at this share of its width, are of a line."""
    return page.evaluate(
        """([name, share]) => {
            const canvas = document.querySelector(`figure[data-metric="${name}"] canvas`);
            const plot = document.querySelector(`figure[data-metric="${name}"] .u-over`);
            const ratio = canvas.width / canvas.clientWidth;
            const x = Math.round((plot.offsetLeft + plot.clientWidth * share) * ratio);
            const y = Math.round(plot.offsetTop * ratio) + 1;
            const data = canvas.getContext("2d").getImageData(x, y, 3, Math.round(plot.clientHeight * ratio) - 2).data;
            let count = 0;
            for (let i = 0; i < data.length; i += 4) {
                const [r, g, b, a] = data.slice(i, i + 4);
                if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 60) count += 1;
            }
            return count;
        }""",
        [name, share],
    )


# Projects, and the way to a run


def test_an_empty_database_shows_how_to_make_a_first_run(open_page):
    page = open_page("/")
    expect(page.locator("pre")).to_contain_text('run.log("loss", 0.5)')
    assert page.locator("pre").inner_text().count("\n") == 2


def test_the_way_from_projects_to_a_run_and_back(open_page, digits):
    page = open_page("/")
    expect(page).to_have_title("Projects · Tellurio")
    page.get_by_role("link", name="Digits").click()
    expect(page).to_have_url(re.compile(f"{PROJECT}$"))
    page.get_by_role("region", name="Runs").get_by_role("link", name="middle").click()
    expect(page.locator("h1")).to_contain_text("middle")
    expect(page).to_have_url(re.compile(f"{PROJECT}runs/{digits['middle'].uuid}/"))
    expect(page).to_have_title("middle · Tellurio")
    page.go_back()
    expect(page.locator("h1")).to_have_text("digits")
    page.locator("nav").get_by_role("link", name="Tellurio").click()
    expect(page.locator("h1")).to_have_text("Projects")


def test_what_is_not_there_is_said(open_page, digits):
    page = open_page("/acme/projects/nothing/")
    expect(page.get_by_role("alert").first).to_contain_text("Project acme/nothing not found")
    page = open_page(f"{PROJECT}runs/nobody/")
    expect(page.get_by_role("alert").first).to_contain_text("There is no run nobody")


# A project's table


def test_the_table_has_the_facts_and_three_metrics(open_page, digits):
    page = open_page(PROJECT)
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(3)
    assert names(page) == ["high", "middle", "low"]
    header = page.locator("[aria-label=Runs] thead").inner_text()
    for word in ("Name", "Status", "User", "Started", "Duration", "train/loss last"):
        assert word in header.replace("\n", " "), word
    row = page.locator("[aria-label=Runs] tbody tr").first.inner_text()
    assert "crashed" in row
    assert "2.5" in row


def test_the_table_is_sorted_by_any_column_either_way(open_page, digits):
    page = open_page(PROJECT)
    heading = page.get_by_role("button", name="val/loss last")
    heading.click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("val/loss")
    assert names(page) == ["low", "middle", "high"]
    heading.click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("val/loss")
    assert names(page) == ["high", "middle", "low"]
    page.get_by_role("button", name="Name").click()
    assert names(page) == ["high", "low", "middle"]
    page.reload()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Name")
    assert names(page) == ["high", "low", "middle"]


def test_runs_are_filtered_by_text_regular_expression_and_status(open_page, digits):
    page = open_page(PROJECT)
    page.fill(FILTER, "ID")
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(1)
    assert names(page) == ["middle"]
    page.fill(FILTER, "^(low|high)$")
    expect(page.get_by_text("No run matches.")).to_be_visible()
    page.get_by_label("regular expression").check()
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(2)
    page.fill(FILTER, "(")
    expect(page.locator(".bar [role=alert]")).to_contain_text("Invalid regular expression")
    page.fill(FILTER, "")
    page.get_by_label("Status", exact=True).select_option("CRASHED")
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(1)
    page.reload()
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(1)
    assert names(page) == ["high"]


def test_columns_are_chosen_with_last_minimum_or_maximum(open_page, digits):
    page = open_page(PROJECT)
    page.locator("summary").click()
    page.get_by_label("Find a metric").fill("loss")
    choice = page.locator(".panel label", has_text="train/loss").locator("select")
    choice.select_option("maximum")
    heading = page.get_by_role("button", name="train/loss maximum")
    expect(heading).to_be_visible()
    heading.click()
    assert names(page) == ["low", "middle", "high"]
    choice.select_option("")
    expect(heading).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="val/loss last")).to_be_visible()
    expect(page.get_by_role("button", name="train/loss maximum")).to_have_count(0)


def test_many_runs_are_shown_in_pages(open_page, client):
    client.post("/api/v0/acme/projects/", {"display_name": "Many"})
    for number in range(60):
        client.post("/api/v0/acme/projects/many/runs/", {"name": f"run {number:02}"})
    page = open_page("/acme/projects/many/")
    expect(page.get_by_text("1-50 of 60 runs")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("51-60 of 60 runs")).to_be_visible()
    assert len(names(page)) == 10
    expect(page.get_by_role("button", name="Next")).to_be_disabled()


# The curves


def test_there_is_a_curve_for_each_metric_in_its_group(open_page, digits):
    page = open_page(PROJECT)
    expect(page.locator("figure canvas")).to_have_count(3)
    assert page.locator("h2").all_inner_texts() == ["train", "val"]
    assert chart(page, "confusion").count() == 0


def test_only_the_chosen_runs_have_lines_and_a_reload_keeps_them(open_page, digits):
    page = open_page(PROJECT)
    label = re.compile("train/loss over step, 3 runs")
    expect(chart(page).locator(".plot")).to_have_attribute("aria-label", label)
    page.get_by_label("Show low").uncheck()
    label = re.compile("train/loss over step, 2 runs")
    expect(chart(page).locator(".plot")).to_have_attribute("aria-label", label)
    page.reload()
    expect(chart(page).locator(".plot")).to_have_attribute("aria-label", label)
    assert page.locator(".legend").inner_text().split() == ["high", "middle"]
    page.get_by_role("button", name="Show the newest").click()
    expect(page.get_by_label("Show low")).to_be_checked()


def test_lines_are_told_apart_by_more_than_colour(open_page, digits):
    page = open_page(PROJECT)
    marks = page.locator(".legend .mark")
    expect(marks).to_have_count(3)
    styles = [mark.get_attribute("style") for mark in marks.all()]
    assert (
        len(
            {
                style.replace("line-0", "").replace("line-1", "").replace("line-2", "")
                for style in styles
            }
        )
        == 3
    )


def test_nan_is_a_gap(open_page, digits):
    page = open_page(f"{PROJECT}runs/{digits['low'].uuid}/")
    expect(chart(page, "train/flat").locator("canvas")).to_be_visible()
    page.wait_for_timeout(300)
    assert colours(page, "train/flat", 0.2) > 0
    assert colours(page, "train/flat", 0.5) == 0
    assert colours(page, "train/flat", 0.8) > 0


@pytest.mark.parametrize(
    ("axis", "word"), [("relative", "time since start"), ("wall", "wall time")]
)
def test_the_x_axis_can_be_time(open_page, digits, axis, word):
    page = open_page(PROJECT)
    page.get_by_label("x axis").select_option(axis)
    expect(chart(page).locator(".plot")).to_have_attribute("aria-label", re.compile(word))
    assert f"x={axis}" in page.url
    expect(chart(page).locator("canvas")).to_be_visible()
    assert colours(page, "train/loss", 0.5) >= 0


def test_axes_can_be_logarithmic_and_lines_smoothed(open_page, digits):
    page = open_page(f"{PROJECT}runs/{digits['low'].uuid}/")
    expect(chart(page).locator("canvas")).to_be_visible()
    picture_of = "document.querySelector(`figure[data-metric='train/loss'] canvas`).toDataURL()"
    seen = {page.evaluate(picture_of)}
    for act in (
        lambda: page.get_by_label("log y").check(),
        lambda: page.get_by_label("log x").check(),
        lambda: page.get_by_label("smoothing").fill("0.9"),
    ):
        act()
        page.wait_for_timeout(200)
        picture = page.evaluate(picture_of)
        assert picture not in seen
        seen.add(picture)
    expect(page.locator("output")).to_have_text("0.90")
    assert all(word in page.url for word in ("logx=1", "logy=1", "smooth=0.9"))


def test_a_zoom_asks_for_finer_ranges_of_its_steps_alone(open_page, client):
    with te.init("acme", "Digits", "long", client=client) as run:
        for step in range(20_000):
            run.log("loss", step % 100, step=step)
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    plot = chart(page, "loss").locator(".u-over")
    expect(plot).to_be_visible()
    # The chart is drawn anew when the window's scroll bar comes.
    page.wait_for_timeout(500)
    box = plot.bounding_box()
    middle = box["y"] + box["height"] / 2
    with page.expect_request(lambda request: "from_step" in request.url) as asked:
        page.mouse.move(box["x"] + box["width"] * 0.5, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=4)
        page.mouse.up()
    query = dict(part.split("=") for part in asked.value.url.split("?")[1].split("&"))
    start, end = int(query["from_step"]), int(query["to_step"])
    assert 9_000 < start < 10_500 < end < 13_000
    answer = asked.value.response().json()
    assert answer["series"][0]["width"] <= 4
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)


def test_hovering_shows_all_runs_at_that_step(open_page, digits):
    page = open_page(PROJECT)
    plot = chart(page).locator(".u-over")
    expect(plot).to_be_visible()
    tip = chart(page).locator(".tip")
    for attempt in range(100):
        # A chart that is drawn again under a resting pointer notices no movement.
        plot.hover(position={"x": 30 + attempt % 2, "y": 50})
        if tip.is_visible():
            break
        page.wait_for_timeout(50)
    expect(tip).to_be_visible()
    words = tip.inner_text()
    assert re.match(r"step \d+\n", words)
    assert [name for name in ("high", "middle", "low") if name in words] == [
        "high",
        "middle",
        "low",
    ]
    assert page.locator(".tip:visible").count() == 1


def test_a_chart_is_used_with_the_keyboard_alone(open_page, digits):
    page = open_page(PROJECT)
    expect(chart(page).locator("canvas")).to_be_visible()
    plot = chart(page).locator(".plot")
    plot.focus()
    page.wait_for_timeout(500)
    page.keyboard.press("ArrowRight")
    spoken = chart(page).locator("[aria-live=polite]")
    expect(spoken).to_contain_text("step 1:")
    page.keyboard.press("ArrowRight")
    expect(spoken).to_have_text("step 2: high 1, middle 0.66667, low 0.33333")
    page.keyboard.press("ArrowLeft")
    expect(spoken).to_contain_text("step 1:")
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Reset zoom")).to_have_count(0)


def test_a_slash_leads_to_the_filter(open_page, digits):
    page = open_page(PROJECT)
    expect(page.locator(FILTER)).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator(FILTER)).to_be_focused()
    page.keyboard.type("a/b")
    expect(page.locator(FILTER)).to_have_value("a/b")


def test_behind_each_curve_there_is_a_table(open_page, digits):
    page = open_page(f"{PROJECT}runs/{digits['low'].uuid}/")
    button = page.get_by_role("button", name="Table of train/flat")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")
    table = chart(page, "train/flat").get_by_role("table")
    expect(table.locator("tbody tr")).to_have_count(100)
    assert "NaN" in table.locator("tbody tr").nth(50).inner_text()


def test_a_curve_is_saved_as_csv_and_as_a_picture(open_page, digits, tmp_path):
    page = open_page(PROJECT)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save train/loss as CSV").click()
    assert download.value.suggested_filename == "train_loss.csv"
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "run,metric,step,time,last,minimum,maximum,count"
    assert len(lines) == 301
    assert re.match(r"high,train/loss,0,20\d\d-.*Z,3,3,3,1$", lines[1])
    with page.expect_download() as download:
        page.get_by_role("button", name="Save train/loss as PNG").click()
    assert download.value.suggested_filename == "train_loss.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG\r\n")


def test_what_is_not_there_yet_cannot_be_saved(open_page, digits):
    page = open_page("/")
    # Nothing answers.
    page.route("**/metrics/sample/**", lambda _route: None)
    page.get_by_role("link", name="Digits").click()
    for kind in ("CSV", "PNG"):
        expect(page.get_by_role("button", name=f"Save train/loss as {kind}")).to_be_disabled()
    page.unroute("**/metrics/sample/**")
    page.reload()
    expect(page.get_by_role("button", name="Save train/loss as CSV")).to_be_enabled()


# A run, and a comparison


def test_a_run_shows_its_facts_curves_and_values(open_page, digits):
    page = open_page(f"{PROJECT}runs/{digits['high'].uuid}/")
    expect(page.locator("h1")).to_contain_text("high")
    expect(page.locator("h1 .status")).to_have_attribute("data-status", "CRASHED")
    expect(page.get_by_text("the high one")).to_be_visible()
    facts = page.locator("dl").inner_text()
    assert digits["high"].uuid in facts
    assert "202" in facts
    expect(page.locator("figure canvas")).to_have_count(3)
    matrix = page.get_by_role("region", name="Value of confusion")
    assert matrix.locator("td.heat").all_inner_texts() == ["50", "2", "3", "44"]


def test_a_run_is_found_by_its_name_too(open_page, digits):
    page = open_page(f"{PROJECT}runs/middle/")
    expect(page.locator("dl")).to_contain_text(digits["middle"].uuid)


@pytest.mark.parametrize(
    ("value", "cells"),
    [
        ({"a": {"precision": 0.5}, "b": {"precision": 1}}, ["0.5", "1"]),
        ([{"x": 1, "y": "<b>"}, {"x": 2}], ["1", "<b>", "2", ""]),
        ({"lr": 0.1, "layers": [1, 2]}, ["0.1", "[1,2]"]),
        ([1, 2, 3], ["1", "2", "3"]),
    ],
)
def test_a_json_value_is_a_table(open_page, client, value, cells):
    with te.init("acme", "Digits", "values", client=client) as run:
        run.log("report", value)
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    table = page.get_by_role("region", name="Value of report")
    expect(table).to_be_visible()
    assert table.locator("td.heat").all_inner_texts() == cells


def test_a_comparison_overlays_curves_and_tells_the_differences(open_page, digits):
    page = open_page(PROJECT)
    page.get_by_role("link", name="Compare 3 runs").click()
    expect(page.locator("h1")).to_have_text("Comparison of 3 runs")
    row = page.locator("[aria-label=Differences] tbody tr", has_text="val/loss")
    expect(row).to_be_visible()
    assert [cell.inner_text().strip() for cell in row.locator("td").all()] == [
        "2.5",
        "1.5 -1 (-40.0 %)",
        "0.5 -2 (-80.0 %)",
    ]
    page.get_by_label("Values").select_option("minimum")
    expect(
        page.locator("[aria-label=Differences] tbody tr", has_text="train/loss")
    ).to_contain_text("0.03")
    expect(chart(page).locator(".plot")).to_have_attribute("aria-label", re.compile("3 runs"))
    page.reload()
    expect(page.get_by_label("Values")).to_have_value("minimum")


def test_fewer_than_two_runs_cannot_be_compared(open_page, digits):
    page = open_page(f"{PROJECT}compare/?run={digits['low'].uuid}")
    expect(page.get_by_text("Choose at least two runs")).to_be_visible()


# Signing in


def test_without_a_cookie_the_page_asks_for_the_key(open_page, digits):
    page = open_page(PROJECT, signed_in=False)
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("The backend refuses this key.")).to_be_visible()
    page.get_by_label("API key").fill("the-key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(3)


def test_the_printed_address_signs_in_and_is_gone_from_the_address_bar(open_page, digits, serving):
    page = open_page(f"{PROJECT}?token={serving.site.token}", signed_in=False)
    expect(page.locator("[aria-label=Runs] tbody tr")).to_have_count(3)
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""
