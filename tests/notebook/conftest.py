"""A real kernel, used as notebooks do."""

import queue

import pytest
from children import GUARD, child_environment
from jupyter_client.manager import start_new_kernel


@pytest.fixture(scope="module")
def running_kernel():
    manager, client = start_new_kernel(kernel_name="python3", env=child_environment())
    yield client
    client.stop_channels()
    # Not at once: a kernel that is killed shows no coverage.
    manager.shutdown_kernel()


@pytest.fixture
def kernel(running_kernel):
    """Runs a cell in a kernel, and returns what the cell displayed and printed: its messages.

    All tests of a module share the kernel, but neither their variables nor their environments.
    """

    def run(cell):
        messages = []
        asked = running_kernel.execute(cell)
        while True:
            try:
                message = running_kernel.get_iopub_msg(timeout=GUARD)
            except queue.Empty:
                pytest.fail(f"the kernel does not answer; so far it said {messages}")
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return messages
            if kind in {"stream", "display_data", "execute_result", "error"}:
                messages.append((kind, content))

    environment = child_environment(TELLURIO_MODE="local", TELLURIO_QUIET="1")
    told = run(f"%reset -f\nimport os\nos.environ.clear()\nos.environ.update({environment!r})")
    assert told == []
    return run
