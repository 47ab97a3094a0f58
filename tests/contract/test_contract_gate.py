"""Which changes of the contract may be committed, and what a release of it leaves behind."""

import hashlib
import re
from pathlib import Path

import pytest
import yaml
from contract_changes import Change, ContractError, Kind
from contract_gate import Gate, read_accepted

OPENAPI = Path(__file__).parent.parent.parent / "openapi"
RELEASED = OPENAPI / "released"

BREAK = Change(Kind.BREAKS_CALLERS, "Run.name", "maxLength is 5, was 9, in requests", "keep it")
WORDS = Change(Kind.DOCUMENTATION, "getRun", "summary changed", "nothing")
LINE = "breaking for callers | Run.name: maxLength is 5, was 9, in requests | Nobody uses it."


def test_the_report_counts_and_names_every_change_and_says_what_to_do_next():
    other = Change(Kind.BREAKS_CALLERS, "Run.size", "removed in answers", "keep it")
    assert Gate([BREAK, other, WORDS], []).report("new against old") == (
        "new against old: 2 breaking for callers, 1 documentation\n"
        "  breaking for callers\n"
        "    Run.name: maxLength is 5, was 9, in requests\n"
        "    Run.size: removed in answers\n"
        "      next: keep it\n"
        "  documentation\n"
        "    getRun: summary changed\n"
        "      next: nothing"
    )
    assert Gate([], []).report("new against old") == "new against old: no change"


def test_a_break_is_a_problem_until_a_line_with_a_reason_accepts_it():
    (problem,) = Gate([BREAK, WORDS], []).problems()
    assert problem.startswith("1 break is not accepted: ")
    assert "openapi/accepted-changes.txt" in problem
    (line,) = problem.splitlines()[1:]
    assert read_accepted(line.strip())[0].matches(BREAK)
    gate = Gate([BREAK, WORDS], read_accepted(f"# A comment.\n\n{LINE}\n"))
    assert gate.problems() == gate.stale_lines() == []
    assert gate.report("new against old") == (
        "new against old: 1 documentation, 1 accepted\n"
        "  documentation\n"
        "    getRun: summary changed\n"
        "      next: nothing\n"
        "  accepted\n"
        "    breaking for callers: Run.name: maxLength is 5, was 9, in requests\n"
        "      because: Nobody uses it."
    )


def test_a_line_accepts_one_break_and_no_other():
    others = [
        Change(Kind.BREAKS_BACKENDS, BREAK.place, BREAK.text),
        Change(BREAK.kind, "Run.names", BREAK.text),
        Change(BREAK.kind, BREAK.place, "maxLength is 4, was 9, in requests"),
    ]
    gate = Gate(others, read_accepted(LINE))
    (problem,) = gate.problems()
    assert problem.startswith("3 breaks are not accepted")
    proposed = read_accepted("\n".join(line.strip() for line in problem.splitlines()[1:]))
    assert Gate(others, proposed).problems() == []
    (stale,) = gate.stale_lines()
    assert stale.startswith("line 1 of openapi/accepted-changes.txt matches no change")


def test_a_change_with_the_separator_in_it_can_be_accepted():
    change = Change(Kind.BREAKS_CALLERS, "Run.end", "the generated type is None | str")
    lines = read_accepted(f"{change.kind} | {change.place}: {change.text} | It may be open.")
    assert Gate([change], lines).problems() == []
    assert lines[0].reason == "It may be open."


@pytest.mark.parametrize(
    "line",
    ["Run.name", LINE.rpartition(" | ")[0], f"{LINE.rpartition(' | ')[0]} |  ", f"compatible{LINE[20:]}"],
)  # fmt: skip
def test_a_line_without_a_kind_or_a_reason_is_named(line):
    with pytest.raises(ContractError, match="line 2 of openapi/accepted-changes.txt is invalid; "):
        read_accepted(f"# A comment.\n{line}\n")


@pytest.mark.parametrize(
    ("changes", "old", "new", "is_wrong"),
    [
        ([WORDS], "0.1.0", "0.1.0", True),
        ([WORDS], "0.10.0", "0.9.0", True),
        ([WORDS], "0.9.0", "0.10.0", False),
        ([WORDS], "0", "0.1.0", False),
        ([], "0.1.0", "0.1.0", False),
    ],
)
def test_the_version_moves_with_the_first_change_after_a_release(changes, old, new, is_wrong):
    problems = Gate(changes, []).version_problems(old, new)
    assert bool(problems) == is_wrong
    if problems:
        assert f"info.version is {new}" in problems[0]


def test_a_version_that_cannot_be_compared_is_named():
    with pytest.raises(ContractError, match="info.version is 'next'; write numbers"):
        Gate([WORDS], []).version_problems("0", "next")


def test_released_documents_have_not_changed():
    released = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in RELEASED.glob("*.yaml")
    }
    # A release adds its line.
    lines = (RELEASED / "SHA256SUMS").read_text("utf-8").splitlines()
    assert released == {name: digest for digest, name in map(str.split, lines)}


def test_the_changelog_of_the_contract_has_every_version_and_what_is_new_in_this_one():
    text = (OPENAPI / "CHANGELOG.md").read_text("utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    versions = [section.split()[0] for section in sections]
    this = yaml.safe_load((OPENAPI / "tellurio.yaml").read_text("utf-8"))["info"]["version"]
    assert versions[0] == this
    assert {path.stem for path in RELEASED.glob("*.yaml")} | {this} == set(versions)
    assert all("\n- " in section for section in sections)
