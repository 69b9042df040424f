"""What the private servers for tests share."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from esb.testing import servers
from esb.testing.servers import free_port


def test_a_free_port_is_none_that_the_system_gives_to_others():
    """Whoever connects somewhere cannot take it by chance: not before the server starts, nor while it is down."""
    setting = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(setting.read_text().split()[0]) if setting.exists() else 0
    if first <= servers._LOWEST:
        pytest.skip("this system gives nearly all ports to outgoing connections, or does not tell")
    with socket.create_server(("127.0.0.1", 0)) as given:
        handed_out = given.getsockname()[1]
    assert handed_out >= first
    assert all(free_port() < first for _ in range(50))


def test_a_port_that_somebody_has_is_not_free(monkeypatch):
    """Another is taken instead."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        taken = listener.getsockname()[1]
        choices = iter([taken, taken, 20_123])
        monkeypatch.setattr("esb.testing.servers._CHOICE.randrange", lambda *_: next(choices))
        assert free_port() == 20_123


def test_no_two_get_the_same_port(monkeypatch):
    """Between the choice and the start of a server nothing listens: others who choose meanwhile must know."""
    first, second = free_port(), free_port()
    choices = iter([first, second, first, free_port()])
    monkeypatch.setattr("esb.testing.servers._CHOICE.randrange", lambda *_: next(choices))
    with pytest.raises(StopIteration):
        free_port()
