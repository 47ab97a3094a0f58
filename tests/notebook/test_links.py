"""In a notebook, the lines about a run link to it, and a cell that is run again supersedes its run."""

import re

import pytest

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


START = 'import afnio_tellurio as te; run = te.init("acme", "Digits", "again")'
STATUSES = 'print(*(run.status for run in te.runs("acme", "Digits")))'


@pytest.fixture
def local_kernel(kernel):
    kernel(
        "import os; os.environ.update(TELLURIO_MODE='local', TELLURIO_QUIET='1')\n"
        "import afnio_tellurio as te\n"
        "if te.get_active_run() is not None: te.finish()"
    )
    return kernel


def test_a_cell_that_is_run_again_completes_its_run(local_kernel):
    assert [local_kernel(START), local_kernel(START)] == [[], []]
    (message,) = local_kernel(STATUSES)
    assert message[1]["text"] == "RUNNING COMPLETED\n"
    (message,) = local_kernel('print(te.get_run("acme", "digits", "again").ended_because.kind)')
    assert message[1]["text"] == "superseded\n"


@pytest.mark.parametrize("failing", ["1 / 0", "not Python", "raise KeyboardInterrupt"])
def test_a_run_of_a_cell_that_fails_is_failed(local_kernel, failing):
    local_kernel(START)
    assert local_kernel(failing)[-1][0] == "error"
    local_kernel("'a cell that does not fail'")
    assert [local_kernel(START), local_kernel(START)] == [[], []]
    (message,) = local_kernel(STATUSES)
    # The failure was before the second run started.
    assert message[1]["text"] == "RUNNING COMPLETED FAILED\n"
