#!/usr/bin/env bash
# Installs RabbitMQ and PostgreSQL through apt where the tests would otherwise miss them. Tests start their own
# private nodes; the packages' services are not used.
set -euo pipefail
missing=()
[ -n "${ESB_TEST_BROKER:-}" ] || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
[ -n "${ESB_TEST_DATABASE:-}" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing ${missing[*]} for the tests" >&2
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
$sudo apt-get update -q
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q "${missing[@]}"
