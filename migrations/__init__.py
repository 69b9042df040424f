"""Alembic's revisions of the store, installed as ``esb.migrations``."""
