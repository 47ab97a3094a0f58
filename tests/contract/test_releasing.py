"""scripts/release.sh on a copy of the repository; what builds the packages is in test_packaging.py."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import release as script

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parent.parent.parent
VERSION = "99.0.0"
#: Stands for building and trying, which take minutes: shows what it was called with, and where.
RECORDER = """#!/usr/bin/env bash
echo "called with '$*', and $(grep ^__version__ src/afnio_tellurio/__init__.py)"
"""


def git(folder, *arguments):
    identity = {
        f"GIT_{who}_{what}": text
        for who in ("AUTHOR", "COMMITTER")
        for what, text in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
    }
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "-C", folder, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def change(path, pattern, text):
    changed, count = re.subn(pattern, text, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1, (path, pattern)
    path.write_text(changed, "utf-8", newline="\n")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A repository of one commit, from which version 99.0.0 can be released."""
    folder = tmp_path_factory.mktemp("prepared")
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(
        "\0"
    ):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "scripts" / "packages.sh").write_text(RECORDER)
    # The last release promised what there is now, in a contract of another version.
    contract = folder / "openapi" / "tellurio.yaml"
    shutil.rmtree(folder / "openapi" / "released")
    (folder / "openapi" / "released").mkdir()
    shutil.copy(contract, folder / "openapi" / "released" / "0.yaml")
    change(contract, "^  version: .*", '  version: "99.0"')
    changelog = folder / "openapi" / "CHANGELOG.md"
    change(changelog, "^## ", "## 99.0 (unreleased)\n\n- The version.\n\n## ")
    (folder / "openapi" / "accepted-changes.txt").write_text("# A comment.\n")
    # Since then, `init` has changed.
    listing = (folder / "docs" / "public-api.txt").read_text("utf-8")
    assert "\ninit(" in listing
    (folder / "docs" / "public-api.released.txt").write_text(
        listing.replace("\ninit(", "\ninit(*, ")
    )
    change(folder / "CHANGELOG.md", "^## ", f"## {VERSION} (unreleased)\n\n- `init` is new.\n\n## ")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder)
    return folder


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Prepare")


@pytest.fixture
def repository(prepared, tmp_path):
    folder = tmp_path / "repository"
    git(tmp_path, "clone", "--quiet", "--shared", prepared, folder)
    for name, text in (("name", "Ada"), ("email", "ada@example.com")):
        git(folder, "config", f"user.{name}", text)
    (folder / ".cache").symlink_to(ROOT / ".cache")
    return folder


