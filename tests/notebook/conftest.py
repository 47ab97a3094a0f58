"""A real kernel, as notebooks talk to one."""

import queue

import pytest
from children import child_environment
from jupyter_client.manager import start_new_kernel


@pytest.fixture
def kernel():
    """Runs a cell in a kernel, and gives what the cell displayed and printed: its messages."""
    manager, client = start_new_kernel(
        kernel_name="python3", env=child_environment(TELLURIO_MODE="local", TELLURIO_QUIET="1")
    )

    def run(cell):
        messages = []
        asked = client.execute(cell)
        while True:
            try:
                message = client.get_iopub_msg(timeout=30)
            except queue.Empty:
                pytest.fail(f"the kernel does not answer; so far it said {messages}")
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return messages
            if kind in {"stream", "display_data", "execute_result", "error"}:
                messages.append((kind, content))

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)
