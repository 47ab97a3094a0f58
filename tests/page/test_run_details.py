"""What the page shows of a run beside its metrics, in a real browser."""

import datetime as dt
import json
import re

import pytest
from browser_pages import eventually, serious_barriers
from playwright.sync_api import expect

import afnio_tellurio as te

PROJECT = "/acme/projects/digits/"
ROWS = "[aria-label=Runs] tbody tr"
HOSTILE = "<img src=x onerror=alert(1)>\u202e"


def change(client, run, **fields):
    """Changes a run as its own process does."""
    client.patch(f"/api/v0{PROJECT}runs/{run.uuid}/", fields)


def open_run(open_page, run, tab=""):
    page = open_page(f"{PROJECT}runs/{run.uuid}/{tab and '?tab='}{tab}")
    expect(page.locator("h1")).to_contain_text(run.name)
    return page


def fact(page, label):
    """The value of a fact."""
    item = page.locator("dl > div").filter(has=page.locator("dt", has_text=label))
    return item.locator("dd")


def cells(page, label):
    """The rows of a table, each with its path and its value."""
    return page.get_by_role("region", name=label).locator("tr")


def test_a_run_shows_what_it_belongs_to(open_page, client):
    labels = {"tags": ["b", "a"], "group": "sweep", "job_type": "train"}
    run = te.init("acme", "Digits", "run", notes="one\ntwo", client=client, **labels)
    run.finish()
    page = open_run(open_page, run)
    expect(fact(page, "Tags").locator("bdi")).to_have_text(["a", "b"])
    expect(fact(page, "Group")).to_have_text("sweep")
    expect(fact(page, "Job type")).to_have_text("train")
    assert fact(page, "Notes").inner_text() == "one\ntwo"
    for label in ("Parent", "Ended because"):
        expect(fact(page, label)).to_have_count(0)
    expect(page.locator("details")).to_have_count(0)
    expect(page.get_by_text("Children")).to_have_count(0)


def test_a_family_is_linked(open_page, client):
    top = te.init("acme", "Digits", "top", client=client)
    middle = te.init("acme", "Digits", "middle", client=client, parent=top)
    for number in range(2):
        te.init("acme", "Digits", f"fold {number}", client=client, parent=middle).finish()
    page = open_run(open_page, middle)
    expect(page.locator("main ul a")).to_have_text(["fold 1", "fold 0"])
    expect(page.locator("main ul .status").first).to_contain_text("Completed")
    fact(page, "Parent").get_by_role("link", name="top").click()
    expect(page).to_have_url(re.compile(top.uuid))
    expect(fact(page, "Tags")).to_have_count(0)
    page.locator("main ul").get_by_role("link", name="middle").click()
    expect(page).to_have_url(re.compile(middle.uuid))
    te.delete_run("acme", "digits", top.uuid, client=client)
    page = open_run(open_page, middle)
    # A parent need not exist.
    expect(fact(page, "Parent")).to_have_text(top.uuid)
    expect(page.locator("main ul a")).to_have_text(["fold 1", "fold 0"])


def test_a_run_without_metrics_counts_none(open_page, client):
    run = te.init("acme", "Digits", "run", client=client)
    run.finish()
    page = open_run(open_page, run)
    expect(page.get_by_text("No numeric metrics yet.")).to_be_visible()
    expect(page.get_by_text("0 metrics")).to_have_count(0)


def test_some_of_many_children_are_shown(open_page, client):
    run = te.init("acme", "Digits", "parent", client=client)
    for number in range(101):
        body = {"name": f"fold {number}", "parent_uuid": run.uuid}
        client.post(f"/api/v0{PROJECT}runs/", body)
    page = open_run(open_page, run)
    page.get_by_text("Children 100+").click()
    expect(page.locator("main ul li")).to_have_count(100)
    expect(page.get_by_text("Only the newest 100 are shown.")).to_be_visible()


