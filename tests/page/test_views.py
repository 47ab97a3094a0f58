"""The views of the page, and the controls of its tables, in a real browser."""

import json
import math
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from browser_pages import Requests, eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
TABLE = f"{PROJECT}?tab=table"
ROWS = "[aria-label=Runs] :is(tbody tr, li)"
FILTER = "#filter"
DURATIONS = json.loads((Path(__file__).parent.parent / "durations.json").read_text("utf-8"))


def expect_names(page, *names):
    """The runs of the list or the table, from top to bottom."""
    expect(page.locator("[aria-label=Runs] a.name")).to_have_text(list(names))


# Projects, and navigation to a run


def test_an_empty_database_shows_how_to_make_a_first_run(open_page):
    page = open_page("/")
    expect(page.locator("pre")).to_contain_text('run.log("loss", 0.5)')
    assert page.locator("pre").inner_text().count("\n") == 2


def test_the_way_from_projects_to_a_run_and_back(open_digits, digits):
    page = open_digits("/")
    expect(page).to_have_title("Projects · Tellurio")
    page.get_by_role("link", name="Digits").click()
    expect(page).to_have_url(re.compile(f"{PROJECT}$"))
    page.get_by_role("region", name="Runs").get_by_role("link", name="middle").click()
    expect(page.locator("h1")).to_contain_text("middle")
    expect(page).to_have_url(re.compile(f"{PROJECT}runs/{digits.middle}/"))
    expect(page).to_have_title("middle · Tellurio")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Digits")
    page.locator("nav").get_by_role("link", name="Tellurio").click()
    expect(page.locator("h1")).to_have_text("Projects")


def test_the_projects_show_what_their_runs_do(open_page, client):
    te.create_project("acme", "Empty", client=client)
    for status in ("COMPLETED", "CRASHED", "CRASHED"):
        te.init("acme", "Digits!", client=client).finish(status=te.RunStatus(status))
    running = te.init("acme", "Digits!", client=client)
    page = open_page("/")
    digits, empty = page.locator("tbody tr").nth(0), page.locator("tbody tr").nth(1)
    ago = re.compile("just now|min ago")
    summary = "4 runs in 30 days, up to 4 a day"
    expect(digits.locator("td")).to_have_text(["4", "1", "2", "acme", summary, ago, ago])
    expect(digits.get_by_role("img")).to_have_accessible_name(summary)
    # One bar, today's, at the right.
    expect(digits.locator("path")).to_have_attribute("d", "M116 20v-20h3v20z")
    expect(empty.locator("td")).to_have_text(["0", "", "", "acme", "", "", ago])
    expect(empty.locator("svg")).to_have_count(0)
    running.finish()
    expect(digits.locator("td")).to_have_text(["4", "", "2", "acme", summary, ago, ago])


@pytest.mark.parametrize("path", ["/acme/projects/", f"{PROJECT}runs/", "/a/b/c/d/"])
def test_an_address_that_no_view_has_leads_to_the_projects(open_digits, path):
    page = open_digits(path, width=390)
    expect(page.locator("h1")).to_have_text("Not found")
    assert serious_barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("link", name="All projects").click()
    expect(page.locator("h1")).to_have_text("Projects")


def test_the_head_of_a_project_has_its_name_and_counts_on_every_tab(open_digits):
    for address in (PROJECT, TABLE, f"{PROJECT}artifacts/"):
        page = open_digits(address)
        expect(page.locator(".title")).to_contain_text("Digits")
        expect(page.locator(".title .quiet")).to_contain_text("3 runs · 1 crashed · updated ")
        expect(page.locator("h1")).to_have_text("Digits")
        # The path does not repeat it.
        expect(page.get_by_role("navigation", name="Path")).to_have_text(re.compile("acme$"))


def test_the_head_of_a_project_has_no_old_date_while_a_run_logs(open_page, client):
    run = te.init("acme", "Digits", "live", client=client)
    page = open_page(PROJECT)
    expect(page.locator(".title .quiet")).to_have_text("1 run · 1 running")
    run.finish()
    eventually(page, expect(page.locator(".title .quiet")).to_contain_text, "1 run · updated ")


