"""The views of the page, and the controls of its tables, in a real browser."""

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
ROWS = "[aria-label=Runs] tbody tr"
FILTER = "#filter"
DURATIONS = json.loads((Path(__file__).parent.parent / "durations.json").read_text("utf-8"))


def expect_names(page, *names):
    """The runs of the table, from top to bottom."""
    expect(page.locator("[aria-label=Runs] tbody th")).to_have_text(list(names))


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
    expect(page.locator("h1")).to_have_text("digits")
    page.locator("nav").get_by_role("link", name="Tellurio").click()
    expect(page.locator("h1")).to_have_text("Projects")


def test_the_page_tells_what_does_not_exist(open_digits):
    page = open_digits("/acme/projects/nothing/")
    expect(page.get_by_role("alert").first).to_contain_text("Project acme/nothing not found.")
    page = open_digits(f"{PROJECT}runs/nobody/")
    expect(page.get_by_role("alert").first).to_contain_text("Run nobody not found in this project.")


# A project's table


def test_the_table_has_the_facts_and_three_metrics(open_digits):
    page = open_digits(PROJECT)
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
    page = open_digits(PROJECT)
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


def test_runs_are_filtered_by_text_regular_expression_and_status(open_digits):
    page = open_digits(PROJECT)
    page.fill(FILTER, "ID")
    expect_names(page, "middle")
    expect(page.get_by_text("1 run", exact=True)).to_be_visible()
    page.fill(FILTER, "^(low|high)$")
    expect(page.get_by_text("No matching runs.")).to_be_visible()
    page.get_by_label("Regex").check()
    expect(page.locator(ROWS)).to_have_count(2)
    page.fill(FILTER, "(")
    expect(page.locator(".bar [role=alert]")).to_contain_text("Invalid regular expression")
    page.fill(FILTER, "^(low|high)$")
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page.locator(".bar [role=alert]")).to_have_text("")
    page.fill(FILTER, "")
    page.get_by_label("Status", exact=True).select_option("CRASHED")
    expect_names(page, "high")
    page.reload()
    expect_names(page, "high")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|aa)+$", "(.*)*x$"])
def test_a_regular_expression_that_takes_forever_does_not_hang_the_page(open_page, client, pattern):
    te.init("acme", "Digits", "a" * 60 + "!", client=client).finish()
    te.init("acme", "Digits", "other", client=client).finish()
    # A link can carry it.
    page = open_page(f"{PROJECT}?{urlencode({'regex': 1, 'q': pattern})}")
    problem = page.locator(".bar [role=alert]")
    expect(problem).to_have_text("This regular expression takes too long.")
    page.fill(FILTER, "^o")
    expect_names(page, "other")
    expect(problem).to_have_text("")


def test_columns_are_chosen_with_last_minimum_or_maximum(open_digits):
    page = open_digits(PROJECT)
    page.locator("summary").click()
    page.get_by_label("Search metrics").fill("loss")
    choice = page.locator(".panel label", has_text="train/loss").locator("select")
    choice.select_option("maximum")
    heading = page.get_by_role("button", name="train/loss maximum")
    expect(heading).to_be_visible()
    heading.click()
    expect_names(page, "low", "middle", "high")
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
    expect(facts).to_contain_text("202")
    expect(page.locator("figure canvas")).to_have_count(3)
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
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
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
            "1.5 -1 (-40.0%)",
            "0.5 -2 (-80.0%)",
        ]
    )
    expect(page.get_by_text("Compared with high")).to_be_visible()
    page.get_by_label(re.compile("^Value")).select_option("minimum")
    expect(
        page.locator("[aria-label=Differences] tbody tr", has_text="train/loss")
    ).to_contain_text("0.03")
    expect(page.locator("figure .plot").first).to_have_attribute("aria-label", re.compile("3 runs"))
    page.reload()
    expect(page.get_by_label(re.compile("^Value"))).to_have_value("minimum")


def test_fewer_than_two_runs_cannot_be_compared(open_digits, digits):
    page = open_digits(f"{PROJECT}compare/?run={digits.low}")
    expect(page.get_by_text("Select at least two runs")).to_be_visible()


# Signing in


def test_without_a_session_the_page_asks_for_the_key(open_digits):
    page = open_digits(PROJECT, signed_in=False)
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Invalid API key.")).to_be_visible()
    page.get_by_label("API key").fill("the-key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(ROWS)).to_have_count(3)


def test_the_printed_address_signs_in_and_is_gone_from_the_address_bar(
    open_page, serving, logged_digits
):
    page = open_page(f"{PROJECT}?token={serving.site.token}", signed_in=False)
    expect(page.locator(ROWS)).to_have_count(3)
    assert "token" not in page.url
    page.reload()
    expect(page.locator(ROWS)).to_have_count(3)


def test_a_browser_keeps_no_cookie_that_another_port_could_take(open_page, serving, logged_digits):
    page = open_page(f"{PROJECT}?token={serving.site.token}", signed_in=False)
    expect(page.locator(ROWS)).to_have_count(3)
    assert page.context.cookies() == []


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


def test_one_of_a_thing_is_singular(open_page, client):
    with te.init("acme", "Digits", "only", client=client) as run:
        run.log("loss", 1)
        run.log("large", dict.fromkeys(map(str, range(101)), 1))
    page = open_page(PROJECT)
    expect(page.get_by_text("1 run", exact=True)).to_be_visible()
    expect(page.locator("figure .plot")).to_have_attribute("aria-label", re.compile("1 run[.]"))
    page = open_page(f"{PROJECT}runs/{run.uuid}/")
    expect(page.get_by_text("1 more row not shown.")).to_be_visible()
