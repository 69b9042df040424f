"""The scenarios that every broker must pass: subclass :class:`BrokerSuite` in a test module, and pytest runs them.

What the subclass provides:

``features``
    a class attribute, :class:`BrokerFeatures`: what this broker promises beyond the port.
``address``
    a fixture: ``(url, data_dir)`` of a broker that is empty and this test's own, as ``esb.broker.open_broker`` takes
    it. Scenarios open it as often as they like, from other processes too.
``server``
    a fixture with ``kill()`` and ``start()``, where ``features.server`` says there is a server to kill.

Nothing here knows which broker it runs against. Waiting is for conditions, with some patience before a condition
counts as never met; the only times asserted are lower bounds of delays.
"""

from __future__ import annotations

from esb.testing._broker.given import BrokerFeatures
from esb.testing._broker.large import LargeScenarios
from esb.testing._broker.leases import LeaseScenarios
from esb.testing._broker.publishing import OutcomeScenarios, PublishScenarios
from esb.testing._broker.single import SingleScenarios
from esb.testing._broker.transfers import DelayScenarios, TransferScenarios
from esb.testing._broker.upkeep import UpkeepScenarios

__all__ = ["BrokerFeatures", "BrokerSuite"]


class BrokerSuite(
    PublishScenarios,
    OutcomeScenarios,
    LeaseScenarios,
    LargeScenarios,
    SingleScenarios,
    DelayScenarios,
    TransferScenarios,
    UpkeepScenarios,
):
    """All of them."""