def test_large_counts_in_the_head_are_written_alike(open_digits):
    page = open_digits("/")

    def count(route):
        project = route.fetch().json()
        project["run_counts"] = {"RUNNING": 1234, "CRASHED": 1000}
        route.fulfill(json=project)

    page.route("**/api/v0/acme/projects/digits/", count)
    page.goto(page.url + f"{PROJECT}artifacts/".lstrip("/"))
    expect(page.locator(".title .quiet")).to_contain_text(
        "2,234 runs · 1,234 running · 1,000 crashed"
    )


def test_the_page_tells_what_does_not_exist(open_digits):
    page = open_digits("/acme/projects/nothing/")
    expect(page.locator("main")).to_contain_text("Project acme/nothing not found.")
    page = open_digits(f"{PROJECT}runs/nobody/")
    expect(page.locator("main")).to_contain_text("Run nobody not found in this project.")
    page = open_digits("/nobody/")
    expect(page.locator("main")).to_contain_text("Namespace nobody not found.")
    expect(page.locator("h1")).to_have_text("Not found")
    expect(page.get_by_text("Loading")).to_have_count(0)
    expect(page.locator(".banner")).to_have_text("")
    page.get_by_role("link", name="All projects").click()
    expect(page.get_by_role("link", name="Digits")).to_be_visible()


# A project's table


def test_the_table_has_the_facts_and_three_metrics(open_digits):
    page = open_digits(TABLE)
    expect(page.locator(ROWS)).to_have_count(3)
    expect_names(page, "high", "middle", "low")
    header = page.locator("[aria-label=Runs] thead").inner_text()
    for label in ("Name", "Status", "User", "Started", "Duration", "train/loss last"):
        assert label in header.replace("\n", " "), label
    row = page.locator(ROWS).first
    expect(row).to_contain_text("Crashed")
    expect(row).to_contain_text("2.5")
    expect(page.get_by_text("3 runs", exact=True)).to_be_visible()


def test_the_table_is_sorted_by_any_column_either_way(open_digits):
    page = open_digits(TABLE)
    heading = page.get_by_role("button", name="val/loss last")
    heading.click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("val/loss")
    expect_names(page, "low", "middle", "high")
    heading.click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("val/loss")
    expect_names(page, "high", "middle", "low")
    page.get_by_role("button", name="Name").click()
    expect_names(page, "high", "low", "middle")
    page.reload()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Name")
    expect_names(page, "high", "low", "middle")


def test_runs_are_found_by_words_and_status(open_digits):
    page = open_digits(PROJECT)
    page.fill(FILTER, "ID")
    expect_names(page, "middle")
    expect(page.get_by_text("1 run", exact=True)).to_be_visible()
    page.fill(FILTER, "nobody")
    expect(page.get_by_text("No matching runs.")).to_be_visible()
    page.get_by_role("button", name="Clear filter").click()
    expect(page.locator(FILTER)).to_have_value("")
    page.get_by_label("Status", exact=True).select_option("CRASHED")
    expect_names(page, "high")
    page.reload()
    expect_names(page, "high")


def test_the_field_takes_filters_which_the_backend_applies(open_digits):
    page = open_digits(PROJECT)
    page.fill(FILTER, 'metric("val/loss") > 1 and name ~ "^(middle|low)$"')
    page.press(FILTER, "Enter")
    expect_names(page, "middle")
    page.reload()
    expect_names(page, "middle")
    page.get_by_role("link", name="Table").click()
    expect_names(page, "middle")
    page.fill(FILTER, 'metric("val/loss") > 1')
    expect(page.locator(".help")).to_be_visible()
    # Without Enter, once nothing more is typed.
    expect_names(page, "high", "middle")
    page.get_by_role("button", name="val/loss last").click()
    expect_names(page, "middle", "high")
    page.get_by_role("link", name="Charts").click()
    expect_names(page, "middle", "high")


