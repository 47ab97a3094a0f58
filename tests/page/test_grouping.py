"""Runs in groups: in the list, in the table, and by color in the charts."""

import re
from urllib.parse import urlencode

import pytest
from browser_pages import HOSTILE, REVERSED, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
HEADS = ".group button[aria-expanded]"
NAMES = "[aria-label=Runs] a.name"


def grouped(**options):
    return f"{PROJECT}?{urlencode(options, doseq=True)}"


@pytest.fixture
def sized(client):
    """Runs with a size in their configs, tags, and a loss that a greater size makes smaller."""
    for name, size, tags in [
        ("a", 9, ["x", "y"]),
        ("b", 10, ["y", "x"]),
        ("c", 9, []),
        ("d", None, ["x"]),
    ]:
        config = {"rate": 0.5} if size is None else {"size": size, "rate": 0.1 * size}
        with te.init("acme", "Digits", name, config=config, tags=tags, client=client) as run:
            run.log("loss", 1 / (size or 1))
            run.log("depth", len(tags))
            run.log("loss", 2 / (size or 1) + (name == "c"))


def expect_groups(page, *heads):
    expect(page.locator(HEADS)).to_have_text([re.compile(f"^▾ +{head}$") for head in heads])


def colors(page):
    """The color of each run in the list or the table, by its name."""
    rows = page.locator("[aria-label=Runs] :is(li, tbody tr):not(.group)")
    return dict(
        rows.evaluate_all(
            "all => all.map(row => [row.querySelector('a.name').ariaLabel,"
            " row.querySelector('.mark').style.background])"
        )
    )


def test_the_list_has_the_runs_of_a_group_together_in_one_color(open_page, sized):
    page = open_page(PROJECT)
    page.get_by_role("button", name="Group", exact=True).click()
    page.get_by_label("Group by").select_option("config:size")
    # In the order of numbers, and without a value at the end.
    expect_groups(page, "9 2", "10 1", "No size 1")
    expect(page.locator(NAMES)).to_have_text(["c", "a", "b", "d"])
    seen = colors(page)
    assert seen["a"] == seen["c"]
    assert len({seen["a"], seen["b"], seen["d"]}) == 3
    # The charts have the color of the list.
    page.locator("figure .u-over").first.hover(position={"x": 20, "y": 20})
    marks = page.locator(".tip:visible > div:has(bdi)").evaluate_all(
        "all => all.map(one => [one.querySelector('bdi').innerText,"
        " one.querySelector('.mark').style.background])"
    )
    assert dict(marks) == seen
    # A filter changes no color, and a saved address has the groups.
    page.get_by_role("searchbox", name="Search or filter runs").fill("b")
    expect_groups(page, "10 1")
    assert colors(page) == {"b": seen["b"]}
    page.get_by_role("searchbox", name="Search or filter runs").fill("")
    page.reload()
    expect_groups(page, "9 2", "10 1", "No size 1")
    page.get_by_role("listitem").filter(has_text="9").first.hover()
    page.get_by_role("button", name="Show only the runs of 9").click()
    expect(page.get_by_role("checkbox", name=re.compile("Show [ac]"))).to_have_count(2)
    expect(page.locator("[aria-label=Runs] input:checked")).to_have_count(2)
    page.get_by_label("Group by").select_option("")
    expect(page.locator(HEADS)).to_have_count(0)
    assert "group" not in page.url


@pytest.mark.parametrize(
    ("key", "heads"),
    [
        ("status", ["Completed 4"]),
        ("tags", ["x 1", "x, y 2", "No tags 1"]),
        ("group", ["No group 4"]),
        ("config:none", ["No none 4"]),
        ("__proto__", ["No __proto__ 4"]),
    ],
)
def test_runs_are_grouped_by_anything_that_they_share(open_page, sized, key, heads):
    page = open_page(grouped(group=key, tab="table"))
    expect_groups(page, *heads)


def test_the_table_has_the_best_or_the_mean_of_each_group(open_page, sized):
    columns = ["config:size", "config:rate", "last:loss", "last:depth"]
    page = open_page(grouped(tab="table", group="config:size", col=columns))
    cells = page.locator("tr.group").nth(0).locator("td")
    # The depths differ, and no name says what is better; all have the same size.
    expect(cells).to_have_text(["9", "0.900", "best 0.222", "mean 1"])
    expect(page.locator("tr.group").nth(2).locator("td")).to_have_text(["", "0.500", "2.000", "1"])
    assert serious_barriers(page) == []


def test_a_group_is_folded_in_the_address(open_page, sized):
    page = open_page(grouped(tab="table", group="config:size"))
    head = page.get_by_role("button", name=re.compile("9 2$"))
    head.click()
    expect(head).to_have_attribute("aria-expanded", "false")
    expect(page.locator(NAMES)).to_have_text(["b", "d"])
    page.reload()
    expect(page.locator(NAMES)).to_have_text(["b", "d"])
    for name in ("10 1$", "No size 1$"):
        page.get_by_role("button", name=re.compile(name)).click()
    expect(page.locator(NAMES)).to_have_count(0)
    expect(page.locator(HEADS)).to_have_count(3)
    expect(page.get_by_text("No matching runs.")).to_have_count(0)
    head.click()
    expect(page.locator(NAMES)).to_have_text(["c", "a"])


def test_groups_are_shown_in_pages(open_page, client):
    for number in range(60):
        config = {"half": "first" if number % 2 else "second"}
        te.init("acme", "Digits", f"r{number}", config=config, client=client).finish()
    page = open_page(grouped(tab="table", group="config:half"))
    expect_groups(page, "first 30", "second 30")
    expect(page.locator(NAMES)).to_have_count(50)
    page.get_by_role("button", name="Next").click()
    expect_groups(page, "second 30")
    expect(page.locator(NAMES)).to_have_count(10)
    page.get_by_role("button", name=re.compile("second 30$")).click()
    expect(page.locator(NAMES)).to_have_count(30)
    expect(page.locator(HEADS)).to_have_count(2)
    expect(page.get_by_role("button", name="Next")).to_have_count(0)


def test_values_of_groups_are_text(open_page, client):
    for name in HOSTILE:
        config = {"of": name, HOSTILE[0]: 1}
        te.init("acme", "Digits", name, config=config, tags=[name], client=client).finish()
    for options in ({"group": "config:of"}, {"group": "tags", "tab": "table"}):
        page = open_page(grouped(**options))
        expect(page.locator(HEADS)).to_have_count(len(HOSTILE))
        assert page.locator("main script, main img, main iframe").count() == 0
        assert page.evaluate(REVERSED) == []
        assert serious_barriers(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_headings_end_where_their_numbers_end(open_page, sized):
    page = open_page(grouped(tab="table", group="user", col=["config:size", "last:depth"]))
    expect(page.locator(HEADS)).to_have_count(1)
    ends = page.evaluate(
        "() => { const end = node => { const range = document.createRange();"
        " range.selectNodeContents(node); return range.getBoundingClientRect().right };"
        " const row = [...document.querySelectorAll('tbody tr.group td.number')];"
        " return [...document.querySelectorAll('thead th.number small')]"
        ".map((head, at) => [end(head), end(row[at])]) }"
    )
    assert len(ends) == 2
    for heading, cell in ends:
        assert heading == pytest.approx(cell, abs=1)


def test_the_group_without_a_value_can_be_shown_alone(open_page, sized):
    page = open_page(grouped(group="config:size"))
    page.get_by_label("Show only the runs of no value").click()
    expect(page.locator("[aria-label=Runs] li input:checked")).to_have_count(1)
