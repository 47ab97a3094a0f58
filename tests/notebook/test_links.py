"""In a notebook, the lines about a run link to it, and a cell that is run again supersedes its run."""

import re

RUN = """
import os
import afnio_tellurio as te
os.environ["TELLURIO_QUIET"] = "0"
os.environ["TELLURIO_MODE"] = {mode!r}
with te.init("acme", "Digits", "<b>test</b>") as run:
    run.log("loss", 1)
"""


def test_the_lines_of_a_run_of_a_backend_are_links(server, kernel):
    messages = kernel(RUN.format(mode="online"))
    assert [kind for kind, _ in messages] == ["display_data", "display_data"], messages
    address = f"{server}/acme/projects/digits/runs/b-test-b/"
    for _, content in messages:
        shown = content["data"]["text/html"]
        assert f'<a href="{address}"' in shown
        assert "&lt;b&gt;test&lt;/b&gt;" in shown
        assert content["data"]["text/plain"].endswith(address)


def test_the_lines_of_a_run_of_this_machine_say_what_a_cell_can_run(kernel):
    messages = kernel(RUN.format(mode="local"))
    # Not on stderr, which notebooks show as errors.
    assert [kind for kind, _ in messages] == ["display_data", "display_data"], messages
    shown = [content["data"] for _, content in messages]
    lines = [data["text/plain"] for data in shown]
    assert lines[0] == "Started run <b>test</b> in acme/digits. View: te.show(run)"
    assert re.fullmatch(
        r"Run <b>test</b> completed in \S+ s \(1 value\)\. View: te\.show\(run\)", lines[1]
    )
    for data in shown:
        assert "&lt;b&gt;test&lt;/b&gt;" in data["text/html"]
        assert data["text/html"].endswith("View: <code>te.show(run)</code></div>")


def test_a_warning_is_still_on_stderr(kernel):
    ((kind, content),) = kernel(
        "import os\nos.environ['TELLURIO_QUIET'] = '0'\n"
        "from afnio_tellurio.notices import warn\nwarn('data waits')"
    )
    assert (kind, content["text"]) == ("stream", "afnio-tellurio: data waits\n")


def test_a_cell_that_is_run_again_supersedes_its_run(kernel):
    start = 'import afnio_tellurio as te; run = te.init("acme", "Digits", "again")'
    kernel('import os; os.environ.update(TELLURIO_MODE="local", TELLURIO_QUIET="1")')
    assert [kernel(start), kernel(start)] == [[], []]
    (message,) = kernel('print(*(run.status for run in te.runs("acme", "Digits")))')
    assert message[1]["text"] == "RUNNING FAILED\n"
