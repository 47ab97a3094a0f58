"""The wheel and the source distribution, built and installed with what the wheel requires alone."""

import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    # Isolated, it would install hatchling first, as installing the package for the tests does.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_the_wheel_holds_both_packages_typed_and_the_contract(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "afnio_tellurio/__init__.py", "afnio_tellurio/py.typed", "afnio_tellurio/backend/__init__.py",
        "tellurio_api/__init__.py", "tellurio_api/py.typed", "tellurio_api/openapi.json",
    } < names  # fmt: skip
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "afnio_tellurio",
        "tellurio_api",
    }


def test_the_source_distribution_holds_the_contract(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {
        "openapi/tellurio.yaml",
        "src/afnio_tellurio/tracking/run.py",
        "LICENSE",
        "README.md",
    } < names


def link_requirements(wheel, folder):
    """Links the distributions that a wheel requires, from the tests' environment, and no other."""
    (metadata,) = [
        path for path in zipfile.Path(wheel).iterdir() if path.name.endswith(".dist-info")
    ]
    lines = (metadata / "METADATA").read_text("utf-8").splitlines()
    prefix = "Requires-Dist: "
    pending = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    linked = set()
    while pending:
        requirement = Requirement(pending.pop())
        name = canonicalize_name(requirement.name)
        if name in linked:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        linked.add(name)
        installed = distribution(name)
        for top in {file.parts[0] for file in installed.files} - {"..", "__pycache__"}:
            (folder / top).symlink_to(installed.locate_file(top))
        pending += installed.requires or []


def test_the_wheel_tracks_a_run_with_what_it_requires_and_has_the_command(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    link_requirements(wheel, packages)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # pip fails if a requirement is missing or has another version.
    install = [sys.executable, "-m", "pip", "--python", environment, "--disable-pip-version-check"]
    install += ["install", "--quiet", "--no-index", "--no-compile", wheel]
    subprocess.run(install, env=variables, check=True)
    program = (
        "import afnio_tellurio as te\n"
        "with te.init('acme', 'Digits') as run: run.log('loss', 0.5)\n"
        "print(run.status, run.metrics('loss').values)\n"
        "print(te.__file__)\n"
    )
    variables = {"TELLURIO_HOME": str(tmp_path / "home"), "TELLURIO_MODE": "local", "PATH": ""}
    out = subprocess.run(
        [environment / "bin" / "python", "-c", program],
        env=variables, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert out.stdout == f"COMPLETED [0.5]\n{packages / 'afnio_tellurio' / '__init__.py'}\n"
    shown = subprocess.run(
        [environment / "bin" / "afnio-tellurio", "--help"],
        env=variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "usage: afnio-tellurio" in shown.stdout
