"""What processes, control groups, and GPUs use is read from the system itself."""

import os
import shutil
import subprocess
import sys
import threading

import pytest

from afnio_tellurio.capture import processes
from afnio_tellurio.capture.cgroups import GroupMemory, read_group_memory
from afnio_tellurio.capture.gpus import Gpus, GpuUsage
from afnio_tellurio.capture.processes import ProcessUsage, processor_seconds, read_tree
from afnio_tellurio.tracking.system_metrics import Sampler

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

#: Has a child that holds 64 MiB and has used a tenth of a second of a processor.
PARENT = """
import subprocess, sys
child = '''
import sys, time
held = b"x" * 2**26
while time.process_time() < 0.1:
    pass
print("ready", flush=True)
sys.stdin.read()
'''
process = subprocess.Popen([sys.executable, "-c", child])
sys.exit(process.wait())
"""


@pytest.fixture
def parent():
    """The ID of a process with a busy child, which ends with stdin."""
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process


@linux
def test_a_tree_includes_descendants(parent):
    tree = read_tree(parent.pid)
    assert len(tree) == 2
    assert sum(usage.memory for usage in tree.values()) > 2**26
    assert processor_seconds({}, tree) >= 0.09
    own = read_tree(os.getpid())
    assert tree.keys() < own.keys()
    assert own.keys() == read_tree(os.getpid()).keys()


@linux
def test_a_tree_is_found_without_the_lists_of_children(parent, tmp_path):
    # Links to the real processes, without what a kernel may lack.
    for name in filter(str.isdecimal, os.listdir("/proc")):
        tmp_path.joinpath(name).mkdir()
        tmp_path.joinpath(name, "stat").symlink_to(f"/proc/{name}/stat")
    found = read_tree(parent.pid, proc=str(tmp_path))
    assert len(found) == 2
    assert found.keys() == read_tree(parent.pid).keys()


@linux
def test_children_of_other_threads_are_found():
    started, may_end = threading.Event(), threading.Event()
    children = []

    def work():
        children.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        started.set()
        may_end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    try:
        assert children[0].pid in {process for process, _ in read_tree(os.getpid())}
    finally:
        children[0].communicate(b"\n")
        may_end.set()
        thread.join()


@linux
def test_the_time_of_a_child_that_has_ended_counts_once(parent):
    parent.stdin.close()
    os.waitid(os.P_PID, parent.pid, os.WEXITED | os.WNOWAIT)
    before = read_tree(os.getpid())
    assert parent.pid in {process for process, _ in before}
    parent.wait()
    after = read_tree(os.getpid())
    assert parent.pid not in {process for process, _ in after}
    waited = os.times().children_user + os.times().children_system
    assert waited >= 0.09
    own = sum(usage.seconds for key, usage in after.items() if key in before)
    own -= sum(usage.seconds for key, usage in before.items() if key in after)
    # Clock ticks, of 0.01 s, are rounded down for the user's and the system's time of each of three
    # processes. Time that counts twice, or not at all, is 0.09 s or more.
    assert processor_seconds(before, after) == pytest.approx(own, abs=0.061)


def test_a_process_that_leaves_the_tree_takes_nothing_from_the_others():
    before = {(1, 0): ProcessUsage(1.0, 2.0, 0), (2, 0): ProcessUsage(50.0, 0.0, 0)}
    assert processor_seconds(before, {(1, 0): ProcessUsage(1.5, 2.0, 0)}) == 0.5


def test_elsewhere_it_is_the_process_alone(tmp_path):
    ((key, usage),) = read_tree(os.getpid(), proc=str(tmp_path)).items()
    assert key == (os.getpid(), 0)
    assert 0 < usage.seconds <= sum(os.times()[:2])
    assert usage.memory is None


def test_a_large_tree_is_read_in_part(monkeypatch, parent):
    monkeypatch.setattr(processes, "_MAX_PROCESSES", 1)
    assert len(read_tree(parent.pid)) == 1


def write_group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        folder.joinpath(name.replace("__", ".")).write_text(f"{text}\n")


def name_groups(root, *lines):
    root.joinpath("proc", "self").mkdir(parents=True)
    root.joinpath("proc", "self", "cgroup").write_text("\n".join(lines) + "\n")


def test_a_group_of_version_2(tmp_path):
    name_groups(tmp_path, "0::/jobs/mine")
    jobs = tmp_path / "sys" / "fs" / "cgroup" / "jobs"
    stat = "anon 70\ninactive_file 20\nfile 30"
    write_group(jobs, memory__current=900, memory__max=1000, memory__stat="inactive_file 100")
    write_group(jobs / "mine", memory__current=100, memory__max="max", memory__stat=stat)
    assert read_group_memory(str(tmp_path)) == GroupMemory(80, 80.0)


