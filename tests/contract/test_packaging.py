"""The wheel and the source distribution, built and installed alone in an empty environment."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True
    )
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


def test_the_wheel_alone_tracks_a_run_and_has_the_command(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    binaries = tmp_path / "env" / "bin"
    install = [
        binaries / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        wheel,
    ]
    subprocess.run(install, check=True)
    program = (
        "import afnio_tellurio as te\n"
        "with te.init('acme', 'Digits') as run: run.log('loss', 0.5)\n"
        "print(run.status, run.metrics('loss').values)\n"
    )
    environment = {"TELLURIO_HOME": str(tmp_path / "home"), "TELLURIO_MODE": "local", "PATH": ""}
    out = subprocess.run(
        [binaries / "python", "-c", program],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert out.stdout == "COMPLETED [0.5]\n"
    shown = subprocess.run(
        [binaries / "afnio-tellurio", "--help"], capture_output=True, text=True, check=True
    )
    assert "usage: afnio-tellurio" in shown.stdout
