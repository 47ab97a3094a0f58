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


@pytest.mark.parametrize(
    "websocket",
    [
        # afnio's default, which is not the backend that the settings name.
        {"TELLURIO_BACKEND_WS_BASE_URL": "wss://platform.tellurio.ai"},
        # Others can read it on the way; nothing listens at this address.
        {"TELLURIO_BACKEND_WS_BASE_URL": "ws://192.0.2.1"},
    ],
    ids=["another backend", "plain text to another machine"],
)
def test_the_key_goes_to_no_other_place(platform, run_afnio, websocket):
    done = run_afnio(
        IMPORTS + f"te.init('acme', 'Bridge').log('loss', 1); assert not ({CONNECTED})",
        **{**platform.variables, **websocket},
    )
    assert done.returncode == 0, done.stderr
    # It was not tried: a failure is reported.
    assert complaints(done.stderr) == ""


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
        "do not work; runs are tracked. The reason: Failed to connect to WebSocket after multiple "
        "attempts."
    )
    run, _ = te.runs("acme", "Bridge", platform.client())
    assert run.metrics("val_accuracy").values == [0.5]


def test_a_websocket_that_does_not_answer_holds_nothing_up(platform, run_afnio, silent_port):
    done = run_afnio(
        IMPORTS
        + """
from afnio_tellurio.integrations import afnio_bridge
afnio_bridge._CONNECT_TIMEOUT = 0.1
te.init("acme", "Bridge").finish()
""",
        **{**platform.variables, "TELLURIO_BACKEND_WS_PORT": str(silent_port)},
    )
    assert done.returncode == 0, done.stderr
    assert "The reason: TimeoutError" in done.stderr


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

for trainer in (object(), trained := Trainer(), trained):
    try:
        Tracker(trainer)
    except (TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")
""")
    assert done.stdout.splitlines() == [
        (
            "TypeError: Tracker: object is not a Trainer of afnio 0.3: it has no fit, validate, "
            "test, _run_training_step_with_retries, _run_fn_with_retries, _save_checkpoint"
        ),
        "ValueError: Tracker: this trainer has a tracker already",
    ]


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
