"""Logging in: what is said of a refusal, what must never be shown, and whom TLS trusts."""

from __future__ import annotations

import ssl
import subprocess
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from traffic import (
    CONFIRMED,
    both_ways,
    commands,
    drain,
    port_of,
    publish,
    with_options,
)

from esb.broker.rabbitmq import RabbitMqBroker
from esb.errors import BrokerDown
from esb.testing.proxy import Proxy

pytestmark = pytest.mark.rabbitmq


def test_a_wrong_password_is_said_and_never_shown(rabbitmq: Any) -> None:
    """The error names the server and what to do; neither it nor any repr holds the password."""
    host, port = port_of(rabbitmq.url)
    broker = RabbitMqBroker(f"amqp://esb:s3cr%40t-canary@{host}:{port}/%2F")
    with pytest.raises(BrokerDown, match="check user, password and rights") as failure:
        broker.check()
    texts = [str(failure.value), *map(repr, (failure.value, failure.value.__cause__, broker, broker._settings))]
    assert not any("canary" in text or "s3cr" in text for text in texts)


def test_a_missing_virtual_host_is_named(rabbitmq: Any) -> None:
    """Not "connection reset", but what is missing."""
    broker = RabbitMqBroker(rabbitmq.url.replace("%2F", "nowhere"))
    with pytest.raises(BrokerDown, match=r"nowhere.*check the virtual host"):
        broker.check()


def test_nobody_there_is_broker_down() -> None:
    """Each use says so, and waits a little longer each time instead of spinning."""
    from esb.testing.servers import free_port

    publisher = RabbitMqBroker(f"amqp://127.0.0.1:{free_port()}").publisher()
    for _ in range(3):
        with pytest.raises(BrokerDown, match="refused"):
            publisher.publish(commands(1))
    publisher.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate, good for ``localhost`` only."""
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    rest = ["subjectAltName=DNS:localhost", "-keyout", file, "-out", f"{file}.crt"]
    subprocess.run([*command.split(), *rest], check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def _tls(certificate: Path, newest: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # an old version is the point of it
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    return context


@both_ways
def test_tls_carries_messages_of_any_size(broker: RabbitMqBroker, url: str, certificate: Path) -> None:
    """Many records to a message, and many messages to a record."""
    parts = urlsplit(url)
    with Proxy(port_of(url), _tls(certificate, ssl.TLSVersion.TLSv1_3)) as proxy:
        login = f"{parts.username}:{parts.password}@localhost:{proxy.port}{parts.path}"
        secure = RabbitMqBroker(with_options(f"amqps://{login}?ca_certs={certificate}.crt", parts.query))
        for size in (100_000, 10):
            assert publish(secure, commands(30, "a", size)) == [CONFIRMED] * 30
            assert drain(secure, "a", 30) == list(range(30))
        secure.close()


@pytest.mark.parametrize(
    ("host", "trusted", "newest", "reason"),
    [
        ("127.0.0.1", True, ssl.TLSVersion.TLSv1_3, "mismatch|not valid for"),
        ("localhost", False, ssl.TLSVersion.TLSv1_3, "self.signed"),
        ("localhost", True, ssl.TLSVersion.TLSv1_1, "(?i)protocol|version|alert"),
    ],
)
def test_tls_is_refused_for_the_wrong_reasons_to_trust(
    rabbitmq: Any, certificate: Path, host: str, trusted: bool, newest: ssl.TLSVersion, reason: str
) -> None:
    """Another host's certificate, one that nobody vouches for, and TLS before 1.2 are no connection."""
    with Proxy(port_of(rabbitmq.url), _tls(certificate, newest)) as proxy:
        ca = f"?ca_certs={certificate}.crt" if trusted else ""
        broker = RabbitMqBroker(f"amqps://esb:pw@{host}:{proxy.port}/{ca}")
        with pytest.raises(BrokerDown, match=reason):
            broker.check()
