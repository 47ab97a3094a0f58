"""The pages about changing the API, followed on one copy of the repository, one after the other."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from children import GUARD

from afnio_tellurio.backend.store.schema import FORMAT

pytestmark = [pytest.mark.tools, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
PARTS = ("benchmarks", "openapi", "generated", "scripts", "src", "tests", "docs", "pyproject.toml", "CHANGELOG.md")  # fmt: skip
FIELD, STATUS, OPERATION, DEPRECATING, REMOVING = (
    "adding-a-field", "adding-a-status", "adding-an-operation", "deprecating", "removing"
)  # fmt: skip
CONTRACT = Path("openapi", "tellurio.yaml")
ACCEPTED = Path("openapi", "accepted-changes.txt")
#: What ties the sides together.
TIES = (
    "tests/local/test_structs_match_the_contract.py",
    "tests/contract/test_the_layer_and_the_contract.py",
    "tests/contract/test_sdk_against_the_contract.py",
    "tests/contract/test_the_document.py",
)


def blocks(page, language):
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def patches(page, *, of_contract):
    """The patches of a page: those of the contract and its accepted changes, or the others."""
    ours = {f"--- {path.as_posix()}" for path in (CONTRACT, ACCEPTED)}
    return [
        patch for patch in blocks(page, "diff") if (patch.partition("\n")[0] in ours) is of_contract
    ]


def apply(patch, folder):
    """Applies one patch; each of its parts must match exactly once."""
    header, *parts = re.split(r"^(?=@@)", patch, flags=re.MULTILINE)
    path = folder / header.removeprefix("--- ").strip()
    for part in parts:
        heading, *lines = part.splitlines(keepends=True)
        assert all(line[0] in " +-\n" for line in lines), part
        # An empty line of the page is an empty line of the file.
        lines = [" \n" if line == "\n" else line for line in lines]
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        if heading == "@@ deleted\n":
            path.unlink()
        elif heading == "@@ new file\n":
            assert not path.exists()
            path.write_text(after, "utf-8")
        else:
            text = f"\n{path.read_text('utf-8')}"
            count = text.count(f"\n{before}")
            assert count == 1, f"{path.name}: the page's lines are there {count} times\n{before}"
            path.write_text(text.replace(f"\n{before}", f"\n{after}")[1:], "utf-8")


def run(folder, *command, **variables):
    # What the copy's code covers is not measured.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TELLURIO_", "COVERAGE_"))
    }
    environment.update(
        PATH=os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]]),
        PYTHONPATH=os.pathsep.join([str(folder / "src"), str(folder / "generated")]),
        **variables,
    )
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=GUARD, check=False
    )  # fmt: skip


def succeed(folder, *command, **variables):
    finished = run(folder, *command, **variables)
    assert finished.returncode == 0, finished.stdout[-5000:] + finished.stderr[-5000:]
    return finished.stdout


def run_tests(folder, selected, *tests):
    """Runs tests of the copy: what pytest prints, and whether they passed."""
    selected = f"({selected}) and not without and not each_part"
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-k", selected]
    # Loading what these tests do not need would take longer than they do.
    finished = run(folder, *command, *tests, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return finished.stdout, finished.returncode == 0


def pass_tests(folder, selected, *tests):
    output, has_passed = run_tests(folder, selected, *tests)
    assert has_passed, output[-5000:]
    return set(re.findall(r"::(test_\S+?(?:\[.*?\])?) PASSED", output))


def failing_tests(folder):
    """The tests that tie the sides together and fail, without their parameters."""
    output, _ = run_tests(folder, "not any and not public", *TIES)
    return set(re.findall(r"::(test_\w+)(?:\[.*\])? FAILED", output))


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository in which nothing has changed since the last release."""
    folder = tmp_path_factory.mktemp("repository")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / ".cache").mkdir()
    for name in ("regen", "node"):
        (folder / ".cache" / name).symlink_to(ROOT / ".cache" / name)
    shutil.rmtree(folder / "openapi" / "released")
    (folder / "openapi" / "released").mkdir()
    lines = (folder / ACCEPTED).read_text("utf-8").splitlines(keepends=True)
    (folder / ACCEPTED).write_text("".join(line for line in lines if line.startswith("#")), "utf-8")
    release(folder)
    return folder


def release(folder):
    """Releases the contract, as the reports show it that list only the changes of one page."""
    shutil.copy(folder / CONTRACT, folder / "openapi" / "released" / "0.yaml")


def check_style(folder):
    succeed(folder, "ruff", "check", ".")
    succeed(folder, "ruff", "format", "--check", ".")


