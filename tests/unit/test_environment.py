"""What is recorded of where a run comes from."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

import afnio_tellurio as te
from afnio_tellurio.capture import bounded_files
from afnio_tellurio.capture.bounded_files import read_file, read_text
from afnio_tellurio.capture.cluster import read_kubernetes, read_slurm
from afnio_tellurio.capture.machine import read_gpus, read_processor
from afnio_tellurio.tracking.configuration import checked_config
from afnio_tellurio.tracking.environment import read_environment


@pytest.fixture(autouse=True)
def outside_of_clusters(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "KUBERNETES_")):
            monkeypatch.delenv(name)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A program in a folder without a repository."""
    path = tmp_path / "program" / "train.py"
    path.parent.mkdir()
    path.touch()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(path), raising=False)
    monkeypatch.chdir(path.parent)
    return path


def test_this_process_is_described(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--api-key", "hunter2", "--lr=1"])
    environment = read_environment()
    assert environment["arguments"] == ["train.py", "--api-key", "[redacted]", "--lr=1"]
    assert environment["executable"] == sys.executable
    assert environment["working_directory"] == str(script.parent)
    assert environment["process_id"] == os.getpid()
    assert environment["host"] == platform.node()
    assert environment["platform"]["system"] == platform.system()
    assert environment["python"] == {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
    }
    assert environment["sdk"] == te.__version__
    assert environment["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert list(environment["packages"]) == sorted(environment["packages"], key=str.lower)
    assert environment["processor"]["cores"] == os.cpu_count()
    # What is unknown here is absent.
    assert not {"git", "slurm", "kubernetes"} & set(environment)
    assert checked_config("init", environment) == environment
    assert "hunter2" not in json.dumps(environment)
    assert read_environment(redact=False)["arguments"] == sys.argv


def test_it_is_read_in_a_thread(script):
    read = []
    thread = threading.Thread(target=lambda: read.append(read_environment()), daemon=True)
    thread.start()
    thread.join()
    assert read[0]["process_id"] == os.getpid()


def git(folder, *arguments):
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize("place", ["the script", "the working directory"])
def test_the_repository_of_the_program_is_described(script, tmp_path, monkeypatch, place):
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Start")
    git(folder, "remote", "add", "origin", "https://ada:hunter2@host/x.git")
    if place == "the script":
        monkeypatch.setattr(sys.modules["__main__"], "__file__", str(folder / "train.py"))
    else:
        monkeypatch.chdir(folder)
    assert read_environment()["git"] == {
        "commit": git(folder, "rev-parse", "HEAD"),
        "branch": "main",
        "is_dirty": False,
        "remote": "https://host/x.git",
    }
    (folder / ".git" / "config").unlink()
    (folder / ".git" / "config").mkdir()
    assert read_environment()["git"] == {
        "commit": (folder / ".git" / "refs" / "heads" / "main").read_text().strip(),
        "branch": "main",
    }


def test_a_part_that_cannot_be_read_hides_no_other(script, monkeypatch):
    def fail(*arguments):
        raise RuntimeError

    monkeypatch.setattr(f"{read_environment.__module__}.distributions", fail)
    monkeypatch.setattr(platform, "release", fail)
    script.parent.rename(script.parent.parent / "elsewhere")
    script.parent.parent.joinpath("elsewhere", "train.py").unlink()
    script.parent.parent.joinpath("elsewhere").rmdir()
    environment = read_environment()
    assert not {"packages", "working_directory"} & set(environment)
    assert set(environment["platform"]) == {"system", "machine"}
    assert environment["sdk"] == te.__version__


class Damaged:
    name = "damaged"

    @property
    def version(self):
        raise KeyError("Version")


def test_packages_with_damaged_metadata_are_left_out(script, monkeypatch):
    packages = [
        SimpleNamespace(name="b", version="1"),
        Damaged(),
        SimpleNamespace(name=None, version=None),
        SimpleNamespace(name="A", version="2"),
        SimpleNamespace(name="b", version="0"),
    ]
    monkeypatch.setattr(f"{read_environment.__module__}.distributions", lambda: packages)
    environment = read_environment()
    assert list(environment["packages"].items()) == [("A", "2"), ("b", "1")]


def test_only_a_thousand_packages_are_recorded(script, monkeypatch):
    packages = (SimpleNamespace(name=f"p{number}", version="1") for number in range(1001))
    monkeypatch.setattr(f"{read_environment.__module__}.distributions", lambda: packages)
    assert len(read_environment()["packages"]) == 1000


def test_arguments_that_are_not_text_are_marked(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "a\udcffb"])
    assert read_environment()["arguments"] == ["train.py", "a?b"]


def test_the_job_of_slurm_is_read_from_its_variables(script, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert read_slurm() == {}
    for name, value in (("JOB_ID", "7"), ("ARRAY_TASK_ID", "3"), ("JOB_NAME", "")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert read_slurm() == {"job_id": "7", "process_id": "1", "array_task_id": "3"}
    assert read_environment()["slurm"] == read_slurm()


def test_the_pod_of_kubernetes_is_read(tmp_path, monkeypatch):
    namespace, groups = tmp_path / "namespace", tmp_path / "cgroup"
    assert read_kubernetes(str(namespace), str(groups)) == {}
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("HOSTNAME", "train-0")
    assert read_kubernetes(str(namespace), str(groups)) == {"pod": "train-0"}
    namespace.write_text("team\n")
    groups.write_text("0::/\n")
    assert read_kubernetes(str(namespace), str(groups)) == {"pod": "train-0", "namespace": "team"}
    groups.write_text(f"1:name=systemd:/kubepods/besteffort/pod1/cri-{'ab' * 32}.scope\n")
    assert read_kubernetes(str(namespace), str(groups)) == {
        "pod": "train-0",
        "namespace": "team",
        "container_id": "ab" * 32,
    }


def test_the_processor_and_the_gpus_are_read(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 2 GHz: 3\n" * 100_000)
    cores = os.cpu_count()
    assert read_processor(str(path)) == {"name": "Fast CPU @ 2 GHz: 3", "cores": cores}
    path.write_text("processor\t: 0\n")
    assert read_processor(str(path)) == {"cores": cores}
    path.unlink()
    assert read_processor(str(path)).get("name", "") == platform.processor()
    assert read_gpus(str(tmp_path / "gpus")) == []
    for slot in ("0000:02:00.0", "0000:01:00.0"):
        folder = tmp_path / "gpus" / slot
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t NVIDIA {slot[6]}\nIRQ: 1\n")
    assert read_gpus(str(tmp_path / "gpus")) == ["NVIDIA 1", "NVIDIA 2"]


def test_only_small_regular_files_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * bounded_files.SMALL)
    assert len(read_file(str(path))) == bounded_files.SMALL
    path.write_bytes(b"x" * (bounded_files.SMALL + 1))
    with pytest.raises(ValueError, match="has more than 1,048,576 bytes"):
        read_text(str(path))
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "", "missing"):
        with pytest.raises(OSError):
            read_text(str(tmp_path / name))