def release(folder, *arguments):
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(
        [folder / "scripts" / "release.sh", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def refusal(folder, version, monkeypatch):
    """What the script ends with; as a module, it starts sooner."""
    monkeypatch.setattr(script, "ROOT", folder)
    monkeypatch.setattr(sys, "argv", ["release.sh", version])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    return stopped.value.code


def state(folder):
    """What a release changes, and what it must leave behind: no other worktree."""
    return (
        git(folder, "for-each-ref"),
        git(folder, "status", "--porcelain"),
        git(folder, "worktree", "list").count("\n"),
    )


def test_a_dry_run_changes_nothing(repository):
    scripts = repository / "scripts"
    shutil.copy(scripts / "packages.sh", scripts / "regen.sh")
    for name in ("public_api.py", "sbom.py"):
        (scripts / name).write_text("import sys; print(sys.argv[1:])")
    commit(repository)
    before = state(repository)
    finished = release(repository, VERSION, "--dry-run")
    assert finished.returncode == 0, finished.stderr
    assert state(repository) == before
    steps = finished.stdout.split("\n== ")[1:]
    assert [step.splitlines()[0] for step in steps] == [
        "scripts/regen.sh --report",
        "scripts/public_api.py --release",
        "scripts/sbom.py",
        f"scripts/packages.sh --trials --tag v{VERSION}",
    ]
    called = f"called with '--trials --tag v{VERSION}', and __version__ = \"{VERSION}\"\n"
    assert called in steps[-1]
    assert re.search(r"^ openapi/released/99\.0\.yaml +\|", finished.stdout, re.MULTILINE)
    assert finished.stdout.endswith(
        "release: 99.0.0 can be released; this was a dry run, and nothing changed\n"
    )


def test_a_release_is_one_commit_and_its_tag(repository, monkeypatch):
    before = git(repository, "rev-parse", "HEAD")
    unchanged = state(repository)
    finished = release(repository, VERSION)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.endswith(f"git push --atomic origin HEAD v{VERSION}\n")
    assert (
        git(repository, "show", "--no-patch", "--format=%s %P", "HEAD")
        == f"Release {VERSION} {before}"
    )
    assert git(repository, "rev-parse", f"v{VERSION}^{{}}") == git(repository, "rev-parse", "HEAD")
    assert git(repository, "cat-file", "-t", f"v{VERSION}") == "tag\n"
    assert state(repository)[1:] == unchanged[1:]
    assert git(repository, "diff", "--name-only", "HEAD~1").split() == [
        "CHANGELOG.md",
        "afnio-tellurio.cdx.json",
        "docs/public-api.released.txt",
        "openapi/CHANGELOG.md",
        "openapi/released/99.0.yaml",
        "openapi/released/SHA256SUMS",
        "src/afnio_tellurio/__init__.py",
    ]
    dated = (repository / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## {VERSION} \(\d{{4}}-\d\d-\d\d\)\n\n- .*", dated, re.MULTILINE)
    for written, source in (
        ("docs/public-api.released.txt", "docs/public-api.txt"),
        ("openapi/released/99.0.yaml", "openapi/tellurio.yaml"),
    ):
        assert (repository / written).read_bytes() == (repository / source).read_bytes()
    changes = (repository / "openapi" / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## 99\.0 \(\d{4}-\d\d-\d\d\)$", changes, re.MULTILINE)
    (line,) = (repository / "openapi" / "released" / "SHA256SUMS").read_text().splitlines()
    frozen = (repository / "openapi" / "released" / "99.0.yaml").read_bytes()
    assert line == f"{hashlib.sha256(frozen).hexdigest()}  99.0.yaml"
    assert (
        f"pkg:pypi/afnio-tellurio@{VERSION}" in (repository / "afnio-tellurio.cdx.json").read_text()
    )
    assert refusal(repository, VERSION, monkeypatch) == (
        f"release: {VERSION} does not come after {VERSION}, which is released; choose a greater one"
    )


def leave(folder):
    (folder / "notes.txt").write_text("")


def tag_a_greater_version(folder):
    git(folder, "tag", "v99.0.1")


def empty_the_changelog(folder):
    change(folder / "CHANGELOG.md", "^- `init` is new.$", "")
    commit(folder)


def date_the_changelog(folder):
    change(folder / "CHANGELOG.md", r"\(unreleased\)", "(2026-01-01)")
    commit(folder)


def freeze_another_contract(folder):
    (folder / "openapi" / "released" / "99.0.yaml").write_text("openapi: 3.1.0\n")
    commit(folder)


def break_the_contract(folder):
    change(folder / "openapi" / "tellurio.yaml", "^  /api/v0/", "  /api/v9/")
    commit(folder)


def do_nothing(_folder):
    pass


@pytest.mark.parametrize(
    ("prepare", "version", "words"),
    [
        (do_nothing, "99.0", "a version is three numbers, such as 1.2.3, and not '99.0'"),
        (do_nothing, "v99.0.0", "a version is three numbers, such as 1.2.3, and not 'v99.0.0'"),
        (do_nothing, "0.0.1", "0.0.1 is less than the version in src/afnio_tellurio/__init__.py, which is "),
        (do_nothing, "99.1.0", "CHANGELOG.md must begin with the section '## 99.1.0 (unreleased)'; its first section is '## 99.0.0 (unreleased)'"),
        (leave, VERSION, "the tree has changes; commit or remove them first:\n?? notes.txt"),
        (tag_a_greater_version, VERSION, "99.0.0 does not come after 99.0.1, which is released; choose a greater one"),
        (empty_the_changelog, VERSION, "the section '## 99.0.0 (unreleased)' of CHANGELOG.md is empty; add one line for each change that a user can notice"),
        (date_the_changelog, VERSION, "99.0.0 does not come after 99.0.0, which is released; choose a greater one"),
        (freeze_another_contract, VERSION, "openapi/tellurio.yaml differs from openapi/released/99.0.yaml, which is released; "),
        (break_the_contract, VERSION, "scripts/regen.sh --report failed, and nothing has changed; "),
    ],
)  # fmt: skip
def test_what_is_not_ready_is_not_released(repository, monkeypatch, prepare, version, words):
    prepare(repository)
    before = state(repository)
    assert refusal(repository, version, monkeypatch).startswith(f"release: {words}")
    assert state(repository) == before


def test_the_generator_is_not_installed_without_hashes(prepared, tmp_path):
    folder = tmp_path / "copy"
    for name in ("openapi", "scripts"):
        shutil.copytree(prepared / name, folder / name)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "uv").symlink_to(ROOT / ".cache" / "uv")
    (folder / "openapi" / "requirements.txt").write_text("ruff==0.17.6\n")
    finished = subprocess.run(
        [folder / "scripts" / "regen.sh", "--check"], capture_output=True, text=True, check=False
    )
    assert finished.returncode != 0
    assert "--require-hashes" in finished.stderr
    assert not (folder / ".cache" / "regen" / "bin" / "ruff").exists()
