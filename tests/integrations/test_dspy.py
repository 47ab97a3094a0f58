"""Calls and evaluations of DSPy log to a run."""

import pytest

pytestmark = pytest.mark.slow

KEY = "my-own-key-1"

PROGRAM = """
import asyncio
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dspy
from dspy.utils import DummyLM
from afnio_tellurio.integrations import gepa
from afnio_tellurio.integrations.dspy import TellurioCallback

KEY = os.environ["THE_KEY"]

class Provider(BaseHTTPRequestHandler):
    '''Answers like OpenAI, and repeats the key in its refusal.'''

    def do_POST(self):
        request = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if "refuse" in request:
            message = f"The key {self.headers['Authorization']} is invalid."
            self.answer(401, {"error": {"message": message, "type": "x", "code": "invalid"}})
        else:
            message = {"role": "assistant", "content": "[[ ## answer ## ]]\\n1"}
            usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
            choices = [{"index": 0, "finish_reason": "stop", "message": message}]
            answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "test"}
            self.answer(200, answer | {"choices": choices, "usage": usage})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
threading.Thread(target=server.serve_forever, daemon=True).start()
real = dspy.LM(
    "openai/gpt-4o-mini", api_base=f"http://127.0.0.1:{server.server_port}/v1", api_key=KEY,
    num_retries=0,
)
ANSWERS = {word: {"answer": word.upper()} for word in ("one", "two", "three", "four")}
EXAMPLES = [
    dspy.Example(question=word, answer=answer).with_inputs("question")
    for word, answer in [("one", "ONE"), ("two", "TWO"), ("three", "THREE"), ("four", "4")]
]

def metric(example, prediction, trace=None):
    return float(example.answer == prediction.answer)

def feedback(example, prediction, trace=None, name=None, predictor_trace=None):
    return dspy.Prediction(score=metric(example, prediction), feedback="Shout.")

def use(lm, callback):
    dspy.configure(lm=lm, callbacks=[callback])
    return dspy.Predict("question -> answer")

class Odd:
    def __repr__(self):
        raise RuntimeError("no text")

with te.init("demo", "Trainings", "real"):
    predict = use(real, TellurioCallback())
    predict(question="one")
    predict(question="one")
    observed["cost"] = real.history[0]["cost"]
    asyncio.run(predict.acall(question="two"))
    with dspy.context(disable_history=True):
        predict(question="three")
    observed["refusal"] = refusal(lambda: real("refuse"))

with start_elsewhere("given") as given, te.init("demo", "Trainings", "active") as active:
    evaluate = dspy.Evaluate(devset=EXAMPLES, metric=metric, num_threads=4)
    evaluate(use(DummyLM(ANSWERS), TellurioCallback()))
    evaluate(use(DummyLM(ANSWERS), TellurioCallback(given, log_calls=False)))
    observed["status"] = str(active.status)

with te.init("demo", "Trainings", "calls"):
    predict = use(DummyLM(ANSWERS), TellurioCallback())
    predict(question="one " + "x" * 20000)
    def multiply(first: int, second: int) -> int:
        return first * second
    tool = dspy.Tool(multiply)
    tool(first=2, second=3)
    def divide(first: int, second: int) -> float:
        return first / second
    observed["division"] = refusal(lambda: dspy.Tool(divide)(first=2, second=0))

    class Anything(dspy.Module):
        def forward(self, **inputs):
            return (0.5, b"bytes", dspy.Prediction(answer=1))

    Anything()(odd=Odd(), api_key=KEY, numbers=list(range(200)), deep={"set": {1}}, half="\\ud800")

with te.init("demo", "Trainings", "optimized"):
    predict = use(DummyLM(ANSWERS), TellurioCallback())
    reflection = DummyLM([{"new_instruction": "Answer in capitals."}] * 9)
    dspy.GEPA(
        metric=feedback, max_metric_calls=16, reflection_lm=reflection,
        gepa_kwargs={"callbacks": [gepa.TellurioCallback()]},
    ).compile(predict, trainset=EXAMPLES, valset=EXAMPLES)

with te.init("demo", "Trainings", "next"):
    # The callback goes on with the active run, after the one before has ended.
    predict(question="two")
predict(question="three")
"""


@pytest.fixture(scope="module")
def program(train):
    # Prices come with the package: nothing is downloaded.
    return train(PROGRAM, LITELLM_LOCAL_MODEL_COST_MAP="true", THE_KEY=KEY)


def calls(program, run, kind=None):
    rows = [dict(row) for row in program.run(run).rows("calls")]
    return [row for row in rows if kind in (None, row["kind"])]


def test_tokens_and_costs_are_totals_of_what_the_history_has(program):
    logged = program.logged("real")
    seconds = logged.pop("dspy/lm_seconds")
    assert seconds[0] == [1, 2, 3, 4, 5]
    assert all(each > 0 for each in seconds[1])
    cost = program.observed["cost"]
    assert cost > 0
    steps = [1, 2, 3, 4, 5]
    assert logged == {
        "dspy/lm_calls": (steps, [1, 2, 3, 4, 5]),
        "dspy/lm_errors": (steps, [0, 0, 0, 0, 1]),
        "dspy/prompt_tokens": (steps, [7, 7, 14, 14, 14]),
        "dspy/completion_tokens": (steps, [3, 3, 6, 6, 6]),
        "dspy/total_tokens": (steps, [10, 10, 20, 20, 20]),
        "dspy/cost_usd": (steps, [cost, cost, 2 * cost, 2 * cost, 2 * cost]),
    }


