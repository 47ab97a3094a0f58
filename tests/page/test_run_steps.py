"""Texts, JSON, and media of a run over its steps, in a real browser."""

import math
import re

import pytest
from browser_pages import Requests, eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\u2066"


def begin(client):
    return te.init("acme", "Digits", "run", client=client)


def open_run(open_page, run, query="", **options):
    page = open_page(f"{PROJECT}runs/{run.uuid}/?tab=media{query}", **options)
    expect(page.locator("figure").first).to_be_visible()
    return page


def card(page, name):
    return page.locator("figure").filter(has=page.locator("figcaption bdi", has_text=name))


def step(page):
    return page.locator(".steps output")


def test_every_prompt_is_readable_and_keeps_its_lines(open_page, client):
    with begin(client) as run:
        for number in range(5):
            run.log("prompt", f"Rule {number}\n  always", step=10 * number)
    page = open_run(open_page, run)
    text = card(page, "prompt").locator("pre")
    for number in range(4, -1, -1):
        expect(text).to_have_text(f"Rule {number}\n  always", use_inner_text=True)
        expect(step(page)).to_have_text(str(10 * number))
        expect(card(page, "prompt").locator("figcaption small")).to_have_text(f"step {10 * number}")
        if number:
            page.get_by_role("button", name="Previous step").click()
    # There is nothing before the first step.
    previous = page.get_by_role("button", name="Previous step")
    expect(previous).to_have_attribute("aria-disabled", "true")
    page.get_by_role("button", name="Next step").press("Enter")
    expect(text).to_contain_text("Rule 1")
    expect(page).to_have_url(re.compile("at=10$"))
    page.reload()
    expect(text).to_contain_text("Rule 1")
    page.get_by_role("button", name="Last step").click()
    expect(text).to_contain_text("Rule 4")
    expect(page).not_to_have_url(re.compile("at="))
    page.get_by_role("button", name="First step").click()
    expect(text).to_contain_text("Rule 0")


def test_one_slider_moves_all_cards_to_what_they_had_then(open_page, client):
    with begin(client) as run:
        for number in (0, 10, 20):
            run.log("prompt", f"prompt {number}", step=number)
            run.log_text("answer", f"answer {number}", step=number + 5)
        run.log("score", {"a": {"f1": 0.5}}, step=20)
        run.log("loss", 1, step=40)
    page = open_run(open_page, run, "&at=12")
    expect(card(page, "prompt").locator("pre")).to_have_text("prompt 10")
    expect(card(page, "answer").locator("pre")).to_have_text("answer 0")
    expect(card(page, "score")).to_contain_text("Nothing up to this step. The first is at step 20.")
    slider = page.get_by_role("slider", name="Step")
    # The step before what is shown, not before the number: it would show the same.
    slider.press("ArrowLeft")
    expect(step(page)).to_have_text("5")
    expect(card(page, "prompt").locator("pre")).to_have_text("prompt 0")
    expect(slider).to_have_attribute("aria-valuetext", "Step 5")
    for number in (10, 15, 20, 25):
        slider.press("ArrowRight")
        expect(step(page)).to_have_text(str(number))
    expect(card(page, "score").locator("td.heat")).to_have_text("0.5")
    expect(card(page, "answer").locator("pre")).to_have_text("answer 20")
    slider.press("Home")
    expect(card(page, "answer")).to_contain_text("The first is at step 5.")
    # Numbers have charts, and no card.
    expect(page.locator("figure")).to_have_count(3)


def test_all_values_of_a_step_are_readable(open_page, client):
    with begin(client) as run:
        for number in range(22):
            run.log("candidate", f"candidate {number}", step=0)
        run.log("candidate", "the winner", step=1)
    page = open_run(open_page, run)
    expect(page.locator("figure pre")).to_have_text("the winner")
    page.get_by_role("button", name="Previous step").click()
    texts = [f"candidate {number}" for number in range(20)]
    expect(page.locator("figure pre")).to_have_text(texts)
    expect(page.get_by_text("Only the first 20 values of this step are shown.")).to_be_visible()


