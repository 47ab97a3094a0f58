"""Imports runs with the real classes of wandb, whose server is a few dictionaries; a program.

python wandb_server.py SITE_PACKAGES RUNS_FILE [ARGUMENT OF import ...]
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

site_packages, runs_file, *arguments = sys.argv[1:]
# Behind ours: it has packages that we use, in other versions.
sys.path.append(site_packages)

import wandb  # noqa: E402
from wandb.apis import public  # noqa: E402
from wandb.proto import wandb_api_pb2  # noqa: E402

from afnio_tellurio.cli import main  # noqa: E402

RUNS = json.loads(Path(runs_file).read_text())


class Service:
    """Answers as wandb's own process does, which speaks to the server."""

    app_url = "https://wandb.example/"

    def __init__(self):
        self._scanned = None

    def finalize(self, *_):
        pass

    def execute_graphql(self, query, variables, **_):
        if "query Runs(" in query:
            # A page for each run.
            following = int(variables.get("cursor") or 0)
            edges = [
                {"node": without_heavy_fields(run["node"]), "cursor": str(following + 1)}
                for run in RUNS[following:][:1]
            ]
            page = {"endCursor": "", "hasNextPage": following + 1 < len(RUNS)}
            return {"project": {"runCount": len(RUNS), "runs": {"edges": edges, "pageInfo": page}}}
        (run,) = [run for run in RUNS if run["node"]["name"] == variables["name"]]
        return {"project": {"run": dict(run["node"])}}

    def send_api_request(self, request, **_):
        request = request.read_run_history_request
        response = wandb_api_pb2.ApiResponse()
        answer = response.read_run_history_response
        if request.HasField("scan_run_history_init"):
            self._scanned = request.scan_run_history_init.run_id
            answer.scan_run_history_init.request_id = 1
            return response
        (run,) = [run for run in RUNS if run["node"]["name"] == self._scanned]
        steps = range(request.scan_run_history.min_step, request.scan_run_history.max_step)
        for row in run["history"]:
            if row["_step"] in steps:
                listed = answer.run_history.history_rows.add()
                for name, value in row.items():
                    listed.history_items.add(key=name, value_json=json.dumps(value))
        return response


def without_heavy_fields(node):
    return {
        name: value
        for name, value in node.items()
        if name not in {"config", "summaryMetrics", "systemMetrics", "historyKeys"}
    }


def runs(path, order):
    entity, project = path.split("/")
    return public.Runs(Service(), entity, project, order=order)


def one_run(path):
    entity, project, run = path.split("/")
    return public.Run(Service(), entity, project, run, lazy=False)


wandb.Api = lambda: SimpleNamespace(runs=runs, run=one_run)
sys.exit(main(["import", *arguments]))
