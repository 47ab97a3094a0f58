"""The README and the documentation show what really happens."""

from collections import Counter

import pytest
from code_blocks import PAGES, Block, Reader, blocks_of, comparable

#: The number of blocks on each page that cannot be run. Adding one is a decision, made here.
NOT_RUN = {
    "docs/architecture.md": 1,
    "README.md": 3,
    "docs/adding-a-field.md": 17,
    "docs/adding-a-status.md": 16,
    "docs/adding-an-operation.md": 21,
    "docs/deprecating.md": 15,
    "docs/removing.md": 21,
    "docs/afnio.md": 4,
    "docs/browser.md": 5,
    "docs/integrations.md": 7,
    "docs/importing.md": 1,
    "docs/quickstart.md": 2,
    "docs/reading.md": 1,
    "docs/releasing.md": 2,
    "docs/settings.md": 1,
}
LANGUAGES = {"python", "text", "console", "sh", "toml", "diff", "nginx"}
RUN = [name for name, page in PAGES.items() if any(not block.reason for block in blocks_of(page))]


@pytest.fixture
def reader(start_server, sign_in, home, tmp_path, monkeypatch):
    """A reader in an empty directory, with local runs and a server in place of the platform."""
    url = start_server(api_key="the-key", namespaces=("demo",))
    sign_in(url, "the-key")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TELLURIO_MODE", "local")
    monkeypatch.setenv("TELLURIO_QUIET", "1")
    for name in ("LOGNAME", "USER", "USERNAME"):
        monkeypatch.setenv(name, "ada")
    (tmp_path / "key.txt").write_text("the-key\n")
    monkeypatch.chdir(tmp_path)
    return lambda name: Reader(name, url, monkeypatch)


@pytest.mark.parametrize("name", RUN)
def test_every_block_does_what_it_shows(name, reader):
    one = reader(name)
    if name != "README.md":
        # Pages continue with the runs of the quick start.
        for block in blocks_of(PAGES["docs/quickstart.md"]):
            if block.language == "python" and name != "docs/quickstart.md":
                one.follow(block)
    for block in blocks_of(PAGES[name]):
        if block.reason is None:
            one.follow(block)


def test_what_is_not_run_is_known():
    unable = Counter(
        name for name, page in PAGES.items() for block in blocks_of(page) if block.reason
    )
    assert dict(unable) == NOT_RUN


@pytest.mark.parametrize("name", PAGES)
def test_every_block_has_a_language(name):
    page = PAGES[name]
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"line {block.line}: {block.language!r}"
    fences = [line for line in page.splitlines() if line.lstrip().startswith("```")]
    directives = [fence for fence in fences if fence.startswith("```{")]
    assert len(fences) == 2 * (len(blocks_of(page)) + len(directives)), (
        "a fence is open or indented"
    )


# The reader itself


def test_an_output_that_differs_is_noticed(reader):
    one = reader("page")
    one.follow(Block("python", "print('loss', 1)\n", 1, None))
    with pytest.raises(AssertionError):
        one.follow(Block("text", "loss 2\n", 5, None))
    with pytest.raises(AssertionError):
        one.follow(Block("console", "$ afnio-tellurio projects demo\nnothing\n", 1, None))


def test_an_output_of_no_block_is_noticed(reader):
    with pytest.raises(AssertionError, match="whose output"):
        reader("page").follow(Block("text", "loss 2\n", 5, None))


@pytest.mark.parametrize("line", ["afnio-tellurio show demo/none/none", "scripts/none.sh", "ls"])
def test_a_command_that_fails_is_noticed(reader, line):
    with pytest.raises(AssertionError):
        reader("page").follow(Block("sh", line, 1, None))


def test_a_reason_is_that_of_the_next_block_only():
    page = "<!-- not run: a reason -->\n```sh\nls\n```\n\n```sh\nls\n```\n"
    assert [block.reason for block in blocks_of(page)] == ["a reason", None]
    assert [block.line for block in blocks_of(page)] == [3, 7]


def test_times_and_identifiers_are_not_compared():
    before = "run  a  2026-11-26 10:48:40  0.1 s"
    assert comparable(before) == comparable("run    a   2025-01-02 01:02:03  12.0 s ")
    assert comparable("0.5") != comparable("0.6")
