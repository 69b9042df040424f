"""What ``check`` finds in the settings of steps at which messages wait, that repeat, or that people switch."""

from __future__ import annotations

import pytest

WAITING = [
    ("aggregate: {size: 2}", "4:16 bad-value", "say what belongs together"),
    ("aggregate: {by: ticket}", "4:16 bad-value", "say when a group is complete"),
    ("aggregate: {by: contry, size: 2}", "4:21 unknown-path", "'contry'"),
    ("aggregate: {by: country, size: itms}", "4:36 unknown-path", "'itms'"),
    ("aggregate: {by: country, size: 2, late: later}", "4:45 bad-value", "new, park, drop"),
    ("aggregate: {by: country, size: 2, timeout: soon}", "4:48 bad-value", "a duration such as"),
    ("aggregate: {by: country, when: $sum(members.qty}", "4:51 bad-expression", "Expected )"),
    ("aggregate: {by: country, parts: true, size: 2}", "4:16 bad-value", "either by: expression, or parts"),
    ("resequence: {by: country}", "4:17 bad-value", "say what numbers the messages"),
    ("resequence: {number: contry}", "4:26 unknown-path", "'contry'"),
    ("resequence: {number: country, parts: true}", "4:17 bad-value", "either number: expression, or parts"),
    ("resequence: {number: country, timeout: never}", "4:44 bad-value", "a duration such as"),
    ("gather: {ask: [], as: best}", "4:19 bad-value", "at least 1 item"),
    ("gather: {ask: [search], as: 'best of'}", "4:33 bad-value", "best of"),
    ("gather: {ask: [serch], as: best}", "4:20 unknown-endpoint", "'serch'"),
    ("gather: {ask: [search], as: best, least: 5}", "4:13 bad-value", "not so many are asked"),
    ("idempotent: contry", "4:17 unknown-path", "'contry'"),
    ("idempotent: {within: 7d}", "4:17 missing-key", "'by'"),
    ("idempotent: {by: country, repeat: keep}", "4:39 bad-value", "drop, park"),
    ("throttle: {messages: 0, per: 1s}", "4:26 bad-value", "greater than or equal to 1"),
    ("throttle: {messages: 5, per: 0s}", "4:34 bad-value", "greater than 0"),
    ("delay: soon", "4:12 bad-value", "a duration such as"),
    ("delay: {until: contry}", "4:20 unknown-path", "'contry'"),
    ("expire: never", "4:13 bad-value", "a duration such as"),
    ("claim: {keep: {id: contry}}", "4:24 unknown-path", "'contry'"),
    ("claim: {kep: {id: country}}", "4:13 unknown-key", "'kep'"),
    ("fetch: contry", "4:12 unknown-path", "'contry'"),
]
ROUTING = [
    ("recipients: {by: country, among: {}}", "4:38 bad-value", "at least 1 item"),
    ("recipients: {by: contry, among: {GB: search}}", "4:22 unknown-path", "'contry'"),
    ("recipients: {by: country, among: {GB: serch}}", "4:43 unknown-endpoint", "'serch'"),
    (
        "route: {by: country, table: shops, rows: {GB: theirs}, among: {ours: search}}",
        "4:12 bad-value",
        "'theirs' in a row is not among ours",
    ),
    ("route: {by: country, among: {ours: search}}", "4:12 missing-key", "'table'"),
    ("slip: {by: contry, among: {a: {send: search}}}", "4:16 unknown-path", "'contry'"),
    ("loop: {while: country = 'GB', do: {send: search}}", "4:11 missing-key", "'most'"),
    ("loop: {while: contry = 'GB', most: 3, do: {send: search}}", "4:19 unknown-path", "'contry'"),
    ("loop: {while: country = 'GB', most: 0, do: {send: search}}", "4:41 bad-value", "greater than or equal to 1"),
    ("try: [{send: serch}]\n  catch: [{send: search}]", "4:18 unknown-endpoint", "'serch'"),
    ("catch: [{send: search}]", "4:5 unknown-step", "'catch'"),
    ("detour: {send: serch}", "4:20 unknown-endpoint", "'serch'"),
    ("control: {pause: {}, why: country}", "4:22 bad-value", "say which"),
    ("control: {pause: {endpoint: serch}, why: country}", "4:33 unknown-endpoint", "'serch'"),
    ("control: {pause: {flow: saels}, why: country}", "4:29 bad-value", "'saels'"),
    ("control: {throttle: {flow: sales, step: slowly, rate: fast}, why: country}", "4:25 bad-value", "no rate"),
]
CONTENT = [
    ("keep: [contry]", "4:12 unknown-path", "'contry'"),
    ("keep: []", "4:11 bad-value", "at least 1 item"),
    ("remove: [contry]", "4:14 unknown-path", "'contry'"),
    ("wrap: {set: {a: country}}", "4:11 missing-key", "'as'"),
    ("unwrap: contry", "4:13 unknown-path", "'contry'"),
    ("call: {to: serch, as: x}", "4:16 unknown-endpoint", "'serch'"),
]


@pytest.mark.parametrize(("step", "where", "piece"), [*WAITING, *ROUTING, *CONTENT])
def test_a_mistake_is_one_finding_at_its_place(bench, step, where, piece):
    """Each says what is wrong, and where in the line."""
    errors = [found for found in bench.check(f"- {step}").findings if found.level == "error"]
    assert [f"{found.line}:{found.column} {found.kind}" for found in errors] == [where], errors
    assert piece in f"{errors[0].text} {errors[0].value}"
