#!/usr/bin/env bash
# Installs RabbitMQ, PostgreSQL, MariaDB and Chromium through apt where the tests would otherwise miss them. Tests start
# private nodes of their own; the packages' services are not used.
set -euo pipefail

missing=()
[ -n "${ESB_TEST_BROKER:-}" ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
[ -n "${ESB_TEST_DATABASE:-}" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
[ -x /usr/sbin/mariadbd ] || missing+=(mariadb-server)
command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
[ ${#missing[@]} -gt 0 ] || exit 0

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install() {
    command -v apt-get >/dev/null || return 1
    as_root apt-get update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends "$@"
}

echo "installing ${missing[*]} for the tests" >&2
install "${missing[@]}" >&2 && exit 0

cat >&2 <<TEXT
could not install ${missing[*]}. Install what is missing by hand (Debian: apt-get install ${missing[*]}),
or name servers that are there: ESB_TEST_BROKER=amqp://user:password@host/vhost  ESB_TEST_DATABASE=postgresql://user:password@host/name
TEXT
[ -z "${CI:-}" ] || exit 1
echo "tests that need them are skipped" >&2
