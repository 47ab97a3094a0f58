"""docs/changing-the-api.md, followed on a copy of the repository."""

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
    tests = ["tests/scenarios", "tests/local/test_structs_match_the_contract.py"]
    tests += ["tests/contract/test_the_document.py", "tests/unit/test_entities.py"]
    selected = "not without"
    if not pytestconfig.getoption("--long"):
        # Only the scenarios of the guide, and those that start, change and list runs.
        selected += " and not (value or bad_input or threads or visibility or curve or congruence)"
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


@pytest.mark.parametrize(
    "command", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)]
)
def test_what_the_guide_writes_passes_the_checks_of_style_and_types(changed, command):
    finished = run(changed, *command)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_listing_of_the_public_api_and_the_changelog_agree_with_the_change(changed):
    script = [sys.executable, "scripts/public_api.py"]
    assert run(changed, *script, "--check").returncode == 1
    assert run(changed, *script).returncode == 0
    listing = (changed / "docs" / "public-api.txt").read_text()
    assert "Run.tags" in listing
    finished = run(changed, *script, "--check")
    assert finished.returncode == 0, finished.stdout + finished.stderr


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
    assert "has format 4" in refused.stderr
