"""``python -m esb.cli``: how the supervisor starts its roles, whatever the PATH says."""

from esb.cli import main

main(prog_name="esb")
