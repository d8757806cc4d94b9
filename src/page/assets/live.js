// Renews the page that is open when why502 says that something happened, and moves by keys. Without it the page is the
// same list, and stays as it was. Nothing is put together here out of texts: the server writes HTML, escaped, and whole
// elements are exchanged.
const away = document.getElementById("away");
const PAUSE_MS = 2000;
let due = false;
let running = false;
let last = 0;

function told(text) {
  away.textContent = text;
  away.hidden = text === "";
}

function stamp() {
  return new Date().toISOString().slice(11, 19);
}

async function renew() {
  if (!document.querySelector("[data-live]")) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement?.closest("[data-live]") ? document.activeElement.getAttribute("href") : null;
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (next && next.outerHTML !== old.outerHTML) old.replaceWith(document.importNode(next, true));
  }
  document.title = fresh.title;
  if (focused) document.querySelector(`[data-live] a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

async function turn() {
  if (running || !due || document.hidden) return;
  running = true;
  due = false;
  try {
    await renew();
  } catch {
    due = true;
  }
  last = Date.now();
  running = false;
  if (due) setTimeout(turn, PAUSE_MS);
}

function changed() {
  due = true;
  setTimeout(turn, Math.max(0, last + PAUSE_MS - Date.now()));
}

document.addEventListener("visibilitychange", turn);

if (document.querySelector("[data-live]")) {
  let events = null;
  let lost = false;
  const listen = () => {
    if (events || document.visibilityState === "hidden") return;
    events = new EventSource("/events");
    events.addEventListener("open", () => {
      told("");
      if (lost) changed();
      lost = false;
    });
    events.addEventListener("changed", changed);
    events.addEventListener("error", () => {
      if (!lost) told(`why502 does not answer since ${stamp()} UTC. What you see is from before; it is tried again and again.`);
      lost = true;
      // Refused (too many watch already): the browser does not try again by itself.
      if (events && events.readyState === EventSource.CLOSED) told("This page does not renew itself: too many are open, or why502 asks who you are. Load it again.");
    });
  };
  // A browser has six connections to one server: pages that nobody sees, in other tabs and behind the back button, must not
  // keep theirs, or the seventh waits for ever.
  const rest = () => {
    if (events) events.close();
    events = null;
  };
  addEventListener("pagehide", rest);
  addEventListener("pageshow", (event) => {
    listen();
    if (event.persisted) changed();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") return rest();
    listen();
    changed();
  });
  listen();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector("input[type=search]").focus();
  } else if (event.key === "j" || event.key === "k") {
    const links = [...document.querySelectorAll("main a")];
    const at = links.indexOf(document.activeElement);
    const next = links[event.key === "j" ? at + 1 : Math.max(0, at - 1)];
    if (next) next.focus();
  }
});
