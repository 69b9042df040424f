"""Deciding where to go: ``filter``, ``choose``, ``split``."""

from __future__ import annotations

import json

import pytest

from esb.flow import PART

PARTS = {"ticket": "1", "country": "GB", "items": [{"n": 1}, {"n": "x"}, {"n": 3}]}


def bodies(result):
    assert result.error is None, result.error
    return [json.loads(send.message.body) for send in result.sends]


def outcomes(result):
    return [(trace.step, trace.outcome) for trace in result.steps]


@pytest.mark.parametrize("steps", ["- filter: country = 'GB'", "- filter: {when: country = 'GB'}"])
def test_filter_lets_pass_what_is_true(bench, steps):
    """In either form."""
    result = bench.run(f"{steps}\n- send: search")
    assert (result.status, len(result.sends)) == ("completed", 1)
    result = bench.run(f"{steps}\n- send: search", {"ticket": "1", "country": "DE"})
    assert (result.status, len(result.sends)) == ("filtered", 0)
    assert outcomes(result) == [("filter", "filtered")]


def test_what_was_sent_before_a_filter_stays_sent(bench):
    """The filter ends the message, it does not undo."""
    result = bench.run("- send: search\n- filter: country = 'DE'\n- send: search")
    assert (result.status, len(result.sends)) == ("filtered", 1)


@pytest.mark.parametrize(("condition", "given"), [("country", '"GB"'), ("nowhere", "nothing"), ("$count(items)", "2")])
@pytest.mark.parametrize("step", ["- filter: {}", "- choose: [{{when: {}, do: {{send: search}}}}]"])
def test_a_condition_that_is_no_yes_or_no_fails_the_message(bench, message, step, condition, given):
    """It is never quietly false."""
    result = bench.flow(step.format(condition), source="open").run(message(type="any", version=0))
    assert (result.status, result.error.kind) == ("failed", "expression")
    assert f"gives {given}: it must be true or false" in str(result.error)


def test_choose_takes_the_first_branch_that_matches(bench):
    """Its document goes on behind the step."""
    steps = """
        - choose:
            - {when: country = "DE", do: {set: {way: 1}}}
            - {when: country = "GB", do: [{set: {way: 2}}, {set: {more: 1}}]}
            - {when: country = "GB", do: {set: {way: 3}}}
            - {otherwise: {set: {way: 4}}}
        - map: {set: {way: way, more: more}}
        - send: search
        """
    assert bodies(bench.run(steps, source="open")) == [{"way": 2, "more": 1}]
    assert bodies(bench.run(steps, {"country": "FR"}, source="open", type="any")) == [{"way": 4}]


def test_choose_without_a_match_goes_on_unchanged_and_says_so(bench):
    """No branch, no otherwise: nothing happens, visibly."""
    result = bench.run("- choose: [{when: country = 'DE', do: {send: search}}]\n- send: warehouse.note")
    assert [send.operation for send in result.sends] == ["note"]
    assert outcomes(result)[0] == ("choose", "no branch")


def test_the_trace_tells_the_branch_taken_before_its_steps(bench):
    """The condition itself, or otherwise."""
    steps = "- choose: [{when: country = 'GB', do: {send: search}}, {otherwise: {send: warehouse.note}}]"
    assert outcomes(bench.run(steps)) == [("choose", "country = 'GB'"), ("send:search", "search")]
    assert outcomes(bench.run(steps, {"ticket": "1", "country": "x"}))[0] == ("choose", "otherwise")


def test_a_filter_in_a_branch_ends_the_message(bench):
    """Also for the steps behind the choose."""
    result = bench.run("- choose: [{when: country = 'GB', do: {filter: country = 'DE'}}]\n- send: search")
    assert (result.status, result.sends) == ("filtered", ())


def test_an_error_in_a_branch_names_the_step_in_it(bench):
    """The innermost step, at its own line."""
    result = bench.run("""
        - choose:
            - when: country = "GB"
              do:
                - send: search
                - send: warehouse.order
        """)
    assert result.step == "send:warehouse.order"
    assert "(flows/sales.yaml:8)" in str(result.error)


