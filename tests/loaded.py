"""What any command of the bus may import, imported, and out of the garbage collector's way: see ``tests.forks``."""

import gc
from importlib import import_module

for _module in (
    "alembic.command",
    "jsonata",
    "jsonschema",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "esb.adapters.file",
    "esb.adapters.http",
    "esb.adapters.sql",
    "esb.admin.app",
    "esb.broker.embedded",
    "esb.broker.rabbitmq",
    "esb.bus",
    "esb.cli.demo",
    "esb.cli.run",
    "esb.gateway.app",
    "esb.gateway.serve",
    "esb.gateway.wsgi",
    "esb.jobs.role",
    "esb.worker.ingress",
):
    import_module(_module)

gc.collect()
gc.freeze()
