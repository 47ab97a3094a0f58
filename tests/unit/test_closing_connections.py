"""A client that is closed leaves no connection open, also if a thread was opening one."""

import socket
from contextlib import closing

import httpcore
import pytest

from afnio_tellurio.api.http_client import HttpClient
from afnio_tellurio.api.network import Network, clock


@pytest.fixture
def listener():
    clock.start()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()


def test_a_connection_that_opens_while_its_network_ends_is_closed(listener):
    streams = []

    class Ending(httpcore.SyncBackend):
        def connect_tcp(self, *arguments):
            streams.append(super().connect_tcp(*arguments))
            network.end()
            return streams[0]

    network = Network(Ending())
    with pytest.raises(httpcore.ConnectError, match="the client is closed"):
        network.connect_tcp(*listener)
    assert streams[0].get_extra_info("socket").fileno() == -1


def test_a_closed_client_opens_no_connection(listener):
    client = HttpClient(identified=False)
    (network, *_others) = client._networks
    network.connect_tcp(*listener, timeout=30).close()
    client.close()
    with pytest.raises(httpcore.ConnectError, match="the client is closed"):
        network.connect_tcp(*listener, timeout=30)