def test_a_run_tells_why_it_ended(open_page, client):
    run = te.init("acme", "Digits", "run", client=client)
    with pytest.raises(ValueError, match="too large"), run:
        raise ValueError("too large")
    page = open_run(open_page, run)
    expect(fact(page, "Ended because")).to_have_text("ValueError: too large")
    traceback = page.locator("details pre")
    expect(traceback).to_be_hidden()
    page.get_by_text("Traceback").click()
    expect(traceback).to_be_visible()
    expect(traceback).to_contain_text('raise ValueError("too large")')


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ({"kind": "signal", "signal": "SIGTERM", "message": "m"}, "signal SIGTERM"),
        ({"kind": "exception", "type": "KeyError"}, "KeyError"),
        ({"kind": "exit", "message": "Status 3."}, "Status 3."),
        ({"kind": "vanished"}, "vanished"),
    ],
)
def test_a_reason_is_written_as_on_the_command_line(open_page, client, reason, words):
    run = te.init("acme", "Digits", "run", client=client)
    change(client, run, status="CRASHED", ended_because=reason)
    assert str(te.get_run("acme", "digits", run.uuid, client=client).ended_because) == words
    page = open_run(open_page, run)
    expect(fact(page, "Ended because")).to_have_text(words)
    expect(page.locator("details")).to_have_count(0)


def test_the_duration_ends_with_the_run(open_page, client):
    run = te.init("acme", "Digits", "run", client=client)
    ended = run.date_created + dt.timedelta(seconds=90)
    # The run is changed now, which is no 90 seconds later.
    change(client, run, status="COMPLETED", date_ended=ended.isoformat())
    page = open_run(open_page, run)
    expect(fact(page, "Duration")).to_have_text("1 min 30 s")
    page = open_page(f"{PROJECT}?tab=table")
    expect(page.locator(ROWS)).to_contain_text("1 min 30 s")


def test_a_config_and_an_environment_are_tables(open_page, client):
    config = {"optim": {"name": "adam", "lr": 0.1}, "layers": [1, 2], "empty": {}, "n": None}
    run = te.init("acme", "Digits", "run", config=config, client=client)
    run.finish()
    packages = {"numpy": "2.1.0", "torch": "2.9.0"}
    change(client, run, environment={"git": {"commit": "1f0e"}, "packages": packages})
    # By its name, too: lists have no environment.
    for path in (run.uuid, run.name):
        page = open_page(f"{PROJECT}runs/{path}/?tab=config")
        expect(cells(page, "Config")).to_have_text(
            ['optim.name"adam"', "optim.lr0.1", "layers[1,2]", "empty{}", "nnull"]
        )
        for summary, label, rows in (
            ("Environment", "Environment", ['git.commit"1f0e"']),
            ("2 packages", "2 packages", ['numpy"2.1.0"', 'torch"2.9.0"']),
        ):
            expect(page.get_by_text(summary)).to_be_visible()
            expect(page.get_by_role("region", name=label)).to_have_count(0)
            page.get_by_text(summary).click()
            expect(cells(page, label)).to_have_text(rows)


def test_a_large_config_is_shown_in_part_and_searched(open_page, client):
    config = {f"key{number}": number or "x" * 2000 for number in range(10_000)}
    config["nested"] = {"last one": HOSTILE}
    run = te.init("acme", "Digits", "run", config=config, client=client)
    page = open_run(open_page, run, "config")
    expect(cells(page, "Config")).to_have_count(1000)
    expect(page.get_by_text("9,001 more values not shown.")).to_be_visible()
    assert page.locator("td bdi").first.inner_text() == f'"{"x" * 998}…'
    search = page.get_by_label("Search in config")
    search.fill("LAST")
    expect(cells(page, "Config")).to_have_text([f'nested.last one"{HOSTILE}"'])
    expect(page.get_by_text("1 match", exact=True)).to_be_visible()
    search.fill("onerror")
    expect(cells(page, "Config")).to_have_count(1)
    search.fill("nothing")
    expect(page.get_by_role("region", name="Config")).to_have_count(0)
    expect(page.get_by_text("0 matches")).to_be_visible()


