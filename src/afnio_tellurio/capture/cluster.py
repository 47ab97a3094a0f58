"""The job of Slurm and the pod of Kubernetes that this process runs in."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from afnio_tellurio.capture.bounded_files import read_text

_SLURM = {
    "job_id": "SLURM_JOB_ID",
    "job_name": "SLURM_JOB_NAME",
    "cluster": "SLURM_CLUSTER_NAME",
    "partition": "SLURM_JOB_PARTITION",
    "nodes": "SLURM_JOB_NODELIST",
    "node_id": "SLURM_NODEID",
    "process_id": "SLURM_PROCID",
    "local_process_id": "SLURM_LOCALID",
    "tasks": "SLURM_NTASKS",
    "array_job_id": "SLURM_ARRAY_JOB_ID",
    "array_task_id": "SLURM_ARRAY_TASK_ID",
    "restarts": "SLURM_RESTART_COUNT",
}
_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_CONTROL_GROUPS_FILE = "/proc/self/cgroup"
_CONTAINER_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def read_slurm() -> dict[str, str]:
    """What Slurm tells its job in variables; empty outside of a job."""
    if not os.environ.get("SLURM_JOB_ID"):
        return {}
    return {
        name: os.environ[variable] for name, variable in _SLURM.items() if os.environ.get(variable)
    }


def read_kubernetes(
    namespace_file: str = _NAMESPACE_FILE, control_groups_file: str = _CONTROL_GROUPS_FILE
) -> dict[str, str]:
    """The pod, its namespace and the ID of the container, where known; empty outside of a pod."""
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return {}
    facts = {"pod": os.environ.get("HOSTNAME", "")}
    with suppress(OSError, ValueError):
        facts["namespace"] = read_text(namespace_file)
    with suppress(OSError, ValueError):
        found = _CONTAINER_ID.search(read_text(control_groups_file))
        facts["container_id"] = found[0] if found else ""
    return {name: value for name, value in facts.items() if value}
