"""RabbitMQ with ``frames=plain`` under the shared suite; the tests of RabbitMQ itself say which hold for both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from traffic import with_options

from esb.broker import open_broker
from esb.broker.port import Broker
from esb.testing.broker import BrokerSuite

pytestmark = pytest.mark.rabbitmq


class TestPlainFrames(BrokerSuite):
    """The scenarios that every broker passes."""

    @pytest.fixture
    def opener(self, url: str) -> Iterator[Callable[[], Broker]]:
        """Everything of ours goes through py-amqp."""
        with ExitStack() as opened:

            def another() -> Broker:
                broker = open_broker(with_options(url, "frames=plain"), "")
                opened.callback(broker.close)
                return broker

            yield another

    @pytest.fixture
    def address(self) -> None:
        pytest.skip("what a killed process leaves behind lies in the server, whose frames it sent")

    def test_the_check_says_that_it_is_slower(self, broker: Broker) -> None:
        """So that nobody forgets what was meant for a while."""
        assert "(frames=plain: slower)" in broker.check()