def test_changes_since_the_previous_value_are_shown(open_page, client):
    with begin(client) as run:
        for number, line in enumerate(("old", "new", "new")):
            run.log("prompt", f"first\n{line}\nlast", step=5 * number)
            run.log("rules", {"rule": line}, step=5 * number)
            run.log_text("answer", f"{line} {HOSTILE}", step=5 * number)
    page = open_run(open_page, run, "&at=5")
    box = page.get_by_label("Changes of texts")
    box.check()
    lines = card(page, "prompt").locator(".diff > *")
    expect(lines).to_have_text(["first", "- old", "+ new", "last"])
    expect(card(page, "prompt")).to_contain_text("Changes since step 0")
    expect(card(page, "rules").locator("del")).to_have_text('-   "rule": "old"')
    expect(card(page, "answer").locator("ins")).to_have_text(f"+ new {HOSTILE}")
    page.get_by_role("button", name="Last step").click()
    expect(card(page, "prompt")).to_contain_text("The same as at step 5.")
    expect(card(page, "prompt").locator("pre")).to_contain_text("first")
    page.get_by_role("button", name="First step").click()
    # There is nothing before.
    expect(card(page, "prompt").locator("pre")).to_contain_text("old")
    page.reload()
    expect(box).to_be_checked()
    box.uncheck()
    expect(page).not_to_have_url(re.compile("changes"))


def test_only_cards_in_view_are_asked_for_and_only_what_they_show(open_page, client):
    with begin(client) as run:
        for name in range(40):
            for number in range(30):
                run.log(f"text {name:02}", "x" * 50 + str(number), step=number)
    page = open_run(open_page, run, "&at=15")
    expect(card(page, "text 00").locator("pre")).to_contain_text("x15")
    last = "name=text+39"
    page.wait_for_function("() => asked.every(({ isOver }) => isOver)")
    assert Requests(page, last).all() == []
    answers = [one for one in Requests(page, "/metrics/?").all() if "name=" in one["url"]]
    assert answers
    # 21 values of up to 30.
    assert all("limit=21" in one["url"] and one["size"] < 5000 for one in answers)
    assert all(one["size"] < 1000 for one in Requests(page, "/metrics/sample/").all())
    card(page, "text 39").scroll_into_view_if_needed()
    expect(card(page, "text 39").locator("pre")).to_contain_text("x15")
    Requests(page, last).to_be_more_than(1)
    page.get_by_label("Search text and media").fill("TEXT 07")
    expect(page.locator("figure")).to_have_count(1)
    expect(card(page, "text 07").locator("pre")).to_contain_text("x15")


def test_new_values_appear_unless_a_step_was_chosen(open_page, client):
    run = begin(client)
    run.log("prompt", "one", step=0)
    run.log("prompt", "two", step=1)
    run.flush()
    page = open_run(open_page, run)
    text = card(page, "prompt").locator("pre")
    expect(text).to_have_text("two")
    run.log("prompt", "three", step=2)
    run.flush()
    eventually(page, expect(text).to_have_text, "three")
    page.get_by_role("button", name="Previous step").click()
    expect(text).to_have_text("two")
    run.log("prompt", "four", step=3)
    run.flush()
    slider = page.get_by_role("slider", name="Step")
    eventually(page, expect(slider).to_have_attribute, "max", "3")
    expect(text).to_have_text("two")
    run.finish()


