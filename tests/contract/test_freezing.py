"""Programs that are frozen with PyInstaller: its hook, and with --long a real one."""

import re
import runpy
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from children import GUARD, ROOT, SOURCES

pytestmark = pytest.mark.tools
PACKAGES = {"afnio_tellurio": ROOT / "src", "tellurio_api": ROOT / "generated"}
PROGRAM = """
import sys
import afnio_tellurio as te
from afnio_tellurio.cli import main

if len(sys.argv) > 1:
    sys.exit(main(sys.argv[1:]))
with te.init("acme", "Ziffern \u00fc", "frozen") as run:
    run.log("loss", 0.5)
    run.log("loss", 0.25)
print(run.status, run.curve("loss"), te.get_project("acme", run.project.slug).slug)
"""


@pytest.fixture(scope="module")
def hook_file():
    """The hook in the folder that the entry point names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, function = project["entry-points"]["pyinstaller40"]["hook-dirs"].partition(":")
    (folder,) = getattr(import_module(module), function)()
    return Path(folder) / "hook-afnio_tellurio.py"


@pytest.fixture(scope="module")
def hook(hook_file):
    return runpy.run_path(str(hook_file))


def files_of(package):
    folder = PACKAGES[package] / package
    return [
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_hook_collects_all_data_files_at_their_places(hook, package):
    wanted = {
        (path, str(path.parent.relative_to(PACKAGES[package])))
        for path in files_of(package)
        if path.suffix != ".py"
    }
    collected = {(Path(source), target) for source, target in hook["datas"]}
    assert wanted
    assert wanted <= collected


@pytest.mark.parametrize("package", PACKAGES)
def test_the_hook_names_all_modules(hook, package):
    wanted = {
        ".".join(path.relative_to(PACKAGES[package]).with_suffix("").parts).removesuffix(
            ".__init__"
        )
        for path in files_of(package)
        if path.suffix == ".py" and path.stem.isidentifier()
    }
    # These import their frameworks. A program that uses one imports it by name.
    unwanted = {name for name in wanted if re.search(r"\.integrations\.(?!afnio)", name)}
    assert not unwanted & set(hook["hiddenimports"])
    wanted -= unwanted
    assert len(wanted) > 10
    assert not [name for name in hook["hiddenimports"] if "hook" in name or "PyInstaller" in name]
    assert {name for name in wanted if not name.endswith("__main__")} <= set(hook["hiddenimports"])


def test_the_hook_names_what_is_imported_lazily_from_other_packages(hook):
    assert {"plotext", "text_unidecode"} <= set(hook["hiddenimports"])


@pytest.fixture(scope="module")
def frozen(request, hook_file, tmp_path_factory):
    if not request.config.getoption("--long"):
        pytest.skip("freezing takes a minute; run it with --long")
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [sys.executable, "-m", "PyInstaller", "--log-level", "ERROR", "--noconfirm"]
    command += ["--additional-hooks-dir", hook_file.parent]
    for path in SOURCES:
        command += ["--paths", path]
    for module in ("numpy", "pandas", "polars", "pyarrow", "IPython", "matplotlib"):
        command += ["--exclude-module", module]
    subprocess.run([*command, "program.py"], cwd=folder, check=True, capture_output=True)
    return folder / "dist" / "program" / "program"


def test_a_frozen_program_tracks_runs_and_shows_them(frozen, tmp_path):
    environment = {
        "TELLURIO_HOME": str(tmp_path),
        "TELLURIO_MODE": "local",
        "TELLURIO_QUIET": "1",
        "PYTHONUTF8": "1",
    }

    def run(*arguments):
        ended = subprocess.run(
            [frozen, *arguments], env=environment, timeout=GUARD, capture_output=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
        return ended.stdout.decode()

    assert run() == "COMPLETED ([0, 1], [0.5, 0.25]) ziffern-u\n"
    assert "frozen  COMPLETED" in run("runs", "acme/ziffern-u")
    assert "loss" in run("show", "acme/ziffern-u/frozen")
    assert run("export", "acme/ziffern-u/frozen").count("\nloss,") == 2
