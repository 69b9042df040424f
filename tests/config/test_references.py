"""Values from outside the files: environment, secrets, overlays. What is secret is never shown."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from pydantic import SecretStr
from shops import Shop, place

from esb.broker_url import parse
from esb.config import format_findings, redact, to_json

TOKEN = "t0ken-of-the-warehouse"


def test_variable_and_its_default(shop: Shop) -> None:
    """``${NAME}`` takes the environment's value, else the default behind ``:-``; ``$${`` is a plain ``${``."""
    shop.edit("endpoints/warehouse.yaml", '"${WAREHOUSE_URL}"', '"${WAREHOUSE_URL}/${PATH_:-v1}/$${x}"')
    assert shop.definition().endpoints["warehouse"].settings.url == "http://warehouse/v1/${x}"


def test_missing_variable(shop: Shop) -> None:
    """One finding at the value, with the nearest variable there is, and none about the empty value."""
    shop.edit("endpoints/warehouse.yaml", "${WAREHOUSE_URL}", "${WAREHOUSE_URI}")
    found = shop.only()
    assert place(found) == "endpoints/warehouse.yaml:3:17 missing-variable"
    assert found.hint == "WAREHOUSE_URL"


def test_secret_reaches_the_model_hidden(shop: Shop) -> None:
    """The model holds a SecretStr; neither it nor the files, nor the hash, nor a text show the value."""
    definition = shop.definition()
    assert definition.endpoints["warehouse"].settings.auth.bearer == SecretStr(TOKEN)
    assert TOKEN not in repr(definition)
    assert TOKEN not in str(definition.files)
    before = definition.hash
    shop.environ["WAREHOUSE_TOKEN"] = "another-one"
    assert shop.definition().hash == before


def test_secret_in_a_file(shop: Shop) -> None:
    """The path starts from the bus directory; the line end behind the secret is not part of it."""
    shop.edit("endpoints/warehouse.yaml", "secret:env:WAREHOUSE_TOKEN", "secret:file:secrets/token")
    assert place(shop.only()) == "endpoints/warehouse.yaml:3:52 missing-secret"
    shop.write("secrets/token", "from-a-file\n")
    assert shop.definition().endpoints["warehouse"].settings.auth.bearer == SecretStr("from-a-file")


@pytest.mark.parametrize("content", ["", "\n", " \t\r\n\n"])
def test_secret_that_says_nothing(shop: Shop, content: str) -> None:
    """An empty secret is known to everybody, so it is as good as missing: in a file and in a variable."""
    shop.environ["WAREHOUSE_TOKEN"] = content
    found = shop.only()
    assert place(found) == "endpoints/warehouse.yaml:3:52 missing-secret"
    assert (found.level, found.hint) == ("error", "")
    assert "The variable WAREHOUSE_TOKEN, which this secret refers to, is empty" in found.text
    shop.edit("endpoints/warehouse.yaml", "secret:env:WAREHOUSE_TOKEN", "secret:file:secrets/token")
    shop.write("secrets/token", content)
    found = shop.only()
    assert place(found) == "endpoints/warehouse.yaml:3:52 missing-secret"
    assert "The secret file secrets/token is empty" in found.text


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("hunter2", "inline-secret"),
        ("${WAREHOUSE_URL}", "inline-secret"),
        ("secret:WAREHOUSE_TOKEN", "bad-value"),
        ("secret:env:", "bad-value"),
    ],
)
def test_secret_that_is_no_reference(shop: Shop, value: str, kind: str) -> None:
    """A value in the file is refused, and the finding does not repeat it."""
    shop.edit("endpoints/warehouse.yaml", "secret:env:WAREHOUSE_TOKEN", value)
    found = shop.only()
    assert place(found) == f"endpoints/warehouse.yaml:3:52 {kind}"
    assert "hunter2" not in str(found)
    assert found.value != "hunter2"


def test_secret_where_none_is_expected(shop: Shop) -> None:
    """A secret in a setting that is shown would be no secret."""
    shop.edit("endpoints/warehouse.yaml", "${WAREHOUSE_URL}", "secret:env:WAREHOUSE_TOKEN")
    found = shop.only()
    assert place(found) == "endpoints/warehouse.yaml:3:17 wrong-type"
    assert TOKEN not in str(found)


def test_secret_that_is_missing_where_none_is_expected(shop: Shop) -> None:
    """One finding, about the place, also beside a secret that is missing where it may stand."""
    shop.edit("endpoints/warehouse.yaml", "${WAREHOUSE_URL}", "secret:file:secrets/url")
    del shop.environ["WAREHOUSE_TOKEN"]
    found = {place(f): f.text for f in shop.findings() if f.level == "error"}
    where = "endpoints/warehouse.yaml:3:17 wrong-type"
    assert found.keys() == {where, "endpoints/warehouse.yaml:3:59 missing-secret"}
    assert "A value from the environment is written ${NAME} here." in found[where]


