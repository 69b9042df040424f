#!/usr/bin/env bash
# Runs a command with its temporary files in memory, where there are 4 GB for them: tests kill processes, not machines,
# and two fifths of their time went into syncing a disk. TMPDIR, where it is set, is left as it is.
set -euo pipefail

memory=/dev/shm
free=$(df --output=avail -k "$memory" 2>/dev/null | tail -n 1 || echo 0)
if [ -z "${TMPDIR:-}" ] && [ -w "$memory" ] && [ "$free" -ge $((4 * 1024 * 1024)) ]; then
    TMPDIR=$(mktemp -d "$memory/esb-tests-XXXXXX")
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
    chmod 711 "$TMPDIR"  # PostgreSQL, started by root, runs as somebody else
fi
"$@"
