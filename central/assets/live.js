// Keeps an open page fresh. The server says on /live that something has changed; this fetches the same page again and
// puts its marked parts in place. Without it every page still works, as fresh as its loading.
"use strict";

const url = document.body.dataset.liveUrl;
const shown = document.getElementById("link");
let stream = null;
let fetching = false;
let again = false;
let failures = 0;

const units = [[86400, " days"], [3600, " h"], [60, " min"], [1, " s"]];

/** Says a span of seconds as the server does. */
function spoken(seconds) {
  if (seconds < 1) return "just now";
  if (seconds >= 3600 && seconds < 172800) return Math.floor(seconds / 3600) + " h ago";
  const [size, name] = units.find(([size]) => seconds >= size);
  return Math.floor(seconds / size) + name + " ago";
}

/** Relative times go on while the page stands still. */
function age() {
  for (const time of document.querySelectorAll("time.ago")) {
    const said = spoken((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== said) time.textContent = said;
  }
}

function say(text, state) {
  shown.textContent = text;
  shown.dataset.state = state;
}

/** Whether somebody is at work in this part. */
function busy(part) {
  const at = document.activeElement;
  return part.contains(at) && at.matches("input, select, textarea");
}

/** What a part says, without what time alone changes. */
function said(part) {
  const copy = part.cloneNode(true);
  for (const time of copy.querySelectorAll("time.ago")) time.textContent = "";
  return copy.innerHTML;
}

function replace(part, fresh) {
  if (busy(part)) return;
  if (said(part) === said(fresh)) return;
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && focused.getAttribute("href");
  const open = [...part.querySelectorAll("details[open]")].map((one) => one.id).filter(Boolean);
  part.replaceWith(document.adoptNode(fresh));
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (place) fresh.querySelector(`[href="${CSS.escape(place)}"]`)?.focus({ preventScroll: true });
}

async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(location.href, { headers: { "msp-live": "1" }, cache: "no-store" });
    if (answer.status === 401) { location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search)); return; }
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (other) replace(part, other);
    }
    age();
  } catch {
    say("No answer; showing what was", "away");
  } finally {
    fetching = false;
    if (again) { again = false; refresh(); }
  }
}

function listen() {
  if (stream || document.hidden) return;
  stream = new EventSource(url);
  stream.addEventListener("open", () => {
    say("Live", "live");
    // Whatever happened while nobody listened.
    if (failures > 0) refresh();
    failures = 0;
  });
  stream.addEventListener("changed", refresh);
  stream.addEventListener("error", () => {
    failures += 1;
    say("Connecting again", "away");
    // A refused stream does not come back by itself: the session may be over, and the page finds out.
    if (stream && stream.readyState === EventSource.CLOSED) {
      stream = null;
      setTimeout(() => { refresh(); listen(); }, Math.min(30000, 2000 * failures));
    }
  });
}

// A hidden page costs a connection that a visible one may need.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { stream?.close(); stream = null; return; }
  refresh();
  listen();
});

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
});
window.addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });

document.querySelector(".side nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
age();
setInterval(age, 10000);
listen();
