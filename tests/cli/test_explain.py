"""`esb explain`: why a message went where it went."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Run = Callable[..., Result]
WAYS = """\
flow: ways
from: sum/v1
steps:
  - choose:
      - {when: total > 100, do: {set: {a: {const: 1}}}}
      - {when: total > 1, do: {map: {set: {c: b}}}}
      - {otherwise: {set: {d: {const: 1}}}}
"""


def test_a_stored_message_is_explained_by_its_key(esb: Run, ran: Path) -> None:
    """Each step of each flow it came by, with what was read; the definition in force then counts."""
    flow = ran / "flows" / "orders.yaml"
    flow.write_text(flow.read_text().replace("quantity > 0", "quantity > 1000"))
    result = esb("explain", "-C", ran, "O-1001")
    assert result.exit_code == 0, result.output
    assert "O-1001  flow archive: completed" in result.stdout
    result = esb("explain", "-C", ran, "1001")
    assert "1001  flow orders: completed" in result.stdout
    assert "    quantity > 0 is true (quantity is 2)" in result.stdout
    assert esb("explain", "-C", ran, "nobody").exit_code == 3


def test_a_message_that_was_left_out(esb: Run, ran: Path) -> None:
    """The condition with its value; for programs, too."""
    (account,) = json.loads(esb("explain", "-C", ran, "1003", "--json").stdout)
    assert (account["flow"], account["status"]) == ("orders", "filtered")
    assert account["steps"][0]["reasons"][0] == {"what": "quantity > 0", "value": "false", "reads": [["quantity", "0"]]}


def test_a_file_is_explained_without_having_run(esb: Run, shop: Path) -> None:
    """Each message in it, also what would not come in; exit code 1 when one fails."""
    result = esb("explain", "-C", shop, shop / "samples" / "orders.csv", "--flow", "orders")
    assert result.exit_code == 1
    assert result.stdout.count("flow orders:") == 4
    assert "not taken in" in result.stdout
    assert "flow orders: filtered\nfilter" in result.stdout
    assert esb("explain", "-C", shop, "nowhere.csv", "--flow", "orders").exit_code == 3
    assert esb("explain", "-C", shop, "nowhere.csv", "--flow", "ordrs").exit_code == 3


def test_the_way_taken_and_why_not_the_others(esb: Run, shop: Path, tmp_path: Path) -> None:
    """Marked for people; steps on the way stand below it."""
    (shop / "contracts/sum").mkdir()
    (shop / "contracts/sum/v1.json").write_text('{"type": "object", "properties": {"total": {}, "b": {}}}')
    (shop / "flows" / "ways.yaml").write_text(WAYS)
    (tmp_path / "order.json").write_text(json.dumps({"total": 5}))
    said = esb("explain", "-C", shop, tmp_path / "order.json", "--flow", "ways").stdout
    assert said.splitlines()[1:] == [
        "choose  flows/ways.yaml:4",
        "    ✗ total > 100: it is false (total is 5)",
        "    → total > 1 (total is 5)",
        '    ✗ otherwise: "total > 1" came first',
        "  map   flows/ways.yaml:6  mapped",
        "      c: left out: `b` gives nothing",
    ]


PRICED = """\
flow: priced
from: sum/v1
steps:
  - call: {to: prices.ask, as: price}
  - call: {to: prices.ask, as: again}
  - filter: price.left > again.left
"""
PRICES = """\
endpoint: prices
adapter: http
settings: {url: http://127.0.0.1:9}
operations: {ask: {post: /, reply: left/v1, effect: none}}
"""


def test_a_flow_goes_on_with_the_answers_that_it_is_given(esb: Run, shop: Path, tmp_path: Path) -> None:
    """In their order, the last for all that follow; without one it says what it waits for."""
    for ref in ("sum", "left"):
        (shop / "contracts" / ref).mkdir()
        (shop / "contracts" / ref / "v1.json").write_text(
            '{"type": "object", "properties": {"left": {"type": "number"}}}'
        )
    (shop / "flows/priced.yaml").write_text(PRICED)
    (shop / "endpoints/prices.yaml").write_text(PRICES)
    (tmp_path / "sum.json").write_text("{}")
    (tmp_path / "two.json").write_text('{"left": 2}')

    def explain(*replies: str) -> Result:
        more = [text for reply in replies for text in ("--reply", reply)]
        return esb("explain", "-C", shop, tmp_path / "sum.json", "--flow", "priced", *more)

    assert "it waits for the answer of prices.ask: --reply" in explain().stdout
    told = explain(f"prices.ask={tmp_path / 'two.json'}", 'prices.ask={"left": 1}').stdout
    assert "flow priced: completed" in told
    assert "price.left > again.left is true (price.left is 2, again.left is 1)" in told
    assert "flow priced: filtered" in explain('prices.ask={"left": 1}').stdout
    broken = explain('prices.ask={"left": "much"}')
    assert (broken.exit_code, "breaks contract left/v1" in broken.stdout) == (1, True)
    assert explain("prices.aks={}").exit_code == explain("prices.ask=nowhere").exit_code == 2
    assert esb("explain", "-C", shop, "SO-1", "--reply", "prices.ask={}").exit_code == 2