def test_findings_never_show_what_the_environment_gave(shop: Shop) -> None:
    """A finding shows a value as it is written, not as it was resolved."""
    shop.write("esb.yaml", 'broker: "${BROKER}"\n')
    shop.environ["BROKER"] = "ftp://bus:pa55word@host"
    checked = shop.inspect()
    assert [place(f) for f in checked.findings] == ["esb.yaml:1:9 bad-value"]
    assert "pa55word" not in format_findings(checked.findings, checked.sources)
    assert b"pa55word" not in to_json(checked.findings)


@pytest.mark.parametrize(
    ("options", "said"), [("frames=plane", "frames must be one of bulk, plain"), ("heartbeet=5", "mean heartbeat")]
)
def test_an_option_of_the_broker_that_there_is_not(shop: Shop, options: str, said: str) -> None:
    """Found before anything starts, and without the password, also where the whole URL is the environment's."""
    shop.environ["ESB_BROKER"] = f"amqp://bus:pa55word@host/?{options}"
    checked = shop.inspect()
    assert [(f.kind, f.file) for f in checked.findings] == [("bad-value", "$ESB_BROKER")]
    text = format_findings(checked.findings, checked.sources)
    assert said in text
    assert "pa55word" not in text
    assert b"pa55word" not in to_json(checked.findings)


def test_broker_and_database_from_the_environment(shop: Shop) -> None:
    """ESB_BROKER and ESB_DATABASE go before the files; their passwords are known as secrets."""
    shop.environ |= {"ESB_BROKER": "amqp://bus:br0ker@h/", "ESB_DATABASE": "postgresql://bus:d4tabase@h/esb"}
    definition = shop.definition("prod")
    assert definition.config.broker == "amqp://bus:br0ker@h/"
    assert definition.config.database == "postgresql://bus:d4tabase@h/esb"
    said = redact("cannot reach amqp://bus:br0ker@h/ nor d4tabase", definition.secrets)
    assert said == "cannot reach amqp://bus:***@h/ nor ***"


@pytest.mark.parametrize(
    "written",
    [
        "broker: amqp://shop:hunter2-long@broker.example/shop",
        "broker: amqps://shop:hunter2-long@broker.example",
        "broker: amqp://${NOBODY:-shop}:hunter2-long@broker.example",
        "broker: amqp://shop:hunter2-long${NOBODY:-}@broker.example",
        "broker: amqp://guest:guest@127.0.0.1/",
        "database: postgresql://shop:hunter2-long@db.example/shop",
        "database: postgresql+psycopg://shop:hunter2%2Dlong@db.example/shop",
        "database: postgresql://db.example/shop?user=shop&password=hunter2-long",
    ],
)
@pytest.mark.parametrize("file", ["esb.yaml", "esb.prod.yaml"])
def test_a_password_in_a_url_of_a_server(shop: Shop, file: str, written: str) -> None:
    """It would be in Git, and in the store with the definition: refused in each file, whatever goes before it."""
    shop.write("esb.prod.yaml", "{}")
    shop.write(file, written)
    shop.environ |= {"ESB_BROKER": "embedded", "ESB_DATABASE": "embedded"}
    found = shop.only("prod")
    column = written.index(" ") + 2
    assert place(found) == f"{file}:1:{column} inline-secret"
    assert "${NAME}" in found.text and "secret:file:PATH" in found.text
    assert b"hunter2" not in to_json([found])


@pytest.mark.parametrize(
    "written",
    [
        "broker: amqp://shop:${PASSWORD}@broker.example/shop",
        "broker: amqp://shop:${PASSWORD:-guest}@broker.example/shop",
        "broker: ${URL}",
        "broker: secret:env:URL",
        "broker: secret:file:secrets/broker",
    ],
)
def test_a_url_of_a_server_by_reference(shop: Shop, written: str) -> None:
    """Its password alone, or the whole; known as a secret, and not shown."""
    url = "amqp://shop:hunter2-long@broker.example/shop"
    shop.environ |= {"PASSWORD": "hunter2-long", "URL": url}
    shop.write("secrets/broker", url)
    shop.write("esb.yaml", written)
    definition = shop.definition()
    assert definition.config.broker.startswith("amqp://shop")
    assert "hunter2" not in redact(f"cannot log in at {url} with hunter2-long", definition.secrets)
    assert "hunter2" not in repr(definition)


def test_a_url_of_a_server_without_a_password(shop: Shop) -> None:
    """A port is none; PostgreSQL may ask for a certificate, and a RabbitMQ at home for nothing."""
    shop.write("esb.yaml", "broker: amqp://me@h:5672/v?heartbeat=9\ndatabase: postgresql://h:5432/d?user=me\n")
    assert shop.findings() == []