def test_a_call_of_an_lm_is_a_row(program):
    first, cached, _, unknown, refused = calls(program, "real", "lm")
    assert first["name"] == "openai/gpt-4o-mini"
    assert first["inputs"]["messages"][-1]["content"].startswith("[[ ## question ## ]]\none")
    assert first["outputs"] == ["[[ ## answer ## ]]\n1"]
    assert (first["total_tokens"], first["cost_usd"]) == (10, program.observed["cost"])
    assert first["exception"] is None
    assert "total_tokens" not in cached
    # Its history was disabled: the tokens of another call are not taken for its own.
    assert "total_tokens" not in unknown
    assert refused["inputs"] == {"prompt": "refuse"}
    assert refused["outputs"] is None
    assert refused["exception"].startswith("LMAuthError: [openai/gpt-4o-mini]")


def test_a_key_that_a_provider_repeats_is_not_recorded(program):
    # Which DSPy itself does not hide.
    assert KEY in program.observed["refusal"]
    assert "[redacted] is invalid" in calls(program, "real", "lm")[-1]["exception"]
    for name in ("real", "calls"):
        assert KEY not in str(calls(program, name))
    for path in program.folder.joinpath("home").rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_an_evaluation_in_threads_has_all_calls_and_one_score(program):
    logged = program.logged("active")
    assert logged["dspy/score"] == ([0], [75.0])
    assert logged["dspy/lm_calls"][1] == [1, 2, 3, 4]
    assert logged["dspy/lm_errors"][1] == [0, 0, 0, 0]
    (evaluation,) = calls(program, "active", "evaluate")
    assert evaluation["name"] == "Evaluate"
    assert evaluation["outputs"] == {"score": 75.0}
    wanted = {"program": "Predict", "metric": "metric", "devset": "4 examples", "num_threads": 4}
    assert wanted.items() <= evaluation["inputs"].items()
    modules = calls(program, "active", "module")
    assert {row["parent"] for row in modules} == {evaluation["id"]}
    answers = {row["inputs"]["question"]: row["outputs"] for row in modules}
    assert answers == {word: {"answer": word.upper()} for word in ("one", "two", "three", "four")}
    # Each thread's LM call belongs to its module.
    assert {row["parent"] for row in calls(program, "active", "lm")} == {
        row["id"] for row in modules
    }
    assert program.observed["status"] == "RUNNING"


def test_without_rows_the_metrics_stay(program):
    assert program.run("given").tables() == {}
    assert program.logged("given")["dspy/score"] == ([0], [75.0])
    assert program.logged("given")["dspy/lm_calls"][1] == [1, 2, 3, 4]


def test_values_that_json_does_not_have_are_described_and_long_ones_cut(program):
    long, anything = calls(program, "calls", "module")
    assert long["inputs"]["question"] == f"one {'x' * 9996}... [20,004 characters]"
    inputs = anything["inputs"]
    assert inputs["odd"] == "<Odd, whose repr raised RuntimeError>"
    assert inputs["api_key"] == "[redacted]"
    assert inputs["numbers"] == list(range(100))
    assert inputs["deep"] == {"set": [1]}
    assert inputs["half"] == "\\ud800"
    assert anything["outputs"] == [0.5, "b'bytes'", {"answer": 1}]


def test_a_tool_is_a_row_also_if_it_raises(program):
    good, bad = calls(program, "calls", "tool")
    assert (good["name"], good["inputs"], good["outputs"]) == (
        "multiply",
        {"first": 2, "second": 3},
        6,
    )
    assert (bad["name"], bad["outputs"]) == ("divide", None)
    assert bad["exception"] == program.observed["division"] == "ZeroDivisionError: division by zero"


def test_an_optimizer_is_the_parent_of_what_it_evaluates(program):
    (compilation,) = calls(program, "optimized", "compile")
    assert compilation["name"] == "GEPA"
    assert compilation["inputs"]["trainset"] == "4 examples"
    assert compilation["outputs"] == "Predict"
    evaluations = calls(program, "optimized", "evaluate")
    assert evaluations
    assert {row["parent"] for row in evaluations} == {compilation["id"]}
    (seed,) = (dict(row) for row in program.run("optimized").rows("candidates"))
    assert list(seed["components"].values()) == [
        "Given the fields `question`, produce the fields `answer`."
    ]
    # Minibatches have no metric.
    logged = program.logged("optimized")
    scores = [
        values for name, (_, values) in logged.items() if name in ("dspy/score", "dspy/eval_full")
    ]
    assert 0 < sum(map(len, scores)) < len(evaluations)


def test_a_callback_goes_on_with_the_active_run(program):
    (call,) = calls(program, "next", "module")
    assert call["outputs"] == {"answer": "TWO"}


def test_without_a_run_dspy_reports_what_to_do_and_goes_on(program):
    assert "no run is active; start one with init(" in program.stderr
