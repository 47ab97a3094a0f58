"""The files in .github follow GitHub's schemas, and the workflow runs existing scripts."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner
from code_blocks import ROOT

FOLDER = ROOT / ".github"
WORKFLOW = FOLDER / "workflows" / "tests.yml"
RELEASE = FOLDER / "workflows" / "release.yml"
SCHEMAS = [
    ("vendor.github-workflows", "workflows/*.yml"),
    ("custom.github-workflows-require-timeout", "workflows/*.yml"),
    ("vendor.github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ("vendor.github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
]


def check_schema(schema, *files):
    command = ["--builtin-schema", schema, *map(str, files)]
    return CliRunner().invoke(check_jsonschema.main, command)


def audit(folder):
    """The findings of zizmor, offline, for the workflows in a folder."""
    zizmor = shutil.which("zizmor", path=Path(sys.executable).parent)
    return subprocess.run(
        [zizmor, "--offline", "--no-progress", "--quiet", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("schema", "pattern"), SCHEMAS)
def test_the_files_follow_their_schema(schema, pattern):
    files = list(FOLDER.glob(pattern))
    assert files
    finished = check_schema(schema, *files)
    assert finished.exit_code == 0, finished.output


def test_a_workflow_that_does_not_follow_the_schema_would_be_noticed(tmp_path):
    changed = tmp_path / "tests.yml"
    changed.write_text(WORKFLOW.read_text("utf-8").replace("runs-on:", "run-on:", 1))
    assert check_schema("vendor.github-workflows", changed).exit_code == 1


def test_the_workflow_is_safe(tmp_path):
    assert audit(FOLDER).returncode == 0, audit(FOLDER).stdout
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    unsafe = re.sub(r"checkout@\w+", "checkout@main", WORKFLOW.read_text("utf-8"))
    (folder / "tests.yml").write_text(unsafe)
    assert "unpinned-uses" in audit(tmp_path).stdout


def test_the_workflow_runs_every_version_that_is_promised():
    matrix = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["versions"]["strategy"]["matrix"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert matrix["python"] == versions
    assert project["requires-python"] == f">={versions[0]}"
    assert {system.partition("-")[0] for system in matrix["system"]} == {
        "ubuntu",
        "macos",
        "windows",
    }


@pytest.mark.parametrize("workflow", [WORKFLOW, RELEASE])
def test_every_script_of_a_workflow_exists(workflow):
    scripts = re.findall(r"scripts/\w+\.sh", workflow.read_text("utf-8"))
    assert scripts
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, script


def test_a_tag_is_tried_under_every_version_and_published_without_a_password():
    workflow = yaml.safe_load(RELEASE.read_text("utf-8"))
    build, publish = workflow["jobs"].values()
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    (pythons,) = [
        step["with"]["python-version"].split()
        for step in build["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    tests = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["versions"]["strategy"]["matrix"]
    assert sorted(pythons) == sorted(tests["python"])
    assert 'scripts/packages.sh --trials --tag "$GITHUB_REF_NAME"' in [
        step.get("run") for step in build["steps"]
    ]
    # Only the job that builds nothing can publish.
    assert workflow["permissions"] == {}
    assert build["permissions"] == {"contents": "read"}
    assert (publish["needs"], publish["permissions"]) == ("build", {"id-token": "write"})
    action = publish["steps"][-1]
    assert action["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert action["with"] == {"attestations": True}
    assert "secrets." not in RELEASE.read_text("utf-8")
