"""A stand-in for what afnio needs besides the HTTP API: the platform's WebSocket, and a model.

It runs in the environment of afnio, whose `websockets` it uses. It answers every call of afnio
0.3.7 as far as programs can see, and asks the model over HTTP as the platform does. It prints its
ports as JSON, and writes each call that it receives as a line of JSON to the file that it is passed.
"""

import asyncio
import itertools
import json
import os
import sys
import threading
import traceback
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

SENTIMENTS = ("positive", "neutral", "negative")
TOKENS = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
COST = 0.25


class Model(BaseHTTPRequestHandler):
    """Answers as OpenAI's API does: a sentiment of the text, or a better prompt."""

    improvements = itertools.count(1)

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = request["messages"][-1]["content"]
        if "response_format" in request:
            sentiment = next(word for word in SENTIMENTS if word in text)
            content = json.dumps({"sentiment": sentiment})
        else:
            content = f"{text} (improved {next(self.improvements)})"
        answer = {"choices": [{"message": {"content": content}}], "usage": TOKENS}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Session:
    """The platform's side of one connection: its variables, models and optimizers."""

    def __init__(self, model_url):
        self.model_url = model_url
        self.ids = itertools.count(1)
        self.variables = {}
        self.models = {}
        self.optimizers = {}
        self.notices = []

    def notify(self, method, **params):
        self.notices.append({"jsonrpc": "2.0", "method": method, "params": params})

    def answers(self, call):
        """What the platform sends back for a call: first what changed, then the result."""
        answer = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            answer["result"] = getattr(self, call["method"])(call["params"])
        except Exception as error:  # noqa: BLE001 - the program raises it
            traceback.print_exc()
            answer["error"] = {"data": {"exception": repr(error)}}
        notices, self.notices = self.notices, []
        return [*notices, answer]

    def new_id(self, kind):
        return f"{kind}-{next(self.ids)}"

    def create_variable(self, params):
        variable_id = self.new_id("variable")
        self.variables[variable_id] = dict(params)
        return {"variable_id": variable_id}

    def update_variable(self, params):
        self.variables[params["variable_id"]][params["field"]] = params["value"]
        return {name: params[name] for name in ("variable_id", "field", "value")}

    def append_grad(self, params):
        return {
            "variable_id": params["variable_id"],
            "gradient_id": params["gradient"]["variable_id"],
        }

    def create_model(self, params):
        model_id = self.new_id("model")
        self.models[model_id] = {"usage": params["usage"], "key": params["config"]["api_key"]}
        return {"model_id": model_id}

    def set_model_singleton(self, params):
        return {name: params[name] for name in ("model_id", "completion_args")}

    def clear_model_usage(self, params):
        model_id = params["model_id"]
        self.set_usage(model_id, cleared(self.models[model_id]["usage"]))
        return {"model_id": params["model_id"]}

    def set_usage(self, model_id, usage):
        self.models[model_id]["usage"] = usage
        self.notify("update_model", model_id=model_id, field="_usage", value=usage)

    def create_optimizer(self, params):
        optimizer_id = self.new_id("optimizer")
        self.optimizers[optimizer_id] = params
        return {
            "optimizer_id": optimizer_id,
            "defaults": params["defaults"],
            "state": [],
            "param_groups": [{"params": params["params"]}],
        }

    def clear_grad(self, params):
        return {"message": "Gradients cleared successfully."}

    def get_backprop_ids(self, params):
        return {"variable_ids": []}

    def run_backward(self, params):
        return {"message": "Backward pass executed successfully."}

    def run_step(self, params):
        optimizer = self.optimizers[params["optimizer_id"]]
        model_id = optimizer["defaults"]["model_client"]["model_id"]
        for parameter in optimizer["params"]:
            variable = self.variables[parameter["variable_id"]]
            messages = [{"role": "user", "content": variable["data"]}]
            variable["data"] = self.ask(model_id, messages, {})
            self.notify(
                "update_variable",
                variable_id=parameter["variable_id"],
                field="data",
                value=variable["data"],
            )
        variable_ids = [parameter["variable_id"] for parameter in optimizer["params"]]
        self.notify("clear_step", variable_ids=variable_ids)
        return {"message": "Optimizer step executed successfully.", "state": []}

    def run_function(self, params):
        functions = {
            "ChatCompletion": self.run_chat_completion,
            "ExactMatchEvaluator": self.run_exact_match_evaluator,
        }
        function = functions[params["function_name"]]
        return {"data": function(*params["args"], **params["kwargs"])}

    def run_chat_completion(self, client, messages, inputs=None, /, **completion_args):
        inputs = {name: self.data_of(value) for name, value in (inputs or {}).items()}
        batches = [value for value in inputs.values() if isinstance(value, list)]
        size = len(batches[0]) if batches else 1
        replies = []
        for index in range(size):
            values = {
                name: value[index] if isinstance(value, list) else value
                for name, value in inputs.items()
            }
            filled = [
                {
                    "role": message["role"],
                    "content": "".join(map(self.data_of, message["content"])).format(**values),
                }
                for message in messages
            ]
            replies.append(self.ask(client["model_id"], filled, completion_args))
        return self.output("response", replies if batches else replies[0])

    def run_exact_match_evaluator(self, prediction, target, *_reduction):
        predicted, expected = self.data_of(prediction), self.data_of(target)
        score = sum(map(str.__eq__, predicted, expected))
        return [self.output("score", score), self.output("explanation", f"{score} match")]

    def data_of(self, value):
        return self.variables[value["variable_id"]]["data"] if isinstance(value, dict) else value

    def output(self, role, data):
        node_id = self.new_id("node")
        self.notify("create_node", node_id=node_id, name="Function")
        variable = {
            "data": data,
            "role": role,
            "requires_grad": True,
            "_retain_grad": False,
            "_grad": [],
            "_output_nr": 0,
            "_grad_fn": node_id,
            "is_leaf": False,
        }
        variable_id = self.new_id("variable")
        self.variables[variable_id] = variable
        return {"variable_id": variable_id, **variable}

    def ask(self, model_id, messages, completion_args):
        """Asks the model with the key of the user, and counts what it used."""
        request = urllib.request.Request(
            f"{self.model_url}/chat/completions",
            json.dumps({"messages": messages, **completion_args}).encode(),
            {"Authorization": f"Bearer {self.models[model_id]['key']}"},
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        usage = self.models[model_id]["usage"]
        used = {name: usage.get(name, 0) + count for name, count in answer["usage"].items()}
        cost = {"amount": usage["cost"]["amount"] + COST, "currency": "USD"}
        self.set_usage(model_id, {**usage, **used, "cost": cost})
        return answer["choices"][0]["message"]["content"]


def cleared(usage):
    """The counts of a model and their parts as zeros."""
    if isinstance(usage, dict):
        return {name: cleared(value) for name, value in usage.items()}
    return usage if isinstance(usage, str) else type(usage)()


async def serve_connection(reader, writer, model_url, record):
    protocol = ServerProtocol()
    session = Session(model_url)
    while data := await reader.read(2**16):
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                accept(protocol, event)
            elif event.opcode is Opcode.TEXT:
                call = json.loads(event.data)
                record({"method": call["method"], "run_uuid": call["params"].pop("run_uuid")})
                for message in session.answers(call):
                    protocol.send_text(json.dumps(message).encode())
        # The session's ID comes with the handshake, in one packet: afnio 0.3.7 listens no longer
        # if it comes later.
        writer.write(b"".join(protocol.data_to_send()))
        if protocol.close_expected():
            break
    writer.close()


def accept(protocol, request):
    if request.headers.get("Authorization") != f"Api-Key {os.environ['STAND_IN_KEY']}":
        protocol.send_response(protocol.reject(401, "unknown key\n"))
        return
    protocol.send_response(protocol.accept(request))
    session = {"jsonrpc": "2.0", "result": {"session_id": "session-1"}}
    protocol.send_text(json.dumps(session).encode())


async def main(calls):
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    model_url = f"http://127.0.0.1:{model.server_port}"

    def record(call):
        with Path(calls).open("a") as file:
            print(json.dumps(call), file=file)

    server = await asyncio.start_server(
        lambda reader, writer: serve_connection(reader, writer, model_url, record), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"websocket": port, "model": model_url}), flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1]))