def test_an_invalid_filter_is_explained_and_the_list_stays(open_digits):
    page = open_digits(PROJECT)
    problem = page.locator(".search [role=alert]")
    for text, words in (
        ("shade = red", "a run has no attribute 'shade'"),
        ("status = ", "not the end"),
    ):
        page.fill(FILTER, text)
        page.press(FILTER, "Enter")
        expect(problem).to_contain_text(words)
        expect_names(page, "high", "middle", "low")
    expect(page.locator(FILTER)).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".banner")).to_have_text("")
    # A text in quotes is searched for.
    page.fill(FILTER, '"="')
    expect(page.get_by_text("No matching runs.")).to_be_visible()
    expect(problem).to_have_text("")
    page.fill(FILTER, "")
    expect_names(page, "high", "middle", "low")


def test_an_invalid_sort_is_named_and_can_be_reset(open_digits):
    page = open_digits(f"{TABLE}&{urlencode({'q': 'name = low', 'sort': '<b>abc'})}")
    problem = page.locator(".search [role=alert]")
    expect(problem).to_contain_text("Invalid sort at character 1: expected a name here")
    expect_names(page, "high", "middle", "low")
    # The filter is valid.
    expect(page.locator(FILTER)).to_have_attribute("aria-invalid", "false")
    page.get_by_role("button", name="Reset sort").click()
    expect_names(page, "low")
    expect(problem).to_have_text("")
    expect(page.get_by_role("button", name="Reset sort")).to_have_count(0)
    page = open_digits(f"{TABLE}&{urlencode({'q': 'shade = red', 'sort': 'name'})}")
    expect(problem).to_have_text(re.compile("^Invalid"))
    expect(page.locator(FILTER)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("button", name="Reset sort")).to_have_count(0)


def test_a_filter_follows_runs_that_go_on(open_page, client):
    run = te.init("acme", "Digits", "live", client=client)
    run.log("loss", 2.0)
    run.flush()
    query = urlencode({"q": 'metric("loss") < 1'})
    page = open_page(f"{PROJECT}?{query}")
    expect(page.get_by_text("No matching runs.")).to_be_visible()
    run.log("loss", 0.5)
    run.flush()
    eventually(page, expect(page.locator("[aria-label=Runs] a.name")).to_have_text, "live")
    run.finish()


def test_a_filter_sends_no_more_requests_once_all_runs_have_ended(open_digits):
    page = open_digits(f"{PROJECT}?{urlencode({'q': 'name = low'})}")
    expect_names(page, "low")
    polls = Requests(page, "/runs/?limit")
    eventually(page, polls.to_be_more_than, 3)
    # The second one if the list of runs came later.
    assert len(Requests(page, "where=").all()) <= 2


def test_columns_are_chosen_with_last_minimum_or_maximum(open_digits):
    page = open_digits(TABLE)
    page.locator("summary").click()
    page.get_by_label("Search columns").fill("loss")
    choice = page.locator(".panel label", has_text="train/loss").locator("select")
    choice.select_option("maximum")
    heading = page.get_by_role("button", name="train/loss maximum")
    expect(heading).to_be_visible()
    heading.click()
    expect_names(page, "low", "middle", "high")
    # The click beside the menu has closed it.
    page.locator("summary").click()
    choice.select_option("")
    expect(heading).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="val/loss last")).to_be_visible()
    expect(page.get_by_role("button", name="train/loss maximum")).to_have_count(0)


