"""The wheel and the source distribution, built and installed with what the wheel requires alone."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import packages
import pytest
import sbom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import afnio_tellurio as te

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parent.parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
URLS = PYPROJECT["project"]["urls"]
#: The groups of pyproject.toml that scripts/lock.sh pins, and where.
LOCKED = {
    "contract": "openapi/requirements.txt",
    "packages": "scripts/packages.txt",
    "uv": "scripts/uv.txt",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [ROOT / "scripts" / "packages.sh", "--outdir", folder, "--tag", f"v{te.__version__}"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel):
    return Parser().parsestr(packages.read_metadata(wheel))


def read_from(wheel, name):
    """A file of the wheel's .dist-info."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"afnio_tellurio-{te.__version__}.dist-info/{name}").decode()


def test_the_wheel_holds_both_packages_typed_and_the_contract(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "afnio_tellurio/__init__.py", "afnio_tellurio/py.typed", "afnio_tellurio/backend/__init__.py",
        "tellurio_api/__init__.py", "tellurio_api/py.typed", "tellurio_api/openapi.json",
        "afnio_tellurio/notebook/page/widget.js", "afnio_tellurio/notebook/page/widget.css",
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


def test_the_packages_have_the_version_of_the_library(metadata):
    assert metadata["Version"] == te.__version__
    assert "version" not in PYPROJECT["project"]


def test_a_tag_of_another_version_is_refused(built, wheel, capsys):
    (sdist,) = built.glob("*.tar.gz")
    with pytest.raises(SystemExit) as stopped:
        packages.check(wheel, sdist, "v99.0.0")
    assert stopped.value.code.startswith(
        f"packages: the tag v99.0.0 is not that of version {te.__version__}; "
    )


def test_the_readme_works_on_pypi(metadata):
    readme = metadata.get_payload()
    assert packages.relative_links(readme) == []
    links = re.findall(rf"https://\S+/v{re.escape(te.__version__)}/([^)#\s]+)", readme)
    assert {"docs/page-project.png", "docs/index.md", "CHANGELOG.md", "LICENSE"} <= set(links)
    assert [link for link in links if not (ROOT / link).exists()] == []
    repository = URLS["Source"].removeprefix("https://github.com/")
    for host in ("https://github.com/", "https://raw.githubusercontent.com/"):
        assert f"]({host}{repository}/" in readme


def test_each_kind_of_relative_link_would_be_noticed():
    markdown = "[a](b.md) ![c](d.png) [e] [f](https://g/h)\n\n[e]: i.md\n\n<img src='j.png'>\n\nk <a href=l>m</a>"
    assert packages.relative_links(markdown) == ["b.md", "d.png", "i.md", "j.png", "l"]
    assert packages.relative_links((ROOT / "README.md").read_text("utf-8")) != []


def test_every_url_of_the_project_leads_to_a_file(metadata):
    assert {"Documentation", "Source", "Issues", "Changelog"} <= set(URLS)
    assert len(metadata.get_all("Project-URL")) == len(URLS)
    for url in URLS.values():
        assert url.startswith(URLS["Source"])
        _, found, name = url.partition("/blob/main/")
        assert not found or (ROOT / name).is_file(), url


def test_the_wheel_names_and_holds_every_license(wheel, metadata):
    assert metadata["License-Expression"] == "Apache-2.0 AND MIT"
    texts = {
        name: read_from(wheel, f"licenses/{name}") for name in metadata.get_all("License-File")
    }
    notices = "\n".join(texts.values())
    for words in (
        "Apache License",
        "Leon Sorokin",
        "Jason Miller",
        "Google Inc.",
        "Arjun Barrett",
        "Hyperparam",
        "Triax Technologies",
    ):
        assert words in notices, words
    for name in re.findall(r"[\w./-]+/|openapi/\S+LICENSE|docs/\S+\.html", texts["NOTICE"]):
        assert (ROOT / name).exists(), name


def test_the_wheel_lists_what_others_wrote(wheel):
    text = read_from(wheel, "sboms/afnio-tellurio.cdx.json")
    assert text == sbom.text(), "run scripts/sbom.py"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["version"] == te.__version__
    vendored = {}
    with zipfile.ZipFile(wheel) as archive:
        for component in document["components"]:
            for file in component["components"]:
                (digest,) = file["hashes"]
                assert hashlib.sha256(archive.read(file["name"])).hexdigest() == digest["content"]
                vendored.setdefault(file["name"], []).append(component["name"])
        scripts = {
            name for name in archive.namelist() if "/vendor/" in name and name.endswith(".js")
        }
    assert set(vendored) == scripts
    parts = {tuple(names) for names in vendored.values()}
    assert parts == {("fzstd",), ("htm", "preact"), ("hyparquet",), ("uplot",)}


@pytest.mark.parametrize(("group", "name"), LOCKED.items())
def test_what_writes_code_that_ships_is_pinned_with_hashes(group, name):
    lines = (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert [
        line for line in pinned if not re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", line)
    ] == []
    versions = {line.split(" ")[0] for line in pinned}
    assert set(PYPROJECT["dependency-groups"][group]) <= versions


def test_reviewers_see_what_generation_changed():
    names = ["generated/tellurio_api/client.py", "openapi/requirements.txt", "docs/api.html"]
    shown = subprocess.run(
        ["git", "check-attr", "diff", *names], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.rpartition(" ")[2] for line in shown] == ["unspecified", "unspecified", "unset"]


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


def test_the_wheel_tracks_a_run_with_what_it_requires_and_has_the_command(wheel, tmp_path):
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