def test_a_url_of_a_server_whose_secret_is_missing(shop: Shop) -> None:
    """One finding, and none about the empty value; one that is no URL is not shown."""
    shop.write("esb.yaml", "database: secret:env:NO_SUCH_URL")
    assert place(shop.only()) == "esb.yaml:1:11 missing-secret"
    shop.environ["NO_SUCH_URL"] = "mysql://me:hunter2-long@h"
    assert place(shop.only()) == "esb.yaml:1:11 bad-value"
    assert b"hunter2" not in to_json(shop.findings())


@pytest.mark.parametrize(
    ("given", "password"),
    [
        ("plain-1~!$&'()*+,;=", "plain-1~!$&'()*+,;="),
        ("p@ss", "p@ss"),
        ("a/b?c#d [e]", "a/b?c#d [e]"),
        ("a:b@c", "a:b@c"),
        ("50%", "50%"),
        ("50%@x%41", "50%@x%41"),
        ("p%40ss", "p@ss"),
        ("p%40ssä", "p@ssä"),
    ],
)
def test_password_in_a_url(shop: Shop, given: str, password: str) -> None:
    """``${NAME}`` in the place of a user or password is encoded where it must be. What was encoded by hand is left."""
    shop.write(
        "esb.yaml",
        "broker: amqp://bus:${P}@h:5672/x?ca_certs=/a@b\ndatabase: postgresql://${U}:${P}@${HOST:-h}:5432/esb\n",
    )
    shop.environ |= {"P": given, "U": "shop@corp"}
    definition = shop.definition()
    settings = parse(definition.config.broker)
    assert (settings.host, settings.user, settings.password, settings.vhost) == ("h", "bus", password, "x")
    parts = urlsplit(definition.config.database)
    assert (parts.hostname, unquote(parts.username), unquote(parts.password)) == ("h", "shop@corp", password)
    if len(password) >= 4:
        said = redact(f"no {definition.config.database} for {password}", definition.secrets)
        assert said == "no postgresql://shop%40corp:***@h:5432/esb for ***"


def test_variables_of_a_url_that_are_no_password(shop: Shop) -> None:
    """A host, a path, a whole URL, or user and password in one: nothing but what would break the URL is changed."""
    shop.edit("endpoints/warehouse.yaml", '"${WAREHOUSE_URL}"', '"https://${HOST}/${PATH_}?to=${MAIL}"')
    shop.write("esb.yaml", "broker: ${BROKER}\ndatabase: postgresql://${LOGIN}@h/esb\n")
    shop.environ |= {"HOST": "h:8443", "PATH_": "a/b", "MAIL": "me@x", "BROKER": "amqp://a:b@h/", "LOGIN": "bus:p@ss"}
    definition = shop.definition()
    assert definition.endpoints["warehouse"].settings.url == "https://h:8443/a/b?to=me@x"
    assert definition.config.broker == "amqp://a:b@h/"
    assert definition.config.database == "postgresql://bus:p%40ss@h/esb"


@pytest.mark.parametrize("password", ["pa55@word", "pa55/w@rd", "p@55:w@rd"])
def test_password_that_was_not_encoded_in_a_whole_url(shop: Shop, password: str) -> None:
    """It is masked up to the last @, whatever stands in it."""
    url = f"postgresql://bus:{password}@h/esb"
    shop.environ["ESB_DATABASE"] = url
    assert redact(f"no {url}", shop.definition().secrets) == "no postgresql://bus:***@h/esb"


def test_overlay_changes_what_it_names_and_nothing_else(shop: Shop) -> None:
    """Deep, key by key: esb.prod.yaml over esb.yaml and over endpoints."""
    plain, prod = shop.definition(), shop.definition("prod")
    assert (plain.config.recovery.retries, prod.config.recovery.retries) == (1, 3)
    assert prod.config.recovery.delays == plain.config.recovery.delays == (5.0, 60.0)
    warehouse = prod.endpoints["warehouse"]
    assert warehouse.settings.url == "https://warehouse.example"
    assert warehouse.settings.auth.bearer == SecretStr(TOKEN)
    assert warehouse.recovery.retries == 3
    assert warehouse.recovery.breaker.failures == 3
    assert plain.hash != prod.hash


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("  warehouse:", "  warehose:", "esb.prod.yaml:4:3 unknown-endpoint"),
        ("settings:", "setings:", "esb.prod.yaml:5:5 unknown-key"),
        ("retries: 3", "retries: -3", "esb.prod.yaml:2:21 bad-value"),
    ],
)
def test_mistake_in_an_overlay_has_its_place_there(shop: Shop, old: str, new: str, where: str) -> None:
    """The finding names the overlay, not the file below it."""
    shop.edit("esb.prod.yaml", old, new)
    assert place(shop.only("prod")) == where


def test_environment_without_an_overlay(shop: Shop) -> None:
    """The environments there are, and the nearest."""
    found = shop.only("prd")
    assert place(found) == "esb.yaml:1:1 missing-file"
    assert found.hint == "prod"


def test_name_of_an_environment_is_no_path(shop: Shop) -> None:
    """``--env ../x`` reads nothing outside."""
    assert place(shop.only("../x")) == "esb.yaml:1:1 bad-value"