def update_listing(folder):
    """Runs scripts/public_api.py; returns what it finds before."""
    program = (
        "import json, sys\n"
        "sys.path.insert(0, 'scripts')\n"
        "import public_api\n"
        "print(json.dumps(public_api.check()))\n"
        "public_api.main()"
    )
    before = json.loads(succeed(folder, sys.executable, "-c", program).splitlines()[0])
    return "\n".join(before)


# The reports

#: Prints the report of each change of the contract, at the time of each: what `regen.sh` prints.
REPORTS = """
import datetime, json, sys
from pathlib import Path
sys.path.insert(0, "scripts")
import contract_kinds, regenerate
read, documents = regenerate.load.__wrapped__, {}
def load(path):
    text = path.read_text("utf-8")
    if text not in documents:
        documents[text] = read(path)
    return documents[text]
regenerate.load = load
for old, new, accepted, today in json.load(sys.stdin):
    class Clock(datetime.datetime):
        now = classmethod(lambda kind, zone: datetime.datetime.fromisoformat(today))
    contract_kinds.datetime = Clock
    for path, text in (
        (regenerate.last_released(), old), (regenerate.CONTRACT, new), (regenerate.ACCEPTED, accepted)
    ):
        path.write_text(text, "utf-8")
    regenerate.print_changes()
    print("===")
"""


