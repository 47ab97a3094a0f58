"""In a notebook, the lines about a run link to it, and a cell that is run again supersedes its run."""

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


def test_the_lines_of_a_run_of_this_machine_are_plain(kernel):
    messages = kernel(RUN.format(mode="local"))
    assert {(kind, content.get("name")) for kind, content in messages} == {("stream", "stderr")}
    text = "".join(content["text"] for _, content in messages)
    assert [line.split(" View")[0].split(" in 0")[0] for line in text.splitlines()] == [
        "afnio-tellurio: Started run <b>test</b> in acme/digits.",
        "afnio-tellurio: Run <b>test</b> completed",
    ]


def test_a_cell_that_is_run_again_supersedes_its_run(kernel):
    start = 'import afnio_tellurio as te; run = te.init("acme", "Digits", "again")'
    kernel('import os; os.environ.update(TELLURIO_MODE="local", TELLURIO_QUIET="1")')
    assert [kernel(start), kernel(start)] == [[], []]
    (message,) = kernel('print(*(run.status for run in te.runs("acme", "Digits")))')
    assert message[1]["text"] == "RUNNING FAILED\n"
