"""The page and the backend as `serve` serves them, over a real socket."""

import http.client
import json
import threading
import uuid
from urllib.parse import urlsplit

from children import GUARD

from afnio_tellurio.backend import BackendUser, open_backend
from afnio_tellurio.backend.server import Server
from afnio_tellurio.backend.site import Site

KEY = "the-key"


class Serving:
    """A site on a socket, and the requests of a test."""

    def __init__(self, folder, public_url=None):
        self.backend = open_backend(
            folder / "tellurio.db",
            user=BackendUser("ada", "ada@example.com"),
            api_key=KEY,
            namespaces=("acme",),
            any_namespace=False,
        )
        self.site = Site(self.backend, api_key=KEY, host="127.0.0.1", public_url=public_url)
        self.server = Server(self.site, "127.0.0.1", 0, authorizes=self.site.authorizes)
        self.url = self.server.url
        self.netloc = urlsplit(self.url).netloc
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()

    def close(self):
        self.server.stop()
        self._thread.join()
        self.server.close()
        self.backend.close()

    def ask(self, method, target, body=None, **headers):
        """Sends a request unchanged, and returns the response with its body as `body`."""
        connection = http.client.HTTPConnection(self.netloc, timeout=GUARD)
        host = headers.pop("Host", self.netloc)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        if host is not None:
            connection.putheader("Host", host)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer

    def sign_in(self, **credentials):
        """Sends credentials as the page does."""
        return self.ask(
            "POST",
            "/session",
            json.dumps(credentials).encode(),
            Content_Type="application/json",
            Origin=self.url,
        )

    def signed_in(self):
        """The Authorization header of a new session."""
        answer = self.sign_in(api_key=KEY)
        assert answer.status == 200
        return f"Session {json.loads(answer.body)['session']}"

    def run_with(self, metrics, batches=1):
        """The path of a new run with these metrics, recorded that many times."""
        project = "/api/v0/acme/projects/"
        self._create(project, display_name="Digits")
        run = f"{project}digits/runs/{self._create(f'{project}digits/runs/')['uuid']}/"
        writer = str(uuid.uuid4())
        for number in range(batches):
            batch = {"writer": writer, "first_sequence_number": number * len(metrics)}
            self._create(f"{run}metrics/batch/", **batch, metrics=metrics)
        return run

    def _create(self, path, **fields):
        answer = self.ask(
            "POST",
            path,
            json.dumps(fields).encode(),
            Content_Type="application/json",
            Authorization=f"Api-Key {KEY}",
        )
        assert answer.status in {200, 201}, answer.body
        return json.loads(answer.body)
