"""What the script adds, what works without it, and that it asks only while somebody looks."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.ui.conftest import NAME, PASSWORD


def test_the_keyboard_leads_everywhere(page, site):
    """g and a letter goes to an area, ? shows the keys, Escape closes them."""
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url(f"{site.url}/audit")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next and previous row")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("j")
    expect(page.locator("tr[aria-selected=true]")).to_have_count(1)


def test_a_flow_is_paused_without_the_script(tab, site, signed_in):
    """And goes on again; who did it and why is shown meanwhile."""
    page = tab(storage_state=signed_in, java_script_enabled=False)
    for word, said in (("Pause", "archive is paused"), ("Resume", "archive goes on")):
        page.goto(f"{site.url}/flows/archive")
        page.locator(".actions summary", has_text=word).click()
        page.locator(".actions details[open]").get_by_label("Reason").fill("stocktaking")
        page.locator(".actions details[open]").get_by_role("button", name=word).click()
        expect(page.locator("#notices")).to_contain_text(said)
        expect(page.get_by_text("stocktaking")).to_have_count(1 if word == "Pause" else 0)


def test_keys_are_letters_where_one_writes(page, site):
    """A g in a field is a g."""
    page.goto(f"{site.url}/audit")
    page.get_by_label("Who").fill("")
    page.get_by_label("Who").press_sequentially("ga?")
    expect(page.get_by_label("Who")).to_have_value("ga?")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_page_keeps_itself_up_to_date(page, site):
    """Only what changed is sent: 304 otherwise. Nobody has to load it again, and it can be paused."""
    page.clock.install()
    page.goto(f"{site.url}/audit")
    asked = re.compile(rf"{site.url}/audit$")
    with page.expect_response(asked) as first:
        page.clock.run_for(5000)
    assert first.value.request.headers["x-esb-live"] == "1"
    with page.expect_response(asked) as second:
        page.clock.run_for(5000)
    assert second.value.status == 304
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Paused")).to_be_visible()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.clock.run_for(20000)
    assert requests == []


def test_a_page_that_nobody_looks_at_asks_for_nothing(page, site):
    """Paused while hidden; at once again when it is seen."""
    page.clock.install()
    page.goto(f"{site.url}/audit")
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); "
    hide += "document.dispatchEvent(new Event('visibilitychange')) }"
    page.evaluate(hide, True)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.clock.run_for(30000)
    assert [url for url in requests if "/static/" not in url] == []  # the browser gets the icon when it likes
    with page.expect_response(f"{site.url}/audit"):
        page.evaluate(hide, False)


def test_the_look_is_switched(page, site):
    """For this browser, at once, and on every page from then on."""
    page.get_by_title("Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"{site.url}/help")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 22)"


def test_everything_works_without_a_script(tab, site, signed_in):
    """Sign in, read, filter, let somebody in with a reason, sign out."""
    page = tab(java_script_enabled=False)
    page.goto(f"{site.url}/audit")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Target begins with").fill(f"user:{NAME}")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr").first).to_contain_text("the first user")
    expect(page.locator("time").first).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"))
    page.get_by_role("link", name="Users").click()
    page.get_by_label("Name").fill("grace")
    page.locator("section").get_by_label("Reason").fill("on duty")
    page.get_by_role("button", name="Add and make a link").click()
    expect(page.locator("#link code")).to_contain_text("/link/")
    row = page.get_by_role("row", name="grace")
    row.get_by_text("Remove").first.click()
    row.get_by_label("Reason").last.fill("only a test")
    row.get_by_role("button", name="Remove").click()
    expect(page.locator("#notices")).to_contain_text("grace is removed.")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
