"""Broker URLs: what they say, and what they must never show."""

from __future__ import annotations

import pytest

from esb.broker_url import parse, redact
from esb.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("amqp://u:pw@h/v?heartbeet=5", "did you mean heartbeat"),
        ("amqp://u:pw@h/v?frames=plane", "one of bulk, plain, not 'plane'"),
        ("amqp://u:pw@h/v?heartbeat=soon", "number of seconds"),
        ("amqp://u:pw@h/v?heartbeat=0", "between 1 and 3600"),
        ("amqp://u:pw@h:port/v", r"amqp://u:\*\*\*@h:port/v"),
        ("http://u:pw@h", "must begin with amqp"),
    ],
)
def test_a_url_that_says_nonsense_is_a_config_error(url: str, reason: str) -> None:
    """With what is wrong, the nearest valid word, and without the password."""
    with pytest.raises(ConfigError, match=reason) as failure:
        parse(url)
    assert "pw" not in str(failure.value)


def test_a_url_is_read_with_its_escapes() -> None:
    """User, password and virtual host may hold any character."""
    settings = parse("amqps://u%40x:p%2Fw@broker.example:5999/v%2Fh?heartbeat=7&ca_certs=/etc/ca.pem")
    assert (settings.user, settings.password, settings.vhost) == ("u@x", "p/w", "v/h")
    assert (settings.host, settings.port, settings.heartbeat, settings.tls) == ("broker.example", 5999, 7, True)
    assert str(settings) == "amqps://broker.example:5999/v/h"
    assert redact("amqp://u:p@w@h/v") == "amqp://u:***@h/v"