def test_split_runs_each_part_through_its_body_and_goes_on_undivided(bench, message):
    """The parts are messages of their own; behind the step the whole document is in force again."""
    result = bench.run("- split: {each: items, do: {send: search}}\n- send: warehouse.note")
    assert bodies(result) == [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}, json.loads(message().body)]


def test_split_in_short_takes_the_rest_of_the_flow_as_its_body(bench):
    """Each step behind it sees one part."""
    result = bench.run("- split: items\n- filter: qty > 1\n- send: search\n- send: warehouse.note", source="open")
    assert bodies(result) == [{"sku": "B", "qty": 2}] * 2
    assert result.status == "completed"


def test_a_short_split_in_a_branch_takes_the_rest_of_the_branch(bench):
    """Behind the choose the whole document goes on."""
    result = bench.run(
        "- choose: [{when: country = 'GB', do: [{split: items}, {send: search}]}]\n- send: warehouse.note"
    )
    assert [send.operation for send in result.sends] == ["index", "index", "note"]
    assert bodies(result)[2]["ticket"] == "4711"


def test_ids_of_parts_derive_from_the_message_and_those_of_their_sends_from_the_part(bench):
    """So a part keeps its identity and its family."""
    result = bench.run("- split: {each: items, do: {send: search}}")
    split = result.steps[0]
    assert (split.step, split.outcome, len(set(split.children))) == ("split", "2 parts", 2)
    assert [send.message.causation_id for send in result.sends] == list(split.children)
    assert len({send.message.id for send in result.sends}) == 2
    assert [trace.part for trace in result.steps] == ["", *split.children]
    assert bench.run("- split: {each: items, do: {send: search}}").steps == result.steps


@pytest.mark.parametrize(
    ("items", "count"), [([], 0), (None, 0), ({"a": 1}, 1), ([1, [2], "x"], 3), ("text", 1), (0, 1), (False, 1)]
)
def test_a_single_value_is_one_part_and_nothing_is_none(bench, items, count):
    """JSONata gives a list of one as its element, so it must count as one."""
    result = bench.run("- split: {each: items, do: {send: search}}", {"items": items}, source="open", type="any")
    assert (result.status, len(bodies(result))) == ("completed", count)


def test_parts_are_independent(bench):
    """One that fails is parked as its own message; the others and the whole go on."""
    result = bench.run(
        "- split: {each: items, do: [{send: search}, {set: {d: $number(n)}}, {send: search}]}\n- send: warehouse.note",
        PARTS,
    )
    assert result.status == "completed"
    assert [b.get("n") for b in bodies(result)] == [1, 1, 3, 3, None]
    (failure,) = result.children
    assert json.loads(failure.message.body) == {"n": "x"}
    assert failure.message.id == result.steps[0].children[1]
    assert (failure.split, failure.step, failure.error.kind) == ("split", "set", "mapping")
    assert "flow sales, step set (flows/sales.yaml:4)" in str(failure.error)
    assert result.steps[0].outcome == "3 parts, 1 failed"


def test_a_parked_part_goes_on_in_the_body_of_its_split(bench, message):
    """After the cause is removed the retry gives what the part would have given, with the same ids."""
    steps = "- split: {each: items, do: [{set: {d: $number(n)}}, {send: search}]}\n- send: warehouse.note"
    flow = bench.flow(steps)
    failure = flow.run(message(PARTS)).children[0]
    again = flow.run(failure.message, failure.properties[PART])
    assert (again.status, again.step) == ("failed", "set")
    healed = bench.flow(steps.replace("$number(n)", "n")).run(failure.message, failure.properties[PART])
    whole = bench.flow(steps.replace("$number(n)", "n")).run(message(PARTS))
    assert bodies(healed) == [{"n": "x", "d": "x"}]
    assert healed.sends[0] == whole.sends[1]


