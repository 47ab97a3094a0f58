"""The public API is a promise: a change of it needs the listing and a line in the changelog."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

import afnio_tellurio as te

# The script reads the sources with griffe.
pytestmark = pytest.mark.tools
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location(
        "public_api", ROOT / "scripts" / "public_api.py"
    )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_listing_is_what_the_sources_make_and_the_changelog_tells_what_changed(script):
    assert script.check() == []


def test_the_listing_holds_every_public_name_and_no_other(script):
    listed = {script.path_of(line).partition(".")[0] for line in script.read(script.LISTING)}
    assert listed == {*te.__all__, "integrations"}


#: Planted changes, and the start of a line that the check must print for each.
CHANGES = [
    ("projects.py", 'visibility: str = "TEAM"', 'visibility: str = "PUBLIC"', "+create_project("),
    ("tracking/functions.py", "timeout: float | None = None) -> Del", "timeout: float = 5) -> Del", "+flush("),
    ("tracking/run.py", "async def aflush(", "async def await_flush(", "-async Run.aflush("),
    ("errors.py", "class NotFoundError(ApiError, LookupError)", "class NotFoundError(ApiError)", "+class NotFoundError(ApiError)"),
    ("errors.py", "self.waiting = waiting", "self.undelivered = waiting", "-DeliveryError.waiting"),
    ("api/metrics.py", "values: list[float] =", "values: list[int] =", "+MetricCurve.values: list[int]"),
    ("api/entities.py", 'CRASHED = "CRASHED"', 'CRASHED = "BROKEN"', "-RunStatus.CRASHED = 'CRASHED'"),
    ("__init__.py", '    "use_artifact",\n]', "]", "-use_artifact("),
]  # fmt: skip


def test_each_change_that_the_listing_does_not_have_fails_the_check(script, tmp_path, monkeypatch):
    for name in ("src", "generated", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    for file, old, new, _ in CHANGES:
        source = tmp_path / "src" / "afnio_tellurio" / file
        text = source.read_text("utf-8")
        assert old in text, file
        source.write_text(text.replace(old, new), "utf-8")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    for name in ("LISTING", "RELEASED", "CHANGELOG"):
        path = getattr(script, name).relative_to(ROOT)
        monkeypatch.setattr(script, name, tmp_path / path)
    monkeypatch.setattr(sys, "argv", ["public_api.py", "--check"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    problems = stopped.value.code.splitlines()
    for *_, words in CHANGES:
        assert any(line.startswith(words) for line in problems), (words, problems)
    monkeypatch.setattr(sys, "argv", ["public_api.py", "--release"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code.splitlines() == problems
    assert script.read(script.RELEASED) == script.read(ROOT / "docs" / "public-api.released.txt")
    # Rewriting the listing fixes it.
    monkeypatch.setattr(sys, "argv", ["public_api.py"])
    script.main()
    assert script.check() == []


CHANGELOG = "# Changelog\n\n## 0.2.0 (unreleased)\n\n- {}\n\n## 0.1.0\n\n- `init`, `Run.log`.\n"
RELEASED = ["class Run", "Run.log(name: str) -> None", "init(name: str) -> Run"]


@pytest.mark.parametrize(
    ("listing", "told", "missing"),
    [
        (RELEASED, "Nothing.", []),
        ([*RELEASED, "sync() -> None"], "Nothing.", ["sync"]),
        ([*RELEASED, "sync() -> None"], "`sync` delivers.", []),
        ([*RELEASED, "sync() -> None"], "`resync` and sync deliver.", ["sync"]),
        (RELEASED[:2], "Nothing.", ["init"]),
        ([*RELEASED[:2], "init(name: str = '') -> Run"], "Nothing.", ["init"]),
        ([*RELEASED[:2], "init(name: str = '') -> Run"], "`init` takes no name.", []),
        ([*RELEASED, "async Run.aflush() -> None"], "`Run`.", ["Run.aflush"]),
        ([*RELEASED, "async Run.aflush() -> None"], "`Run.aflush`.", []),
        ([*RELEASED, "class New(Run)", "New.log(name: str) -> None"], "`New`.", []),
        ([*RELEASED, "Run.__init__(name: str)"], "`Run` takes a name.", []),
        (["class Run(Base)", *RELEASED[1:]], "Nothing.", ["Run"]),
    ],
)
def test_a_change_since_the_last_release_must_be_told(script, listing, told, missing):
    assert script.unmentioned(listing, RELEASED, CHANGELOG.format(told)) == missing
