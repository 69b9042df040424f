"""The scenarios of the store by subject; see :mod:`esb.testing.store`."""
