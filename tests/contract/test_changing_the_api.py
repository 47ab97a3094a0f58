"""docs/changing-the-api.md, followed on a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from children import GUARD

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "changing-the-api.md").read_text("utf-8")
PARTS = ("benchmarks", "openapi", "generated", "scripts", "src", "tests", "docs", "pyproject.toml", "CHANGELOG.md")  # fmt: skip


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


def apply(patch, folder):
    """Applies one patch; each of its parts must match exactly once."""
    header, *parts = re.split(r"^@@.*\n", patch, flags=re.MULTILINE)
    path = folder / header.removeprefix("--- ").strip()
    text = path.read_text("utf-8")
    for part in parts:
        lines = part.splitlines(keepends=True)
        assert all(line[0] in " +-" for line in lines), part
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        found = text.count(f"\n{before}")
        assert found == 1, f"{path.name}: the guide's lines are there {found} times\n{before}"
        text = text.replace(f"\n{before}", f"\n{after}")
    path.write_text(text, "utf-8")


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the repository with every patch of the guide applied and nothing regenerated."""
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
    # The report must list only the guide's change, not those since the last release.
    shutil.rmtree(folder / "openapi" / "released")
    (folder / "openapi" / "released").mkdir()
    shutil.copy(folder / "openapi" / "tellurio.yaml", folder / "openapi" / "released" / "0.yaml")
    (folder / "openapi" / "accepted-changes.txt").write_text("")
    for patch in blocks("diff"):
        apply(patch, folder)
    regenerated = run(folder, folder / "scripts" / "regen.sh")
    assert regenerated.returncode == 0, regenerated.stderr
    (folder / "regenerated.txt").write_text(regenerated.stdout)
    return folder


def run(folder, *command, **variables):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TELLURIO_")
    }
    environment.update(
        PATH=os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]]),
        PYTHONPATH=os.pathsep.join([str(folder / "src"), str(folder / "generated")]),
        **variables,
    )
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=GUARD, check=False
    )  # fmt: skip


def test_regenerating_tells_what_the_guide_shows(changed):
    (shown,) = blocks("text")
    assert (changed / "regenerated.txt").read_text().endswith(shown)
    model = (changed / "generated" / "tellurio_api" / "models" / "run_create.py").read_text()
    assert "tags: list[str] | Unset" in model


def test_the_tests_of_what_is_changed_pass_and_its_own_is_among_them(changed, pytestconfig):
    is_long = pytestconfig.getoption("--long")
    tests = ["tests/scenarios" if is_long else "tests/scenarios/test_tracking.py"]
    tests += ["tests/local/test_structs_match_the_contract.py"]
    tests += ["tests/local/test_older_versions.py"]
    tests += ["tests/contract/test_the_document.py", "tests/unit/test_entities.py"]
    selected = "not without"
    if not is_long:
        # Only those of the guide, and some of those that start, list and find runs.
        selected += " and (tags or started or listed or found or struct or document or entit"
        selected += " or format)"
    finished = run(
        changed,
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-p",
        "no:cacheprovider",
        "-k",
        selected,
        *tests,
    )
    assert finished.returncode == 0, finished.stdout[-5000:]
    for how in ("in process", "over HTTP"):
        name = f"test_tags_are_read_back_as_they_were_given[{how}] PASSED"
        assert name in finished.stdout


def importing(folder):
    """What a change of the library can break the types of: itself, and the scripts that import it."""
    scripts = [*(folder / "scripts").rglob("*.py"), *(folder / "benchmarks").rglob("*.py")]
    imports = re.compile(r"^\s*(?:from|import) (?:afnio_tellurio|tellurio_api)\b", re.MULTILINE)
    return ["src", *(path for path in scripts if imports.search(path.read_text("utf-8")))]


def test_what_the_guide_writes_passes_the_checks_of_style_and_types(changed):
    for command in (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy", "--cache-dir", os.devnull, *importing(changed)),
    ):
        finished = run(changed, *command)
        assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_listing_of_the_public_api_and_the_changelog_agree_with_the_change(changed):
    program = (
        "import json, sys\n"
        "sys.path.insert(0, 'scripts')\n"
        "import public_api\n"
        "before = public_api.check()\n"
        "public_api.main()\n"
        "print(json.dumps([before, public_api.check()]))"
    )
    finished = run(changed, sys.executable, "-c", program)
    assert finished.returncode == 0, finished.stderr
    before, after = json.loads(finished.stdout)
    assert any("Run.tags" in line for line in before)
    assert after == []
    assert "Run.tags" in (changed / "docs" / "public-api.txt").read_text()


def test_a_database_from_before_the_change_is_brought_up_to_it(changed, tmp_path):
    record = "import afnio_tellurio as te\nwith te.init('acme', 'Digits', 'old') as run: run.log('loss', 1)"
    read = (
        "import afnio_tellurio as te\n"
        f"assert te.__file__.startswith({str(changed)!r}), te.__file__\n"
        "old = te.get_run('acme', 'digits', 'old')\n"
        "new = te.init('acme', 'Digits', tags=['x'])\n"
        "print(old.tags, old.metrics('loss').values, new.tags)"
    )
    home = {
        "TELLURIO_MODE": "local",
        "TELLURIO_HOME": str(tmp_path / "home"),
        "TELLURIO_QUIET": "1",
    }
    before = run(ROOT, sys.executable, "-c", record, **home)
    assert before.returncode == 0, before.stderr
    after = run(changed, sys.executable, "-c", read, **home)
    assert after.returncode == 0, after.stderr
    assert after.stdout == "[] [1] ['x']\n"
    refused = run(ROOT, sys.executable, "-c", record, **home)
    assert "has format 5" in refused.stderr