def test_columns_of_the_config_are_shown_sorted_and_chosen(open_page, client):
    for number, rate in enumerate((0.1, 0.01, 0.5)):
        config = {"optim": {"lr": rate, "name": "adam"}, "batch size": number}
        with te.init("acme", "Digits", f"r{number}", config=config, client=client) as run:
            run.log("val/acc", (0.25, 0.75, 0.5)[number])
            run.log("val/loss", (0.25, 0.75, 0.125)[number])
    page = open_page(TABLE)
    # What is the same in all runs is not shown at first.
    heading = page.get_by_role("button", name="optim.lr config")
    expect(heading).to_be_visible()
    expect(page.get_by_role("button", name="optim.name")).to_have_count(0)
    heading.click()
    expect_names(page, "r1", "r0", "r2")
    page.get_by_role("button", name="batch size config").click()
    expect_names(page, "r0", "r1", "r2")
    expect(page.locator(".best")).to_have_text(["0.7500", "0.1250"])
    page.locator("summary").click()
    page.locator(".panel label", has_text="optim.name").locator("input").check()
    expect(page.locator(ROWS).first).to_contain_text("adam")
    page.reload()
    expect(page.get_by_role("button", name="optim.name config")).to_be_visible()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("batch size")


def test_many_runs_are_shown_in_pages(open_page, client):
    client.post("/api/v0/acme/projects/", {"display_name": "Many"})
    for number in range(60):
        client.post("/api/v0/acme/projects/many/runs/", {"name": f"run {number:02}"})
    page = open_page("/acme/projects/many/")
    expect(page.get_by_text("1\u201350 of 60 runs")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("51\u201360 of 60 runs")).to_be_visible()
    expect(page.locator(ROWS)).to_have_count(10)
    expect(page.get_by_role("button", name="Next")).to_be_disabled()


def test_a_slash_leads_to_the_filter(open_digits):
    page = open_digits(PROJECT)
    expect(page.locator(FILTER)).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator(FILTER)).to_be_focused()
    page.keyboard.type("a/b")
    expect(page.locator(FILTER)).to_have_value("a/b")


# A run, and a comparison


def test_a_run_shows_its_facts_curves_and_values(open_digits, digits):
    page = open_digits(f"{PROJECT}runs/{digits.high}/")
    expect(page.locator("h1")).to_contain_text("high")
    expect(page.locator("h1 .status")).to_have_attribute("data-status", "CRASHED")
    expect(page.get_by_text("the high one")).to_be_visible()
    facts = page.locator("dl")
    expect(facts).to_contain_text(digits.high)
    expect(page.get_by_text("4 metrics, 202 values")).to_be_visible()
    expect(page.locator("figure canvas")).to_have_count(3)
    page.get_by_role("link", name="Text & media").click()
    matrix = page.get_by_role("region", name="Value of confusion")
    expect(matrix.locator("td.heat")).to_have_text(["50", "2", "3", "44"])


def test_a_run_is_found_by_its_name_too(open_digits, digits):
    page = open_digits(f"{PROJECT}runs/middle/")
    expect(page.locator("dl")).to_contain_text(digits.middle)


def test_a_json_value_is_a_table(open_page, client):
    values = {
        "objects": ({"a": {"precision": 0.5}, "b": {"precision": 1}}, ["0.5", "1"]),
        "rows": ([{"x": 1, "y": "<b>"}, {"x": 2}], ["1", "<b>", "2", ""]),
        "object": ({"lr": 0.1, "layers": [1, 2]}, ["0.1", "[1,2]"]),
        "list": ([1, 2, 3], ["1", "2", "3"]),
    }
    with te.init("acme", "Digits", "values", client=client) as run:
        run.log_metrics({name: value for name, (value, _cells) in values.items()})
    page = open_page(f"{PROJECT}runs/{run.uuid}/?tab=media")
    for name, (_value, cells) in values.items():
        table = page.get_by_role("region", name=f"Value of {name}", exact=True)
        expect(table.locator("td.heat")).to_have_text(cells)


