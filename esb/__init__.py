"""A lightweight enterprise service bus."""

__version__ = "0.1.0"
