"""The scenarios of a broker by subject; see :mod:`esb.testing.broker`."""