def test_the_closest_limit_counts(tmp_path):
    name_groups(tmp_path, "0::/jobs/mine")
    jobs = tmp_path / "sys" / "fs" / "cgroup" / "jobs"
    write_group(jobs, memory__current=500, memory__max=1000, memory__stat="")
    write_group(jobs / "mine", memory__current=90, memory__max=100, memory__stat="")
    assert read_group_memory(str(tmp_path)) == GroupMemory(90, 90.0)


def test_a_group_of_version_1_in_a_container(tmp_path):
    name_groups(tmp_path, "5:devices:/", "4:memory:/docker/0123", "0::/")
    write_group(
        tmp_path / "sys" / "fs" / "cgroup" / "memory",
        memory__usage_in_bytes=300,
        memory__limit_in_bytes=400,
        memory__stat="inactive_file 1\ntotal_inactive_file 100",
    )
    assert read_group_memory(str(tmp_path)) == GroupMemory(200, 50.0)


def test_a_group_without_a_limit(tmp_path):
    name_groups(tmp_path, "4:memory:/")
    write_group(
        tmp_path / "sys" / "fs" / "cgroup" / "memory",
        memory__usage_in_bytes=300,
        memory__limit_in_bytes=2**63 - 4096,
        memory__stat="",
    )
    assert read_group_memory(str(tmp_path)) == GroupMemory(300, None)


@pytest.mark.parametrize("text", ["", "0::/jobs", "nonsense", "4:memory:/../../etc"])
def test_an_unknown_group(tmp_path, text):
    assert read_group_memory(str(tmp_path)) is None
    name_groups(tmp_path, text)
    assert read_group_memory(str(tmp_path)) is None


#: Two GPUs; the second one does not tell how busy it is.
DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int open_count;
int nvmlInit_v2(void) { open_count++; return getenv("NO_DRIVER") != NULL; }
int nvmlShutdown(void) { return --open_count; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **gpu) {
    *gpu = (void *)(size_t)(0x100000000 + index);
    return 0;
}
int nvmlDeviceGetHandleByUUID(const char *name, void **gpu) {
    if (strcmp(name, "MIG-7") != 0) return 6;
    *gpu = (void *)(size_t)0x100000002;
    return 0;
}
int nvmlDeviceGetUUID(void *gpu, char *text, unsigned size) {
    return snprintf(text, size, "GPU-%zx", (size_t)gpu) < 0;
}
int nvmlDeviceGetUtilizationRates(void *gpu, unsigned *rates) {
    if ((size_t)gpu != 0x100000000) return 3;
    rates[0] = 75; rates[1] = 10;
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *gpu, unsigned long long *memory) {
    memory[0] = 1000; memory[1] = 400; memory[2] = 600 + ((size_t)gpu & 15);
    return 0;
}
"""
FIRST, SECOND, PART = GpuUsage(75, 600), GpuUsage(None, 601), GpuUsage(None, 602)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """The path of a small library with the functions of NVML."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("driver")
    source, library = folder / "nvml.c", folder / "libnvidia-ml.so.1"
    source.write_text(DRIVER)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return str(library)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [FIRST, SECOND]),
        ("0,1", [FIRST, SECOND]),
        ("1", [SECOND]),
        ("1, 0", [SECOND, FIRST]),
        ("", []),
        ("-1", []),
        ("0,7,1", [FIRST]),
        ("GPU-100000001", [SECOND]),
        ("GPU-100000001,GPU-2", [SECOND]),
        ("MIG-7", [PART]),
        ("MIG-8", []),
        ("nonsense", []),
    ],
)
def test_the_gpus_that_the_process_sees(driver, monkeypatch, visible, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = Gpus(driver)
    assert gpus.read() == expected
    gpus.close()
    assert gpus.read() == []


def test_a_library_without_a_driver(driver, monkeypatch):
    monkeypatch.setenv("NO_DRIVER", "1")
    with pytest.raises(OSError, match="found no driver"):
        Gpus(driver)
    with pytest.raises(OSError):
        Gpus("no-such-library.so.1")


def test_a_sample_has_the_gpus(driver, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    sample = Sampler(Gpus(driver)).sample()
    assert {name: value for name, value in sample.items() if "gpu" in name} == {
        "system/gpu0/utilization_percent": 75,
        "system/gpu0/memory_bytes": 600,
        "system/gpu1/memory_bytes": 601,
    }
