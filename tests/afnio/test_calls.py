"""Each public function of afnio's tracking exists here: its parameters, defaults and exceptions."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

#: The public names of afnio.tellurio and its modules; what an attribute of ours is called, if not so.
FUNCTIONS = {
    "afnio.tellurio": [
        "configure_logging", "init", "log", "login", "suppress_variable_notifications",
    ],
    "afnio.tellurio.client": [
        "TellurioClient", "TellurioClient.delete", "TellurioClient.get", "TellurioClient.login",
        "TellurioClient.patch", "TellurioClient.post",
    ],
    "afnio.tellurio.project": ["Project", "create_project", "delete_project", "get_project"],
    "afnio.tellurio.run": [
        "Run", "Run.finish", "Run.log", "RunOrg", "RunProject", "RunUser", "init",
    ],
    "afnio.tellurio.run_context": ["get_active_run"],
}  # fmt: skip
#: Prints the parameters of both sides, and the public names of afnio's modules.
COMPARE = """
import importlib, inspect, json, operator
import afnio_tellurio as te

def parameters(function):
    return [
        [parameter.name, str(parameter.kind), repr(parameter.default)]
        for parameter in inspect.signature(function).parameters.values()
    ]

found = {}
for module, names in FUNCTIONS.items():
    theirs = importlib.import_module(module)
    for name in names:
        find = operator.attrgetter(name)
        found[f"{module}.{name}"] = [parameters(find(theirs)), parameters(find(te))]
run = importlib.import_module("afnio.tellurio.run")
print(json.dumps({
    "parameters": found,
    "statuses": [[status.name, status.value] for status in run.RunStatus],
    "ours": [[status.name, status.value] for status in te.RunStatus],
    "public": importlib.import_module("afnio.tellurio").__all__,
}))
"""


def test_each_function_takes_what_it_takes_in_afnio(run_afnio):
    done = run_afnio(f"FUNCTIONS = {FUNCTIONS!r}\n{COMPARE}")
    assert done.returncode == 0, done.stderr
    compared = json.loads(done.stdout)
    assert sorted(compared["public"]) == FUNCTIONS["afnio.tellurio"]
    assert sorted(compared["statuses"]) == sorted(compared["ours"])
    for name, (theirs, ours) in compared["parameters"].items():
        # Further parameters of ours follow, and are optional.
        for (parameter, kind, default), counterpart in zip(theirs, ours, strict=False):
            assert counterpart[:2] == [parameter, kind], name
            # An enum of ours has another representation.
            same = counterpart[2].partition(":")[0].strip("<") == default.partition(":")[0].strip(
                "<"
            )
            is_optional = "_empty" not in counterpart[2]
            assert same or (is_optional and "_empty" in default), (name, parameter)
        assert len(ours) >= len(theirs), name
        assert all("_empty" not in default for _, _, default in ours[len(theirs) :]), name


#: A port on which nobody listens: a privileged one.
NOBODY = 1
#: What a backend answers: status, content type and body.
ANSWERS = {
    "400": (400, "application/json", '{"detail": "no"}'),
    "401": (401, "application/json", '{"detail": "no"}'),
    "403": (403, "application/json", '{"detail": "no"}'),
    "404": (404, "application/json", '{"detail": "no"}'),
    "409": (409, "application/json", '{"detail": "no"}'),
    "500": (500, "text/html", "<h1>Internal Server Error</h1>"),
    "520": (520, "text/plain", "?"),
    "not JSON": (200, "text/html", "<h1>Welcome</h1>"),
    "truncated": (200, "application/json", '{"uuid": "'),
    "without fields": (200, "application/json", "{}"),
}
#: Calls each function of both sides for each answer, and prints the exceptions.
FAIL = """
import json, logging
from uuid import UUID
import afnio.tellurio as theirs
import afnio.tellurio.client, afnio.tellurio.project, afnio.tellurio.run, afnio.tellurio.run_context
import afnio_tellurio as ours
import httpx

logging.disable(logging.CRITICAL)