def test_long_lists_of_a_config_are_folded_and_prompts_keep_their_lines(open_page, client):
    config = {"seeds": list(range(100)), "stop": ["a"], "prompt": "one\n  two"}
    run = te.init("acme", "Digits", "run", config=config, client=client)
    page = open_run(open_page, run, "config")
    row = cells(page, "Config").filter(has_text="seeds")
    expect(row.get_by_text("0,1,2")).to_be_hidden()
    row.get_by_text("100 items").click()
    expect(row.get_by_text("0,1,2")).to_be_visible()
    expect(cells(page, "Config").filter(has_text="stop")).to_have_text('stop["a"]')
    prompt = cells(page, "Config").filter(has_text="prompt").locator("td")
    assert prompt.inner_text() == "one\n  two"


def test_a_config_is_copied_as_json(open_page, client):
    config = {"optim": {"lr": 0.1}, "layers": [1, 2]}
    run = te.init("acme", "Digits", "run", config=config, client=client)
    run.finish()
    path = f"{PROJECT}runs/{run.uuid}/?tab=config"
    page = open_page(path, permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as JSON").first.click()
    expect(page.get_by_text("Copied", exact=True)).to_be_visible()
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == config


def test_fields_in_a_description_are_a_table(open_page, client):
    with te.init("acme", "Digits", "run", '{"lr": 0.1, "deep": {"er": 2}}', client=client) as run:
        pass
    page = open_run(open_page, run)
    expect(fact(page, "UUID")).to_have_text(run.uuid)
    expect(page.get_by_text('"lr"')).to_have_count(0)
    page.get_by_role("link", name="Config").click()
    expect(cells(page, "Description")).to_have_text(["lr0.1", "deep.er2"])
    # A text that only looks like fields.
    change(client, run, description="{lr}")
    page = open_run(open_page, run)
    expect(page.get_by_text("{lr}")).to_be_visible()


def test_what_was_opened_stays_open(open_page, client):
    run = te.init("acme", "Digits", "run", config={"seeds": list(range(100))}, client=client)
    page = open_run(open_page, run, "config")
    page.get_by_text("100 items").click()
    expect(page.get_by_text("0,1,2")).to_be_visible()
    run.log("loss", 1)
    run.tag("late")
    run.flush()
    eventually(page, expect(fact(page, "Tags")).to_have_text, "late")
    expect(page.get_by_text("0,1,2")).to_be_visible()


def test_the_table_of_runs_has_tags_and_finds_them(open_page, client):
    te.init("acme", "Digits", "plain", client=client).finish()
    te.init("acme", "Digits", "tagged", tags=["b", "a"], client=client).finish()
    page = open_page(f"{PROJECT}?tab=table")
    expect(page.locator(ROWS).first.locator(".tag")).to_have_text(["a", "b"])
    expect(page.locator(ROWS).last.locator(".tag")).to_have_count(0)
    page.fill("#filter", "b")
    expect(page.locator("[aria-label=Runs] tbody th")).to_have_text(["tagged"])


def test_details_are_text(open_page, client):
    run = te.init(
        "acme",
        "Digits",
        "run",
        config={HOSTILE: HOSTILE},
        tags=[HOSTILE],
        group=HOSTILE,
        job_type=HOSTILE,
        notes=HOSTILE,
        client=client,
    )
    reason = {"kind": "exception", "type": "E", "message": HOSTILE, "traceback": HOSTILE}
    environment = {HOSTILE: {HOSTILE: HOSTILE}, "packages": {HOSTILE: HOSTILE}}
    change(client, run, status="CRASHED", ended_because=reason, environment=environment)
    client.post(f"/api/v0{PROJECT}runs/", {"name": HOSTILE, "parent_uuid": run.uuid})
    page = open_run(open_page, run)
    for label in ("Tags", "Group", "Job type", "Notes"):
        expect(fact(page, label)).to_contain_text(HOSTILE)
    page.get_by_text("Traceback").click()
    expect(page.locator("pre")).to_have_text(HOSTILE)
    expect(page.locator("main ul a")).to_have_text(HOSTILE)
    page.get_by_role("link", name="Config", exact=True).click()
    for label in ("Environment", "1 package"):
        page.get_by_text(label).click()
    for label in ("Config", "Environment", "1 package"):
        expect(cells(page, label)).to_contain_text(HOSTILE)
    assert page.locator("main script, main img, main svg:not(.icon), main iframe").count() == 0
    page = open_page(f"{PROJECT}?tab=table")
    expect(page.locator(ROWS)).to_have_count(2)
    assert page.locator("main script, main img, main svg:not(.icon), main iframe").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_details_are_for_everybody_and_any_width(open_page, client, scheme):
    long = "long " * 50
    run = te.init(
        "acme",
        "Digits",
        "run",
        config={"optim": {"lr": 0.1}, "x" * 100: "y" * 2000},
        tags=["baseline", *(f"{number}{'x' * 200}" for number in range(3))],
        group="g" * 200,
        notes=f"{long}\n{'n' * 500}",
        client=client,
    )
    traceback = f'  File "train.py", line 12, in train\n    {long}\n'
    reason = {"kind": "exception", "type": "E", "message": "m" * 500, "traceback": traceback}
    environment = {"python": "3.12", "packages": {"numpy": "2.1"}}
    change(client, run, status="CRASHED", ended_because=reason, environment=environment)
    client.post(f"/api/v0{PROJECT}runs/", {"name": "c" * 255, "parent_uuid": run.uuid})
    page = open_page(f"{PROJECT}runs/{run.uuid}/?tab=config", scheme=scheme)
    expect(page.locator("main ul a")).to_be_visible()
    for label in ("Traceback", "Environment", "1 package"):
        page.get_by_text(label).click()
    shown = page.locator("main").inner_text()
    parts = ["Ended because", "Traceback", "Tags", "Group", "Notes", "Children", "Charts"]
    places = [shown.index(part) for part in [*parts, "Config", "Environment", "1 package"]]
    assert places == sorted(places)
    assert serious_barriers(page) == []
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "(width) => document.documentElement.scrollWidth <= width", arg=width
        )