def test_a_comparison_overlays_curves_and_tells_the_differences(open_digits):
    page = open_digits(PROJECT)
    page.get_by_role("link", name="Compare 3 runs").click()
    expect(page.locator("h1")).to_have_text("Comparison of 3 runs")
    row = page.locator("[aria-label=Differences] tbody tr", has_text="val/loss")
    expect(row.locator("td")).to_have_text(
        [
            "2.5",
            "1.5 -1 (-40.0%), better",
            "0.5 -2 (-80.0%), better",
        ]
    )
    base = page.get_by_label("Compared with")
    expect(base.locator("option:checked")).to_have_text("high")
    expect(row.locator("[data-better=true]")).to_have_count(2)
    page.get_by_label(re.compile("^Value")).select_option("minimum")
    expect(
        page.locator("[aria-label=Differences] tbody tr", has_text="train/loss")
    ).to_contain_text("0.03")
    expect(page.locator("figure .plot").first).to_have_attribute("aria-label", re.compile("3 runs"))
    page.reload()
    expect(page.get_by_label(re.compile("^Value"))).to_have_value("minimum")


def test_equal_values_have_no_best_one(open_page, client):
    for name, loss in (("a", 0.5), ("b", 0.25)):
        with te.init("acme", "Digits", name, client=client) as run:
            run.log("val/loss", loss)
            run.log("val/acc", 0.75)
    page = open_page(TABLE)
    expect(page.locator(".best")).to_have_text(["0.2500"])


def test_a_comparison_has_the_chosen_base_and_only_what_differs(open_page, client):
    uuids = []
    for name, rate in (("a", 0.1), ("b", 0.2)):
        config = {"optim": {"lr": rate, "name": "adam"}}
        with te.init("acme", "Digits", name, config=config, client=client) as run:
            run.log("val/acc", 10 * rate)
            run.log("same", 1)
        uuids.append(run.uuid)
    page = open_page(f"{PROJECT}compare/?{urlencode([('run', uuid) for uuid in uuids])}")
    rows = page.locator("[aria-label=Differences] tbody tr")
    expect(rows.filter(has_text="val/acc").locator("td")).to_have_text(
        ["1", "2 +1 (+100.0%), better"]
    )
    expect(rows.filter(has_text="val/acc").locator("[data-better=true]")).to_have_count(1)
    page.get_by_label("Compared with").select_option("b")
    expect(rows.filter(has_text="val/acc").locator("td")).to_have_text(
        ["1 -1 (-50.0%), worse", "2"]
    )
    expect(rows.filter(has_text="val/acc").locator("[data-better=false]")).to_have_count(1)
    expect(rows.filter(has_text="optim.name")).to_have_count(1)
    page.get_by_label("Only differences").check()
    expect(rows.filter(has_text="optim.name")).to_have_count(0)
    expect(rows.filter(has_text="same")).to_have_count(0)
    expect(rows.filter(has_text="optim.lr").locator("td")).to_have_text(["0.1", "0.2"])
    page.reload()
    expect(page.get_by_label("Only differences")).to_be_checked()


def test_metrics_and_config_of_a_comparison_are_reached_without_hunting(open_page, client):
    uuids = []
    for name in ("a", "b"):
        config = {f"layer_{number:02}": 1 for number in range(50)} | {"z_differs": name}
        with te.init("acme", "Digits", name, config=config, client=client) as run:
            run.log("a matrix", [[1, 2]] * 10)
            for number in range(12):
                run.log(f"class_{number:02}", 1)
            run.log("val/loss", len(uuids))
        uuids.append(run.uuid)
    page = open_page(f"{PROJECT}compare/?run={uuids[0]}&run={uuids[1]}", height=720)
    table = page.locator("[aria-label=Differences]")
    expect(table.locator("[scope=rowgroup]")).to_have_text(
        ["Metrics Show all 14", "Config Show all 51"]
    )
    # What differs is not left out, and both are in the window.
    for name in ("val/loss", "z_differs"):
        expect(table.get_by_text(name, exact=True)).to_be_in_viewport(ratio=1)
        assert table.get_by_text(name, exact=True).evaluate(
            "(cell) => cell.getBoundingClientRect().bottom"
            " <= cell.closest('.scroll').getBoundingClientRect().bottom"
        )
    expect(table.get_by_text("layer_40")).to_have_count(0)
    expect(table.get_by_text("a matrix")).to_have_count(0)
    assert serious_barriers(page) == []
    table.get_by_role("button", name="Show all 51").click()
    expect(table.get_by_text("layer_40")).to_have_count(1)
    table.get_by_role("button", name="Show 8").click()
    expect(table.get_by_text("layer_40")).to_have_count(0)
    page.get_by_label("Only differences").check()
    # Nothing follows from when a run started, or for how long it ran.
    names = ("Metrics", "val/loss", "Config", "z_differs")
    expect(table.locator("tbody tr")).to_have_text([re.compile(name) for name in names])
    expect(page.get_by_text("These runs do not differ.")).to_have_count(0)