def test_hostile_values_are_text_within_bounds(open_page, client):
    deep = {}
    for _ in range(60):
        deep = {"deep": deep}
    with begin(client) as run:
        for number in range(2):
            run.log("long", "y" * 1_000_000 + str(number), step=number)
            run.log("lines", f"{number}\n" * 100_000, step=number)
            run.log("deep", deep, step=number)
            run.log("wide", {f"key {key}": key for key in range(10_000)}, step=number)
            run.log("mixed", [float("nan"), HOSTILE, None, 1e300], step=number)
            run.log(HOSTILE, HOSTILE, step=number)
    page = open_run(open_page, run)
    for name in ("long", "lines", "deep", "wide", "mixed"):
        shown = card(page, name)
        shown.scroll_into_view_if_needed()
        expect(shown.locator("pre, td.heat").first).to_be_visible()
    assert len(card(page, "long").locator("pre").inner_text()) == 256_000
    expect(card(page, "long")).to_contain_text("Only the first 256 kB are shown.")
    expect(card(page, "wide").locator("td.heat")).to_have_count(100)
    expect(card(page, "mixed").locator("td.heat bdi")).to_have_text(["NaN", HOSTILE, "", "1e+300"])
    expect(page.locator("figure pre", has_text="script")).to_have_text(HOSTILE)
    page.get_by_label("Changes of texts").check()
    shown = card(page, "lines")
    shown.scroll_into_view_if_needed()
    expect(shown.locator(".diff > *")).to_have_count(10_000)
    assert page.locator("main script, main img, main iframe").count() == 0
    page.set_viewport_size({"width": 390, "height": 900})
    page.wait_for_function("() => document.documentElement.scrollWidth <= 390")


def test_a_card_shows_that_its_value_cannot_be_loaded(open_page, client):
    with begin(client) as run:
        for number in range(2):
            run.log("prompt", f"prompt {number}", step=number)
    page = open_run(open_page, run)
    expect(card(page, "prompt").locator("pre")).to_have_text("prompt 1")
    failing = re.compile("/metrics/[?]name")

    def fail():
        page.route(
            failing, lambda route: route.fulfill(status=500, json={"detail": "Out of disk."})
        )

    fail()
    page.get_by_role("button", name="Previous step").click()
    expect(card(page, "prompt").get_by_role("alert")).to_have_text("Out of disk.")
    page.unroute(failing)
    page.get_by_role("button", name="Last step").click()
    expect(card(page, "prompt").locator("pre")).to_have_text("prompt 1")
    expect(page.get_by_text("Out of disk.")).to_have_count(0)
    # What failed at first is asked for again.
    fail()
    page.reload()
    expect(card(page, "prompt").get_by_role("alert")).to_have_text("Out of disk.")
    page.get_by_role("button", name="Previous step").click()
    expect(step(page)).to_have_text("0")
    page.unroute(failing)
    page.get_by_role("button", name="Last step").click()
    expect(card(page, "prompt").locator("pre")).to_have_text("prompt 1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_steps_are_for_everybody_and_any_width(open_page, client, scheme):
    with begin(client) as run:
        for number in range(2):
            run.log("p" * 200, f"{'word ' * 100}\n{'n' * 1000}\n{number}", step=number)
            run.log("turns", [{"role": "user", "content": f"one\n{'two ' * 50}"}], step=number)
    page = open_run(open_page, run, scheme=scheme)
    expect(card(page, "turns").locator("td.text")).to_be_visible()
    assert "one\ntwo" in card(page, "turns").locator("td.text").inner_text()
    for has_changes in (False, True):
        if has_changes:
            page.get_by_label("Changes of texts").check()
            expect(page.locator("figure ins")).to_be_visible()
        assert serious_barriers(page) == []
        for width in (3840, 1440, 1024, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(
                "(width) => document.documentElement.scrollWidth <= width", arg=width
            )


def test_any_json_value_has_a_card(open_page, client):
    values = {"words": {"toString": ["a"], "valueOf": 1}, "one": ["NaN"], "none": [math.inf]}
    with begin(client) as run:
        run.log_metrics(values, step=0)
        run.log("nan", math.nan)
    page = open_run(open_page, run)
    expect(page.locator("figcaption bdi")).to_have_text(["none", "one", "words"])
    expect(card(page, "words")).to_contain_text("toString")