def test_a_part_whose_split_is_gone_stays_parked_with_the_reason(bench, message):
    """The definition changed meanwhile: that is for a person."""
    result = bench.flow("- send: search").run(message({"n": 1}, type="x"), "split:old")
    assert result.status == "failed"
    assert "split 'split:old', which is no longer in the flow" in str(result.error)


def test_together_publishes_none_if_one_fails(bench):
    """The whole message fails, at the step in the part."""
    result = bench.run("- split: {each: items, together: true, do: [{set: {d: $number(n)}}, {send: search}]}", PARTS)
    assert (result.status, result.sends, result.children, result.step) == ("failed", (), (), "set")
    assert "flow sales, step set (flows/sales.yaml:4)" in str(result.error)


def test_together_publishes_all_if_none_fails(bench):
    """Then it is like any split."""
    result = bench.run("- split: {each: items, together: true, do: {send: search}}")
    assert len(bodies(result)) == 2


def test_together_counts_failures_of_parts_within_parts(bench):
    """All or none goes all the way down."""
    inner = "{split: {each: n, do: [{set: {x: 1}}, {send: search}]}}"
    document = {"ticket": "1", "items": [{"n": [{"ok": 1}, 7]}]}
    result = bench.run(f"- split: {{each: items, together: true, do: [{inner}]}}", document, source="open", type="any")
    assert (result.status, result.sends, result.children) == ("failed", (), ())
    assert "a part within a part failed" in str(result.error)
    independent = bench.run(f"- split: {{each: items, do: [{inner}]}}", document, source="open", type="any")
    assert (independent.status, len(independent.sends), len(independent.children)) == ("completed", 1, 1)


def test_a_filter_in_the_body_filters_only_the_part(bench):
    """The message itself is completed."""
    result = bench.run("- split: {each: items, do: [{filter: qty > 1}, {send: search}]}", source="open")
    assert (result.status, bodies(result)) == ("completed", [{"sku": "B", "qty": 2}])


def test_parts_claim_no_contract(bench):
    """A part of a sale is no sale."""
    result = bench.run("- split: {each: items, do: {send: search}}")
    assert {(send.message.type, send.message.version) for send in result.sends} == {("sale", 0)}


def test_split_can_put_neighbours_into_one_part(bench):
    """The last one has what is left; paths within the lines are known to the check."""
    lines = [{"sku": str(n)} for n in range(5)]
    result = bench.run("- split: {each: items, batch: 2, do: {send: search}}", {"ticket": "1", "items": lines})
    assert [json.loads(send.message.body) for send in result.sends] == [
        {"lines": lines[:2]}, {"lines": lines[2:4]}, {"lines": lines[4:]}
    ]  # fmt: skip
    named = bench.run(
        "- split: {each: items, batch: 9, lines: all, do: {send: search}}", {"ticket": "1", "items": lines}
    )
    assert [json.loads(send.message.body) for send in named.sends] == [{"all": lines}]
    assert bench.run("- split: {each: items, batch: 2, do: {send: search}}", {"ticket": "1"}).sends == ()


def test_a_batch_is_checked(bench):
    """What lies in its lines is what lay in the list."""
    lines = {"type": "array", "items": {"type": "object", "properties": {"sku": {}}}}
    bench.write("contracts/sale/v1.json", json.dumps({"type": "object", "properties": {"rows": lines}}))
    found = bench.check("""
        - split: {each: rows, batch: 2, do: [{filter: lines.sku = "1"}, {filter: lines.skuu = "1"}, {filter: rows = 1}]}
        - split: {each: rows, lines: all, do: {send: search}}
        - split: {each: rows, batch: 0, do: {send: search}}
        """).findings
    errors = [(f.line, f.kind) for f in found if f.level == "error" and f.file == "flows/sales.yaml"]
    assert errors == [(4, "unknown-path"), (4, "unknown-path"), (5, "bad-value"), (6, "bad-value")]
