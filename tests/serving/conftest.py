"""The page and the backend as `serve` serves them, over a real socket."""

import pytest
from site_server import Serving


@pytest.fixture
def start_serving(tmp_path):
    started = []

    def start(name="server"):
        started.append(Serving(tmp_path / name))
        return started[-1]

    yield start
    for serving in started:
        serving.close()


@pytest.fixture
def serving(start_serving):
    return start_serving()
