"""afnio and this package in one process share the active run and the sign-in, and nothing hangs."""

import pytest
from children import complaints

import afnio_tellurio as te

#: A connected WebSocket of afnio, or none.
CONNECTED = "get_default_clients(login=False)[1].connection is not None"
IMPORTS = """
import afnio
import afnio_tellurio as te
from afnio.tellurio._client_manager import get_default_clients
from afnio.tellurio.run_context import get_active_run

def active():
    try:
        return get_active_run()
    except ValueError:
        return None
"""
#: An agent whose variables are not sent to the platform, with two samples.
LOCAL_VALIDATION = """
import afnio.cognitive as cog
from afnio.trainer import Trainer

class Agent(cog.Module):
    def validation_step(self, batch, batch_idx):
        with te.suppress_variable_notifications():
            score, explanation = afnio.Variable(batch_idx), afnio.Variable("as expected")
        return {"loss": (score, explanation), "accuracy": 0.5}

class Samples(list):
    dataset = property(lambda self: self)

with te.suppress_variable_notifications():
    batches = Samples([[afnio.Variable("a")], [afnio.Variable("b")]])
"""


def test_the_active_run_of_afnio_is_ours_from_init_to_finish(platform, run_afnio):
    done = run_afnio(
        IMPORTS
        + """
assert active() is None
first = te.init("acme", "Bridge")
assert active() is first
second = te.init("acme", "Bridge")  # supersedes the first
assert active() is second
first.finish()
assert active() is second
second.finish()
assert active() is None
with te.init("acme", "Bridge") as third:
    assert active() is third
assert active() is None
fourth = te.attach("acme", "bridge", te.init("acme", "Bridge").name)

import threading

def trial():
    with te.init("acme", "Bridge") as run:
        assert active() is run

trials = threading.Thread(target=trial)
trials.start()
trials.join()
assert active() is fourth
assert active() is te.get_active_run()
""",
        **platform.variables,
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == ""


def test_a_disabled_run_is_active_in_afnio_too(run_afnio):
    done = run_afnio(
        IMPORTS
        + LOCAL_VALIDATION
        + """
run = te.init("acme", "Bridge")
assert active() is run
Trainer(enable_progress_bar=False).validate(Agent(), batches)
run.finish()
assert active() is None
te.attach("acme", "bridge", "anything")
""",
        TELLURIO_MODE="disabled",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_login_signs_afnio_in_too(platform, run_afnio):
    done = run_afnio(
        IMPORTS
        + f"""
owner = te.login("the-key")
assert owner == {{
    "email": "test@tellurio.ai", "username": "testuser", "session_id": "session-1"
}}, owner
run = te.init("acme", "Bridge")
assert {CONNECTED}
assert "session_id" not in te.login("the-key")  # it goes on
variable = afnio.Variable("text", role="a prompt")
assert variable.variable_id == "variable-1"
run.finish()
""",
        **{**platform.variables, "TELLURIO_API_KEY": ""},
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == ""
    (run,) = te.runs("acme", "Bridge", platform.client())
    assert platform.calls == [{"method": "create_variable", "run_uuid": run.uuid}]


def test_a_stored_key_signs_afnio_in_too(platform, run_afnio, sign_in):
    sign_in(platform.url, "the-key")
    done = run_afnio(
        IMPORTS + f"te.init('acme', 'Bridge'); assert {CONNECTED}",
        **{**platform.variables, "TELLURIO_API_KEY": ""},
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == ""


#: How the key could reach another host, or be read on the way, and what is said instead.
WITHHELD = {
    "another backend": (
        {"TELLURIO_BACKEND_WS_BASE_URL": "wss://platform.tellurio.ai"},
        "its WebSocket leads to wss://platform.tellurio.ai; set TELLURIO_BACKEND_WS_BASE_URL",
    ),
    "plain text to another machine": (
        {"TELLURIO_BACKEND_WS_BASE_URL": "ws://192.0.2.1"},
        "ws://192.0.2.1 is not encrypted; use wss://",
    ),
    **{
        f"plain text through {name}": (
            {name: "http://127.0.0.1:1"},
            "a proxy could read it; set NO_PROXY=127.0.0.1",
        )
        for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY")
    },
}


@pytest.mark.parametrize("case", WITHHELD)
def test_the_key_goes_to_no_other_place(platform, run_afnio, case):
    variables, reason = WITHHELD[case]
    done = run_afnio(
        IMPORTS + f"te.init('acme', 'Bridge').log('loss', 1); assert not ({CONNECTED})",
        **{**platform.variables, **variables},
    )
    assert done.returncode == 0, done.stderr
    assert complaints(done.stderr) == (
        f"WARNING  : afnio does not get the key of {platform.url}: {reason}. It signs in by itself, "
        "with the key that it finds, when it first needs the platform\n"
    )


def test_no_proxy_lets_the_key_go_to_this_machine(platform, run_afnio):
    done = run_afnio(
        IMPORTS + f"te.init('acme', 'Bridge'); assert {CONNECTED}",
        **platform.variables,
        HTTP_PROXY="http://127.0.0.1:1",
        NO_PROXY="127.0.0.1",
    )
    assert done.returncode == 0, done.stderr


def test_the_key_of_another_client_does_not_go_to_the_websocket_of_the_settings(
    platform, run_afnio
):
    _, _, port = platform.url.rpartition(":")
    done = run_afnio(
        IMPORTS
        + f"""
with te.TellurioClient("http://localhost", {port}) as other:
    other.login("the-key")
    te.init("acme", "Bridge", client=other).finish()
assert not ({CONNECTED})
assert get_default_clients(login=False)[0].api_key is None
""",
        **platform.variables,
    )
    assert done.returncode == 0, done.stderr
    assert "afnio does not get the key of http://localhost" in done.stderr


def test_no_log_line_has_the_key(platform, run_afnio):
    done = run_afnio(
        "import logging\n"
        + IMPORTS
        + """
logging.getLogger().setLevel(logging.DEBUG)
te.init("acme", "Bridge").finish()
logging.getLogger("websockets.client").debug("is shown")
""",
        **platform.variables,
    )
    assert done.returncode == 0, done.stderr
    assert "is shown" in done.stderr
    assert "the-key" not in done.stderr


def test_a_connection_that_was_closed_is_opened_again(platform, run_afnio):
    done = run_afnio(
        IMPORTS
        + f"""
from afnio.tellurio._eventloop import run_in_background_loop
te.init("acme", "Bridge")
websocket = get_default_clients(login=False)[1]
closed = websocket.connection
run_in_background_loop(closed.close())
te.init("acme", "Bridge")
assert {CONNECTED} and websocket.connection is not closed
assert afnio.Variable("text").variable_id == "variable-1"
""",
        **platform.variables,
    )
    assert done.returncode == 0, done.stderr


def test_a_backend_without_a_websocket_is_reported_once(platform, run_afnio):
    port = platform.variables["TELLURIO_BACKEND_HTTP_PORT"]
    done = run_afnio(
        IMPORTS
        + LOCAL_VALIDATION
        + """
te.init("acme", "Bridge")
run = te.init("acme", "Bridge")
Trainer(enable_progress_bar=False).validate(Agent(), batches)
run.finish()
""",
        may_depart=("request",),
        **{**platform.variables, "TELLURIO_BACKEND_WS_PORT": port},
    )
    assert done.returncode == 0, done.stderr
    (line,) = complaints(done.stderr).splitlines()
    assert line == (
        f"WARNING  : afnio is not connected to {platform.url}, so its models and backward passes "
        "do not work; runs are tracked. The reason: server rejected WebSocket connection: HTTP 404"
    )
    run, _ = te.runs("acme", "Bridge", platform.client())
    assert run.metrics("val_accuracy").values == [0.5]


def test_a_websocket_that_does_not_answer_holds_up_one_run_only(platform, run_afnio, silent_port):
    done = run_afnio(
        IMPORTS
        + """
from afnio_tellurio.integrations import afnio_bridge
afnio_bridge._CONNECT_TIMEOUT = 0.1
websocket = get_default_clients(login=False)[1]
connect, calls = websocket.connect, []
def counted(*args, **kwargs):
    calls.append(kwargs)
    return connect(*args, **kwargs)
websocket.connect = counted
for _ in range(3):
    te.init("acme", "Bridge").finish()
assert len(calls) == 1
te.login("the-key")  # asks for another try
assert len(calls) == 2
assert websocket.connection is None and websocket.listener_task is None
""",
        **{**platform.variables, "TELLURIO_BACKEND_WS_PORT": str(silent_port)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("The reason: TimeoutError") == 1


def test_local_mode_says_what_works(run_afnio, home):
    done = run_afnio(
        IMPORTS
        + LOCAL_VALIDATION
        + """
run = te.init("acme", "Bridge", name="local")
Trainer(enable_progress_bar=False).validate(Agent(), batches)
try:
    afnio.Variable("a prompt")
except ValueError as error:
    print(error)
run.finish()
""",
        TELLURIO_MODE="local",
    )
    assert done.returncode == 0, done.stderr
    assert "API key is required" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if "Tracking locally: " in line]
    assert line == (
        "WARNING  : Tracking locally: metrics of afnio's Trainer arrive in this run. Its models, "
        "backward passes and optimizers need a run of the platform: use `afnio-tellurio login`, "
        "and unset TELLURIO_MODE."
    )
    with te.TellurioClient.local() as client:
        run = te.get_run("acme", "bridge", "local", client)
        assert run.metrics("val_loss").values == [0.5]
        assert run.metrics("total_cost($)").values == [0.0]


def test_a_forked_child_does_not_wait_for_the_thread_of_afnio(platform, run_afnio):
    done = run_afnio(
        IMPORTS
        + f"""
import os, warnings
warnings.simplefilter("ignore")
child = os.fork()
run = te.init("acme", "Bridge")
assert active() is run
run.log("loss", 1)
run.finish()
if child == 0:
    assert not ({CONNECTED})
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert {CONNECTED}
""",
        **platform.variables,
    )
    assert done.returncode == 0, done.stderr


def test_another_version_of_afnio_is_reported_and_runs_are_tracked(run_afnio, tmp_path):
    done = run_afnio(
        IMPORTS
        + """
import afnio.tellurio.run_context
del afnio.tellurio.run_context.set_active_run
te.init("acme", "Bridge").finish()
""",
        TELLURIO_MODE="local",
    )
    assert done.returncode == 0, done.stderr
    assert "this version of afnio cannot log to our runs: AttributeError" in done.stderr


def test_logging_is_configured_as_in_afnio(run_afnio):
    done = run_afnio(
        """
import logging
import afnio_tellurio as te
te.configure_logging("debug")
assert logging.getLogger("afnio").level == logging.DEBUG
assert logging.getLogger("afnio_tellurio").level == logging.DEBUG
te.configure_logging()
te.init("acme", "Bridge", name="shown").finish()
""",
        TELLURIO_MODE="local",
    )
    assert done.returncode == 0, done.stderr
    assert "INFO     : Started run shown" in done.stderr


def test_a_tracker_needs_a_trainer_and_only_one(run_afnio):
    done = run_afnio("""
from afnio.trainer import Trainer
from afnio_tellurio.integrations.afnio import Tracker

for trainer, clients in (object(), None), (trained := Trainer(), [1]), (trained, {}), (trained, {}):
    try:
        Tracker(trainer, clients)
    except (TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")
""")
    assert done.stdout.splitlines() == [
        (
            "TypeError: Tracker: object is not a Trainer of afnio 0.3: it has no fit, validate, "
            "test, _run_training_step_with_retries, _run_fn_with_retries, _collect_metrics, "
            "_save_checkpoint"
        ),
        "TypeError: Tracker: clients is a list; pass a dict of names and clients",
        "ValueError: Tracker: this trainer has a tracker already",
    ]


MANUAL_FIT = """
from afnio_tellurio.integrations.afnio import Tracker

class Optimizer:
    defaults = {
        "momentum": 3, "api_key": "SECRET", "tokens": ["SECRET"], "max_completion_tokens": 9,
        "extra": [["Authorization", "Bearer SECRET"], {"cookie": {"a": "SECRET"}}],
        "base": "https://user:SECRET@host/v1?api_key=SECRET&kind=a",
    }

class Manual(Agent):
    def __init__(self, optimizers):
        super().__init__()
        self.automatic_optimization = False
        self.chosen = optimizers
        with te.suppress_variable_notifications():
            self.prompt = cog.Parameter("first", role="a prompt")
    def configure_optimizers(self):
        return self.chosen
    def training_step(self, batch, batch_idx):
        with te.suppress_variable_notifications():
            self.prompt.data = f"{self.prompt.data}+"
        return self.validation_step(batch, batch_idx)
"""


def test_a_tracker_counts_from_the_start_of_each_run(run_afnio):
    done = run_afnio(
        IMPORTS
        + LOCAL_VALIDATION
        + MANUAL_FIT
        + """
trainer = Trainer(max_epochs=1, enable_progress_bar=False, enable_checkpointing=False)
Tracker(trainer)
for name, optimizers in ("none", None), ("several", [Optimizer(), Optimizer()]):
    agent = Manual(optimizers)
    with te.init("acme", "Bridge", name=name):
        trainer.fit(agent, batches)
        trainer.fit(agent, batches)
""",
        TELLURIO_MODE="local",
    )
    assert done.returncode == 0, done.stderr
    assert "not tracked in full" not in done.stderr
    with te.TellurioClient.local() as client:
        for name in ("none", "several"):
            run = te.get_run("acme", "bridge", name, client)
            texts = run.metrics("parameters/prompt")
            assert list(texts.steps) == [0, 1, 2, 3, 4]
            assert texts.values == ["first", "first+", "first++", "first+++", "first++++"]
            first, second = run.metrics("config").values
            assert first == second
            assert first["max_epochs"] == 1
        assert first["optimizer"][0] == {
            "name": "Optimizer",
            "momentum": 3,
            "max_completion_tokens": 9,
            "api_key": "***",
            "tokens": "***",
            "extra": [["Authorization", "***"], {"cookie": "***"}],
            "base": "https://***@host/v1?***&kind=a",
        }
        assert "SECRET" not in str(run.metrics())


def test_a_tracker_never_disturbs_the_trainer(run_afnio):
    done = run_afnio(
        IMPORTS
        + LOCAL_VALIDATION
        + """
from afnio_tellurio.integrations.afnio import Tracker

class Client:
    def get_provider(self):
        return "broken"
    def get_usage(self):
        return {"cost": {"amount": 1.0}}
    def clear_usage(self):
        self.get_usage = lambda: {}

trainer = Trainer(enable_progress_bar=False)
Tracker(trainer)
with te.init("acme", "Bridge", name="disturbed"):
    try:
        trainer.validate(Agent(), batches, llm_clients=[Client()])
    except KeyError as error:
        print("of the trainer:", error)
    trainer.validate(Agent(), batches)
""",
        TELLURIO_MODE="local",
    )
    assert done.returncode == 0, done.stderr
    # The trainer itself cannot do without the cost; the tracker reports what it cannot log.
    assert done.stdout.count("of the trainer: 'cost'") == 1
    assert done.stderr.count("_run_fn_with_retries is not tracked in full: KeyError('cost')") == 1
    with te.TellurioClient.local() as client:
        run = te.get_run("acme", "bridge", "disturbed", client)
        assert run.metrics("clients/broken_0/val_cost").values == [1.0]
        assert run.metrics("val_accuracy").values == [0.5]