def test_runs_that_differ_in_nothing_that_was_chosen_do_not_differ(open_page, client):
    uuids = []
    for name, tags in (("a", ["x"]), ("b", ["x"]), ("c", [])):
        with te.init("acme", "Digits", name, tags=tags, config={"lr": 1}, client=client) as run:
            run.log("loss", 1)
        uuids.append(run.uuid)
    page = open_page(f"{PROJECT}compare/?diff=1&run={uuids[0]}&run={uuids[1]}")
    expect(page.locator("figure canvas")).to_be_visible()
    rows = page.locator("[aria-label=Differences] tbody tr")
    expect(page.get_by_text("These runs do not differ.")).to_be_visible()
    expect(rows).to_have_count(0)
    page.get_by_label("Only differences").uncheck()
    expect(rows.filter(has_text="Started")).to_have_count(1)
    expect(rows.filter(has_text="Duration")).to_have_count(1)
    page = open_page(f"{PROJECT}compare/?diff=1&run={uuids[0]}&run={uuids[2]}")
    expect(rows).to_have_text([re.compile("Tags")])


def test_matrices_are_compared_number_by_number(open_page, client):
    matrices = {
        "base": [[50, 2], [3, math.nan]],
        "changed": [[48, 2], [3.5, 44]],
        "same": [[50, 2], [3, math.nan]],
        "other": [[1, 2, 3]],
        "large": [[0.5] * 30 for _ in range(25)],
        "texts": [["a", "b"]],
    }
    uuids = []
    for name, matrix in matrices.items():
        with te.init("acme", "Digits", name, client=client) as run:
            run.log("confusion", matrix)
        uuids.append(run.uuid)
    page = open_page(f"{PROJECT}compare/?{urlencode([('run', uuid) for uuid in uuids])}")
    cells = page.locator("[aria-label=Differences] > table > tbody:last-child > tr:last-child > td")
    expect(cells.locator("table")).to_have_count(5)
    rows = cells.nth(0).locator("td")
    expect(rows).to_have_text(["50", "2", "3", "NaN"])
    expect(cells.nth(1).locator("td")).to_have_text(
        ["48.00 -2.00", "2.00", "3.50 +0.50", "44.00 changed"]
    )
    expect(cells.nth(2)).to_have_text(re.compile(r"NaN\s*=$"))
    expect(cells.nth(2).locator("small")).to_have_count(1)
    expect(cells.nth(3)).to_contain_text("1 \u00d7 3, not 2 \u00d7 2")
    expect(cells.nth(4)).to_contain_text("The first 20 rows and columns of 25 \u00d7 30.")
    expect(cells.nth(4).locator("td")).to_have_count(400)
    expect(cells.nth(5)).to_have_text('[["a","b"]]')
    assert serious_barriers(page) == []
    page.get_by_label("Compared with").select_option("changed")
    expect(rows.first).to_have_text(re.compile(r"^50 \+2"))


def test_fewer_than_two_runs_cannot_be_compared(open_digits, digits):
    page = open_digits(f"{PROJECT}compare/?run={digits.low}")
    expect(page.get_by_text("Select at least two runs")).to_be_visible()


# Signing in