@pytest.fixture(scope="module")
def contracts(copy, tmp_path_factory):
    """The contract and the accepted changes after each page, and before the first."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copytree(copy / "openapi", folder / "openapi")
    texts = {"": [(folder / path).read_text("utf-8") for path in (CONTRACT, ACCEPTED)]}
    for page in (FIELD, STATUS, OPERATION, DEPRECATING, REMOVING):
        for patch in patches(page, of_contract=True):
            apply(patch, folder)
        texts[page] = [(folder / path).read_text("utf-8") for path in (CONTRACT, ACCEPTED)]
    return texts


def test_the_reports_are_those_that_the_pages_show(copy, contracts, tmp_path):
    shutil.copytree(copy / "openapi", tmp_path / "openapi")
    shutil.copytree(copy / "scripts", tmp_path / "scripts")
    unaccepted, accepted = contracts[""][1], contracts[STATUS][1]
    early, late = "2027-01-31", "2027-02-01"
    changes = [
        ("", FIELD, unaccepted, early, FIELD, 0),
        (FIELD, STATUS, unaccepted, early, STATUS, 0),
        (FIELD, STATUS, accepted, early, STATUS, 1),
        (STATUS, OPERATION, unaccepted, early, OPERATION, 0),
        (OPERATION, DEPRECATING, unaccepted, early, DEPRECATING, 0),
        (DEPRECATING, REMOVING, unaccepted, late, REMOVING, 0),
        (DEPRECATING, REMOVING, unaccepted, early, REMOVING, 1),
    ]
    finished = subprocess.run(
        [ROOT / ".cache" / "regen" / "bin" / "python", "-c", REPORTS],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=GUARD,
        input=json.dumps(
            [(contracts[old][0], contracts[new][0], lines, f"{day}T12:00:00+00:00") for old, new, lines, day, *_ in changes]
        ),
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    reports = finished.stdout.split("===\n")
    for report, (*_, page, number) in zip(reports, changes, strict=False):
        shown = blocks(page, "text")[number]
        # The page may show the end of it.
        assert report.endswith(shown), report
    assert len(reports) == len(changes) + 1


# What is added


@pytest.fixture(scope="module")
def added(copy, contracts):
    """The copy after the pages that add something; each test that ties the sides fails first."""
    for page in (FIELD, STATUS, OPERATION):
        for patch in patches(page, of_contract=True):
            apply(patch, copy)
    assert [(copy / path).read_text("utf-8") for path in (CONTRACT, ACCEPTED)] == contracts[
        OPERATION
    ]
    succeed(copy, copy / "scripts" / "regen.sh")
    assert failing_tests(copy) == {
        "test_a_request_struct_takes_what_the_contract_allows_and_nothing_else",
        "test_an_answer_struct_has_every_field_of_the_contract",
        "test_each_field_of_an_answer_is_an_attribute",
        "test_each_list_of_statuses_is_that_of_the_contract",
        "test_the_statuses_are_described_where_people_read_of_them",
        "test_every_operation_of_the_protocol_is_there",
        "test_an_operation_has_summary_description_one_tag_and_is_marked_if_it_is_an_extension",
        "test_every_operation_has_a_caller_in_the_ergonomic_layer",
        "test_every_operation_has_a_function_in_the_embedded_backend_and_no_other_has",
    }
    for patch in patches(FIELD, of_contract=False):
        apply(patch, copy)
    # The golden home of the next format is written by the last commit with this one.
    git = (
        "git",
        "-c",
        "user.name=ada",
        "-c",
        "user.email=ada@example.com",
        "-c",
        "core.autocrlf=false",
    )
    for command in (("init", "-q"), ("add", "src", "generated"), ("commit", "-q", "-m", "A field")):
        succeed(copy, *git, *command)
    for page in (STATUS, OPERATION):
        for patch in patches(page, of_contract=False):
            apply(patch, copy)
    for block in blocks(OPERATION, "sh"):
        succeed(copy, sys.executable, *block.split()[1:])
    return copy


def test_what_is_added_passes_the_tests_and_their_own_are_among_them(added, pytestconfig):
    passed = pass_tests(
        added,
        "(color or paused or picture or struct or layer or document or caller or every_operation"
        " or (home and 6)) and not public",
        *TIES,
        "tests/scenarios/test_tracking.py",
        "tests/local/test_older_versions.py",
        "tests/docs/test_site.py::test_the_page_of_the_http_api_lists_every_operation",
        "tests/docs/test_architecture.py",
    )
    for how in ("in process", "over HTTP"):
        for name in ("a_color_is_read_back_as_it_was_given", "a_paused_run_is_resumed", "a_picture_is_read_back_as_it_was_saved"):  # fmt: skip
            assert f"test_{name}[{how}]" in passed
    assert "test_a_home_of_each_format_is_read_and_its_journal_is_delivered_once[6]" in passed
    if pytestconfig.getoption("--long"):
        pass_tests(added, "test", "tests/scenarios")


def test_the_listing_of_the_public_api_and_the_changelog_agree_with_what_is_added(added):
    before = update_listing(added)
    assert "Run.color" in before
    assert "save_picture" in before
    assert "Run.color" in (added / "docs" / "public-api.txt").read_text("utf-8")


def test_a_database_from_before_the_change_is_brought_up_to_it(added, tmp_path):
    record = "import afnio_tellurio as te\nwith te.init('acme', 'Digits', 'old') as run: run.log('loss', 1)"
    read = (
        "import afnio_tellurio as te\n"
        f"assert te.__file__.startswith({str(added)!r}), te.__file__\n"
        "old = te.get_run('acme', 'digits', 'old')\n"
        "new = te.init('acme', 'Digits', color='#3366cc')\n"
        "print(old.color, old.metrics('loss').values, new.color)"
    )
    home = {
        "TELLURIO_MODE": "local",
        "TELLURIO_HOME": str(tmp_path / "home"),
        "TELLURIO_QUIET": "1",
    }
    succeed(ROOT, sys.executable, "-c", record, **home)
    assert succeed(added, sys.executable, "-c", read, **home) == "None [1] #3366cc\n"
    refused = run(ROOT, sys.executable, "-c", record, **home)
    # Two pages have added one each.
    assert f"has format {FORMAT + 2}" in refused.stderr


# What is deprecated and removed


@pytest.fixture(scope="module")
def deprecated(added):
    """The copy after the deprecation."""
    release(added)
    for patch in patches(DEPRECATING, of_contract=True):
        apply(patch, added)
    succeed(added, added / "scripts" / "regen.sh")
    output, _ = run_tests(added, "deprecates", TIES[1])
    assert "RunCreate.color is deprecated: warn in " in output
    assert "tracking/functions.py" in output
    for patch in patches(DEPRECATING, of_contract=False):
        apply(patch, added)
    return added


def test_what_is_deprecated_warns_once_and_nothing_else_does(deprecated):
    passed = pass_tests(
        deprecated,
        "color or deprecat or unit",
        TIES[1],
        "tests/unit/test_deprecation.py",
        "tests/docs/test_architecture.py",
        "tests/scenarios/test_tracking.py",
    )
    assert "test_what_the_contract_deprecates_warns" in passed
    assert "test_a_color_is_read_back_as_it_was_given[over HTTP]" in passed
    assert "test_the_package_itself_is_not_warned" in passed
    check_style(deprecated)
    # With everything that the pages add.
    succeed(deprecated, "mypy", "--cache-dir", os.devnull, "src")


def test_what_is_removed_leaves_nothing(deprecated):
    release(deprecated)
    for patch in patches(REMOVING, of_contract=True):
        apply(patch, deprecated)
    succeed(deprecated, deprecated / "scripts" / "regen.sh")
    assert not (deprecated / "generated" / "tellurio_api" / "deprecation.py").exists()
    for patch in patches(REMOVING, of_contract=False):
        apply(patch, deprecated)
    pass_tests(
        deprecated,
        "struct or layer or paused",
        *TIES[:2],
        "tests/scenarios/test_tracking.py",
        "tests/docs/test_architecture.py",
    )
    check_style(deprecated)
    sources = [*(deprecated / "src").rglob("*.py"), *(deprecated / "generated").rglob("*.py")]
    left = [
        path.name for path in sources if re.search(r"\.color\b|deprecat", path.read_text("utf-8"))
    ]
    assert left == []
