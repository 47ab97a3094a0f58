"""A client that is closed leaves no connection open, also if a thread was opening one."""

import socket
import threading
from contextlib import closing

import attrs
import httpcore
import httpx
import pytest

import afnio_tellurio as te
from afnio_tellurio.api import connection as connection_module
from afnio_tellurio.api.http_client import HttpClient
from afnio_tellurio.api.network import Network, clock
from afnio_tellurio.api.pool import Pool


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


def test_a_connection_that_another_thread_uses_after_an_interruption_is_closed(listener):
    url = "http://{}:{}".format(*listener)
    pool = Pool(url, httpx.Auth(), None, is_local=False)
    stream = pool.http._networks[0].connect_tcp(*listener, timeout=30)
    thread = threading.get_ident() + 1
    pool.http._users[thread] = None
    pool.replace()
    assert stream.get_extra_info("socket").fileno() != -1
    pool.close()
    assert stream.get_extra_info("socket").fileno() == -1


def test_threads_that_deliver_first_at_once_share_a_connection_that_closes(monkeypatch):
    pools, others = [], []

    class RecordedPool(Pool):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            pools.append(self)

    def evolve(*arguments, **changes):
        # Another thread is first.
        if not others:
            others.append(None)
            others[0] = connection.for_delivery
        return attrs.evolve(*arguments, **changes)

    monkeypatch.setattr(connection_module, "Pool", RecordedPool)
    monkeypatch.setattr(connection_module, "evolve", evolve)
    with te.TellurioClient("http://127.0.0.1:1") as client:
        connection = client._connection
        assert connection.for_delivery is others[0]
        assert connection.for_delivery is others[0]
    assert len(pools) == 3
    assert all(pool.http.is_closed for pool in pools)


def test_a_closed_pool_opens_no_connection_after_an_interruption():
    pool = Pool("http://127.0.0.1:1", httpx.Auth(), None, is_local=False)
    pool.close()
    pool.replace()
    assert pool.http.is_closed
