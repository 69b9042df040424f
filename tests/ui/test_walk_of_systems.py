"""A person at the pages of systems: looks at a flow, stops an endpoint, tries a mapping."""

from __future__ import annotations


def test_a_flow_is_drawn_and_leads_to_its_endpoint(page, site):
    """A box of the picture is a link; the keyboard reaches it, too."""
    page.goto(f"{site.url}/flows")
    page.get_by_role("link", name="orders", exact=True).click()
    page.locator("svg.picture a", has_text="orders-out.order").click()
    page.wait_for_url(f"{site.url}/endpoints/orders-out")


def test_an_endpoint_is_tested_paused_and_resumed(page, site):
    """Each act says what came of it, and the page shows who paused it and why."""
    page.goto(f"{site.url}/endpoints/archive")
    page.locator("summary", has_text="Test connection").click()
    page.locator("form button", has_text="Test connection").click()
    page.get_by_text("archive answered").wait_for()
    page.locator("summary", has_text="Pause").click()
    page.locator("details[open]").get_by_label("Reason").fill("stocktaking")
    page.locator("form button", has_text="Pause").click()
    page.get_by_text("stocktaking").wait_for()
    page.locator("summary", has_text="Resume").click()
    page.locator("details[open]").get_by_label("Reason").fill("counted")
    page.locator("form button", has_text="Resume").click()
    page.get_by_text("archive goes on").wait_for()


def test_a_mapping_is_tried_and_its_cases_run(page, site):
    """What is wrong with the document stands beside it; the cases pass."""
    page.goto(f"{site.url}/mappings/row-to-order")
    page.get_by_label("Document (JSON)").fill("{}")
    page.get_by_role("button", name="Try", exact=True).click()
    page.locator(".failure", has_text='"number" is a required property').wait_for()
    page.get_by_role("button", name="Run them").click()
    page.locator("#cases", has_text="passed").wait_for()
