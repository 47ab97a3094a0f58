"""The check of words finds what the table of CONTRIBUTING.md names, and nothing else."""

import importlib.util
import subprocess
import sys

import pytest
from code_blocks import PAGES, ROOT

SCRIPT = ROOT / "scripts" / "check_words.py"
spec = importlib.util.spec_from_file_location("check_words", SCRIPT)
check_words = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_words)

PHRASES = check_words.phrases_of(PAGES["CONTRIBUTING.md"])


def found(text):
    return [finding.text for finding in check_words.findings_in(text, PHRASES)]


def test_the_table_has_a_row_for_each_habit():
    assert {phrase.text for phrase in PHRASES} >= {
        "is none", "is no X", "whom", "whoever", "so many", "anew", "gives", "says whether",
        "the other way round", "was left", "colour-", "optimis-", "behaviour-", "licence",
        "recognis-", "initialis-", "cancelled",
    }  # fmt: skip


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.text)
def test_each_phrase_finds_itself_and_not_what_is_to_be_written(phrase):
    text = phrase.text.replace("X", "setting").removesuffix("-")
    text += "ed" if phrase.text.endswith("is-") else "s" if phrase.text.endswith("-") else ""
    assert found(f"The port {text} here.") == [text]
    assert found(f"{text[0].upper()}{text[1:]}, then.") == [text[0].upper() + text[1:]]
    assert not phrase.pattern.search(phrase.plain)


@pytest.mark.parametrize(
    "text",
    [
        "The value is None, and `is none` is code.",
        "```sh\nwhoever\n```",
        "The run is no longer there.",
        "There are no runs.",
        "forgives", "optimistic", "a centred dot", "promised", "otherwise",
    ],
)  # fmt: skip
def test_good_english_and_code_are_not_found(text):
    assert found(text) == []


def test_a_phrase_over_the_end_of_a_line_is_found_where_it_begins():
    (finding,) = check_words.findings_in("one\n`two`\nthe port is\n  none", PHRASES)
    assert (finding.line, finding.text) == (3, "is none")


def test_in_a_program_comments_and_strings_are_checked_and_names_are_not():
    program = (
        'def gives(anew):\n    """Gives `anew`."""\n    return f"{anew.whom} was left"  # whoever\n'
    )
    prose = check_words.prose_of_python(program)
    findings = check_words.findings_in(prose, PHRASES)
    # Before Python 3.12, an f-string is one token with the names in it.
    names = {"anew", "whom"} if sys.version_info < (3, 12) else set()
    assert {(finding.line, finding.text) for finding in findings} == {
        (2, "Gives"),
        (3, "was left"),
        (3, "whoever"),
        *((3, name) for name in names),
    }


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False
    )


def test_it_fails_with_the_places_and_what_to_write(tmp_path):
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "other.md").write_text("anew")
    (tmp_path / "page.md").write_text("Nothing here.\nBuild it anew.\n")
    finished = run(tmp_path)
    assert finished.returncode == 1
    assert finished.stdout == f"{tmp_path / 'page.md'}:2: 'anew'; write: again\n"
    assert "1 phrases to replace" in finished.stderr
    assert run(tmp_path / "none").returncode == 1


@pytest.mark.parametrize(
    "name",
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs", ".github",
     "pyproject.toml", "tests/docs", "tests/code_blocks.py", "scripts/check_words.py", "scripts/docs.sh"],
)  # fmt: skip
def test_the_documentation_is_written_as_it_asks(name):
    findings = [
        (str(file), finding)
        for file in check_words.files_in([ROOT / name])
        for text in [file.read_text("utf-8")]
        for finding in check_words.findings_in(
            check_words.prose_of_python(text) if file.suffix == ".py" else text, PHRASES
        )
    ]
    assert findings == []