def test_tables_are_listed_and_open_with_their_first_rows(open_page, client):
    run = te.init("acme", "Digits", "run", client=client)
    run.log_rows("candidates", [{"index": 0, "prompt": HOSTILE}, {"index": 1, "score": 0.5}])
    run.log_rows("many", [{"number": number} for number in range(101)])
    run.flush()
    page = open_run(open_page, run, "tables")
    tables = page.locator("details").filter(has_text="row")
    expect(tables.locator("summary")).to_have_text(["candidates: 2 rows", "many: 101 rows"])
    tables.nth(0).locator("summary").click()
    rows = cells(page, "Value of candidates")
    expect(rows.nth(0).locator("th")).to_have_text(["index", "prompt", "score"])
    expect(rows.nth(1).locator("td bdi")).to_have_text(["0", HOSTILE, ""])
    expect(rows.nth(2).locator("td bdi")).to_have_text(["1", "", "0.5"])
    tables.nth(1).locator("summary").click()
    expect(cells(page, "Value of many")).to_have_count(101)
    expect(tables.nth(1)).to_contain_text("Only the first 100 rows are shown.")
    assert serious_barriers(page) == []
    run.log_rows("candidates", [{"index": 2}])
    run.flush()
    # An open table follows the run.
    eventually(page, expect(rows).to_have_count, 4)
    run.finish()