def test_without_a_session_the_page_asks_for_the_key(open_digits):
    page = open_digits(PROJECT, signed_in=False)
    expect(page.get_by_text("or enter the API key.")).to_be_visible()
    expect(page.locator(".problem, .banner").filter(has_text=re.compile("."))).to_have_count(0)
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Invalid API key.")).to_be_visible()
    page.get_by_label("API key").fill("the-key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(ROWS)).to_have_count(3)


def test_the_printed_address_signs_in_and_is_gone_from_the_address_bar(
    open_page, serving, logged_digits
):
    page = open_page(f"{PROJECT}#token={serving.site.token}", signed_in=False)
    expect(page.locator(ROWS)).to_have_count(3)
    assert "token" not in page.url
    page.reload()
    expect(page.locator(ROWS)).to_have_count(3)


def test_a_browser_keeps_no_cookie_that_another_port_could_take(open_page, serving, logged_digits):
    page = open_page(f"{PROJECT}#token={serving.site.token}", signed_in=False)
    expect(page.locator(ROWS)).to_have_count(3)
    assert page.context.cookies() == []


def test_a_link_that_is_not_valid_any_more_says_so(open_page, serving):
    page = open_page(f"{PROJECT}#token=damaged", signed_in=False)
    expect(page.get_by_role("alert").last).to_have_text("The link has expired or is invalid.")
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").last).to_have_text("Invalid API key.")
    assert "token" not in page.url


def test_signing_out_ends_the_session_and_no_other(open_page, serving, logged_digits):
    other = serving.signed_in()
    page = open_page(PROJECT)
    expect(page.locator(ROWS)).to_have_count(3)
    session = page.evaluate("localStorage.session")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.evaluate("localStorage.session ?? null") is None
    listed = "/api/v0/acme/projects/"
    assert serving.ask("GET", listed, Authorization=f"Session {session}").status == 401
    assert serving.ask("GET", listed, Authorization=other).status == 200
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)


# Formats


def test_durations_are_written_as_on_the_command_line(open_digits):
    page = open_digits("/")
    seconds, texts = zip(*DURATIONS, strict=True)
    written = page.evaluate(
        """async (seconds) => {
            const { duration } = await import("/assets/format.js");
            return seconds.map(duration);
        }""",
        seconds,
    )
    assert written == list(texts)


def test_a_time_is_how_long_ago_it_was_with_the_date_as_title(open_digits):
    page = open_digits(TABLE)
    time = page.locator("[aria-label=Runs] tbody time").first
    expect(time).to_have_text(re.compile("^(just now|[0-9]+ min ago)$"))
    expect(time).to_have_attribute("title", re.compile(r"20\d\d.*\d:\d\d"))
    written = page.evaluate(
        """async () => {
            const {ago} = await import("/assets/format.js");
            return [30, 200, 7300, 180000].map(seconds => ago(new Date(Date.now() - 1000 * seconds).toISOString()));
        }"""
    )
    assert written == ["just now", "3 min ago", "2 h ago", "2 d ago"]


def test_the_numbers_of_a_column_have_the_same_digits(open_digits):
    page = open_digits("/")
    written = page.evaluate(
        """async () => {
            const {written} = await import("/assets/columns.js");
            return [[0.00022248, 2.3437, 2.5], [1, 12085, 17500], [0.5, 0.25, "NaN"], [1e-5, 3e-4]].map(
                values => values.map(written(values)),
            );
        }"""
    )
    assert written == [
        ["0.000222", "2.344", "2.500"],
        ["1", "12,085", "17,500"],
        ["0.5000", "0.2500", "NaN"],
        ["1e-5", "3e-4"],
    ]


def test_one_of_a_thing_is_singular(open_page, client):
    with te.init("acme", "Digits", "only", client=client) as run:
        run.log("loss", 1)
        run.log("large", dict.fromkeys(map(str, range(101)), 1))
    page = open_page(PROJECT)
    expect(page.get_by_text("1 run", exact=True)).to_be_visible()
    expect(page.locator("figure .plot")).to_have_attribute("aria-label", re.compile("1 run[.]"))
    page = open_page(f"{PROJECT}runs/{run.uuid}/?tab=media")
    expect(page.get_by_text("1 more row not shown.")).to_be_visible()
