"use strict";
// Small comforts. Every page can be read, and every act done, without this file.
// Sections: times, copying, live parts, keys, acts, selections. An area that needs more adds a section of its own at the end.

// ── Times: how long ago, beside the exact one ──────────────────────────────────────────────────────────
const UNITS = [["s", 1, 60], ["min", 60, 3600], ["h", 3600, 86400], ["d", 86400, Infinity]];

function ago(seconds) {
  if (seconds < 0) return "soon";
  const [unit, size] = UNITS.find(([, , limit]) => seconds < limit);
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

function tellTimes(root = document) {
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const at = Date.parse(time.dateTime);
    time.textContent = ago((Date.now() - at) / 1000);
    time.title = `${new Date(at).toLocaleString()} (${time.dateTime.replace("T", " ").replace("Z", " UTC")})`;
  }
}

// ── Copying ────────────────────────────────────────────────────────────────────────────────────────────
function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("width", "14");
  svg.setAttribute("height", "14");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${document.body.dataset.icons}#${name}`);
  svg.append(use);
  return svg;
}

function offerCopies(root = document) {
  if (!navigator.clipboard) return;
  for (const code of root.querySelectorAll("code[data-copy]:not([data-offered])")) {
    code.dataset.offered = "";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy-button";
    button.title = "Copy";
    button.setAttribute("aria-label", `Copy ${code.dataset.copy}`);
    button.append(icon("copy"));
    button.addEventListener("click", async (event) => {
      event.preventDefault();
      await navigator.clipboard.writeText(code.dataset.copy);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1200);
    });
    code.after(button);
  }
}

// ── Live parts: the same page again, and what changed in it ────────────────────────────────────────────
const EVERY = 5000;   // ms between looks
const BORED = 600000; // ms without anybody touching the page, after which it looks no more
const live = { on: true, tag: "", touched: Date.now(), switch: null };

function busy(part) {
  const selection = document.getSelection();
  return part.contains(document.activeElement) || part.querySelector("details[open], input:checked") ||
    (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
}

function exchange(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const part of document.querySelectorAll("[data-live][id]")) {
    const other = fresh.getElementById(part.id);
    if (!other || busy(part)) continue;
    if (part.innerHTML === other.innerHTML) continue;
    part.replaceChildren(...other.childNodes);
    dress(part);
    part.dispatchEvent(new CustomEvent("esb:fresh", { bubbles: true }));
  }
}

async function look() {
  if (!live.on || document.hidden || Date.now() - live.touched > BORED) return;
  const headers = { "X-Esb-Live": "1", ...(live.tag && { "If-None-Match": live.tag }) };
  try {
    const answer = await fetch(location.href, { headers, cache: "no-store", redirect: "error" });
    if (answer.status === 401) return stop("Signed out");
    stale(!answer.ok && answer.status !== 304);
    if (answer.status !== 200) return;
    live.tag = answer.headers.get("ETag") || "";
    exchange(await answer.text());
  } catch {
    stale(true);
  }
}

function stale(yes) {
  if (live.on) live.switch.textContent = yes ? "No answer" : "Live";
}

function stop(why) {
  live.on = false;
  live.switch.textContent = why;
  live.switch.setAttribute("aria-pressed", "false");
}

function startLive() {
  if (!document.querySelector("[data-live][id]")) return;
  const button = (live.switch = document.createElement("button"));
  button.type = "button";
  button.className = "live-switch quiet";
  button.title = `Looks every ${EVERY / 1000} s while the page is seen`;
  button.textContent = "Live";
  button.setAttribute("aria-pressed", "true");
  button.addEventListener("click", () => {
    if (live.on) return stop("Paused");
    live.on = true;
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Live";
    look();
  });
  document.querySelector(".heading .actions").append(button);
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", () => document.hidden || look());
  for (const kind of ["pointermove", "keydown", "scroll"]) {
    addEventListener(kind, () => (live.touched = Date.now()), { passive: true });
  }
}

// ── Keys ───────────────────────────────────────────────────────────────────────────────────────────────
let prefix = 0;

function writing(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

function step(by) {
  const rows = [...document.querySelectorAll("tbody tr")].filter((row) => row.querySelector("a[href]"));
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
  const next = rows[Math.min(Math.max(now + by, 0), rows.length - 1)];
  rows.forEach((row) => row.removeAttribute("aria-selected"));
  next.setAttribute("aria-selected", "true");
  next.querySelector("a[href]").focus();
}

async function showKeys() {
  let dialog = document.getElementById("keys-dialog");
  if (!dialog) {
    const answer = await fetch("/help");
    const keys = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("keys");
    if (!keys) return;
    dialog = document.createElement("dialog");
    dialog.id = "keys-dialog";
    const title = document.createElement("h2");
    title.textContent = "Keys";
    dialog.append(title, keys);
    document.body.append(dialog);
  }
  dialog.showModal();
}

function closeOpen() {
  const open = document.querySelector("details.act[open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  } else if (writing(document.activeElement)) {
    document.activeElement.blur();
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") return closeOpen();
  if (writing(event.target)) return;
  const going = Date.now() - prefix < 1500;
  prefix = 0;
  if (going) {
    const link = document.querySelector(`.side a[data-go="${CSS.escape(event.key)}"]`);
    if (link) link.click();
    return;
  }
  const acts = {
    g: () => (prefix = Date.now()),
    j: () => step(1),
    k: () => step(-1),
    "?": showKeys,
    "/": () => document.querySelector('[data-key="/"]')?.focus(),
  };
  if (!acts[event.key]) return;
  event.preventDefault();
  acts[event.key]();
}

// ── Acts: one open at a time; a form is sent once ──────────────────────────────────────────────────────
function onToggle(event) {
  if (!event.target.matches?.("details.act") || !event.target.open) return;
  for (const other of document.querySelectorAll("details.act[open]")) if (other !== event.target) other.open = false;
  event.target.querySelector("input:not([type=hidden]), select, textarea, button")?.focus();
}

function onSubmit(event) {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) return event.preventDefault();
  event.target.dataset.sent = "1";
}

// ── Selections: how many are ticked, and all at once ───────────────────────────────────────────────────
function offerSelection(form) {
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox][name=key]")];
  const head = form.querySelector("thead th");
  const said = form.querySelector("[data-selected]");
  if (!boxes.length || !head || !said) return;
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Select all on this page");
  head.append(all);
  const tell = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && !all.checked;
    said.textContent = ticked ? `${ticked} selected` : "";
    form.querySelectorAll(".selected button").forEach((button) => (button.disabled = !ticked));
  };
  all.addEventListener("change", () => { boxes.forEach((box) => (box.checked = all.checked)); tell(); });
  form.addEventListener("change", tell);
  tell();
}

// ── Start ──────────────────────────────────────────────────────────────────────────────────────────────
function dress(root) {
  tellTimes(root);
  offerCopies(root);
}

dress(document);
document.querySelector(".side a[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
setInterval(tellTimes, 10000);
startLive();
document.querySelectorAll("form[data-select]").forEach(offerSelection);
document.addEventListener("keydown", onKey);
document.addEventListener("toggle", onToggle, true);
document.addEventListener("submit", onSubmit);
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
