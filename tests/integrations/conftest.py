"""Real trainings, in an environment of their own, with the embedded backend."""

import json
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import exchanges
import pytest
from children import GUARD, INTEGRATIONS_PYTHON, child_environment

import afnio_tellurio as te

#: What each program starts with. The test compares `observed` beside the runs.
PREAMBLE = '''
import json
from concurrent.futures import ThreadPoolExecutor

import afnio_tellurio as te

observed = {}

def start_elsewhere(name):
    """Starts a run that is not the active one here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(te.init, "demo", "Trainings", name).result()

def refusal(action):
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
'''


@dataclass
class Training:
    """What a program with a framework has recorded."""

    folder: Path
    observed: dict[str, Any]
    stderr: str
    client: te.TellurioClient

    def run(self, name):
        return te.get_run("demo", "trainings", name, self.client)

    def logged(self, name):
        """The steps and values of each metric of a run."""
        metrics = self.run(name).metrics()
        return {metric: (list(points.steps), points.values) for metric, points in metrics.items()}


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Runs a program until it ends, and opens what it has recorded."""
    clients = []

    def run(program, **variables):
        folder = tmp_path_factory.mktemp("training")
        departures = folder / "departures.txt"
        environment = child_environment(
            TELLURIO_HOME=str(folder / "home"),
            TELLURIO_MODE="local",
            TELLURIO_CAPTURE="0",
            TELLURIO_EXIT_TIMEOUT=str(GUARD),
            XDG_CONFIG_HOME=str(folder / "configuration"),
            HOME=str(folder),
            # Nothing is downloaded, and two cores are shared with other tests.
            HF_HUB_OFFLINE="1",
            OMP_NUM_THREADS="1",
            **{exchanges.DEPARTURES_FILE: str(departures)},
            **variables,
        )
        program = textwrap.dedent(program) + "\nprint(json.dumps(observed))\n"
        done = subprocess.run(
            [str(INTEGRATIONS_PYTHON), "-c", PREAMBLE + program],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=GUARD,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not departures.exists(), departures.read_text()
        client = te.TellurioClient.local(folder / "home" / "tellurio.db")
        clients.append(client)
        observed = json.loads(done.stdout.splitlines()[-1])
        return Training(folder, observed, done.stderr, client)

    yield run
    for client in clients:
        client.close()