#: The exceptions of afnio, by what an `except` clause names after the import has changed.
NAMES = {
    afnio.tellurio.client.InvalidAPIKeyError: ours.InvalidAPIKeyError,
    httpx.HTTPStatusError: httpx.HTTPStatusError,
    ValueError: ValueError,
    RuntimeError: RuntimeError,
    TypeError: TypeError,
}

def run_of(module, client):
    run = module.Run(
        uuid=str(UUID(int=1)), name="run", description=None, status=module.RunStatus.RUNNING,
        organization=module.RunOrg("acme"),
        project=module.RunProject(str(UUID(int=2)), "Project", "project"),
    )
    return run

def calls(te, client_module, project_module, run_module, client):
    return {
        "login": lambda: client.login("some-key"),
        "login again": lambda: client.login("some-key", relogin=True),
        "login without a key": lambda: client_module.TellurioClient().login(),
        "relogin without a key": lambda: client_module.TellurioClient().login(relogin=True),
        "get": lambda: client.get("/api/v0/verify-api-key/"),
        "post": lambda: client.post("/api/v0/acme/projects/", {"display_name": "P"}),
        "patch": lambda: client.patch("/api/v0/acme/projects/p/runs/", {}),
        "delete": lambda: client.delete("/api/v0/acme/projects/p/"),
        "get_project": lambda: project_module.get_project("acme", "project", client),
        "create_project": lambda: project_module.create_project("acme", "Project", client=client),
        "delete_project": lambda: project_module.delete_project("acme", "project", client),
        "init": lambda: run_module.init("acme", "Project", client=client),
        "finish": lambda: run_of(run_module, client).finish(client),
        "log without a run": lambda: te.log("loss", 1.0),
        "get_active_run": run_context(te).get_active_run,
        "configure_logging": lambda: te.configure_logging(10),
    }

def run_context(te):
    return afnio.tellurio.run_context if te is theirs else te

def exception_of(call):
    while True:
        try:
            call()
        except Exception as error:
            # On a busy machine, an answer may not arrive within the exit timeout.
            if answer == "nobody" or "not enough time" not in str(error):
                return error
        else:
            return None

for answer, port in PORTS.items():
    both = []
    for te, client_module, project_module, run_module in (
        (theirs, afnio.tellurio.client, afnio.tellurio.project, afnio.tellurio.run),
        (ours, ours, ours, ours),
    ):
        client = client_module.TellurioClient("http://127.0.0.1", port)
        client.api_key = "some-key"
        both.append(calls(te, client_module, project_module, run_module, client))
    for name in both[0]:
        expected, raised = (exception_of(each[name]) for each in both)
        caught = [
            kind.__name__ for kind, clause in NAMES.items()
            if isinstance(expected, kind) and not isinstance(raised, clause)
        ]
        print(json.dumps([answer, name, repr(expected), repr(raised), caught]))
"""


class _Faulty(ThreadingHTTPServer):
    """Answers each request alike."""

    def __init__(self, status, content_type, body):
        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        for method in ("GET", "POST", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def ports():
    servers = {name: _Faulty(*answer) for name, answer in ANSWERS.items()}
    yield {name: server.server_port for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()


def is_a_failure_of_the_backend(answer, call, expected, raised, _missed):
    """Whether afnio calls the key invalid where the backend failed.

    Its documentation promises no exception for that case but Exception.
    """
    is_login = call in {"login", "login again"} and expected.startswith("InvalidAPIKeyError")
    return is_login and answer not in {"401", "403"} and "Cannot verify the API key" in raised


def test_an_except_clause_for_afnio_catches_our_exceptions(run_afnio, ports):
    done = run_afnio(
        f"PORTS = {ports | {'nobody': NOBODY}!r}\n{FAIL}",
        may_depart=("request", "answer"),
        TELLURIO_EXIT_TIMEOUT="0.1",
    )
    assert done.returncode == 0, done.stderr
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(cases) == 16 * (len(ANSWERS) + 1)
    # The check itself: most calls fail in afnio.
    assert sum(expected != "None" for _, _, expected, _, _ in cases) > len(cases) / 2
    missed = [case for case in cases if case[-1] and not is_a_failure_of_the_backend(*case)]
    assert missed == [], "\n".join(map(str, missed))
