// The page in its address, to load anew, to bookmark, to pass on, to go back to: the comparison and
// its running job in the query, the question of Pick and the tab in the fragment. What the page
// starts with is left out. Runs once; `element`, `trigger` and `watch` are Gradio's, and START is put in
// by the page: the query of the comparison that Compare starts with.
const slug = (text) => text.trim().toLowerCase().replace(/\W+/g, "-");
const tabs = () => [...document.querySelectorAll('[role="tab"]')];
const tab = () =>
  slug(tabs().find((each) => each.getAttribute("aria-selected") === "true")?.textContent ?? "");
const question = () => document.querySelector("#ql-answer [data-address]")?.dataset.address ?? "";
const comparison = () => {
  const url = document.querySelector("#ql-link-url")?.value;
  return url ? new URL(url).search : null;
};
let sought = new URLSearchParams(location.search).get("run") ?? ""; // until it is known if it runs
const run = () => {
  const mark = element.querySelector("[data-run]");
  if (mark) sought = "";
  return mark?.dataset.run ?? sought;
};
const plain = (hash) => {
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash;
  }
};

function read() {
  const query = new URLSearchParams(location.search);
  const had = query.has("run");
  query.delete("run");
  const parts = location.hash.slice(1).split("&").filter(Boolean);
  const named = parts.find((part) => part.startsWith("tab="))?.slice(4);
  const search = had ? location.search.replace(/&?run=[^&]*/, "").replace(/^\?$/, "") : location.search;
  const asked = parts.filter((part) => !part.startsWith("tab=")).join("&");
  return { search, asked, tab: named ?? (search ? "compare" : "pick") };
}

let first = ""; // what is asked where the address asks nothing
const start = new URL(`?${START}`, location.href).search;
const called = new Map([[start, ""]]); // a comparison's query -> how the address calls it
let at = { ...read(), run: sought, draft: false }; // what the address says now
let going = read(); // where the page is on its way to; until then nothing is written
let from = null; // the comparison that was there when it set out
let tries = 0;
let acted = true; // whether anybody did anything since the last entry: else what follows is part of it

function wanted() {
  const own = comparison();
  const search = own === null ? at.search : (called.get(own) ?? own);
  const asked = question() === first ? "" : question();
  return { search, asked, tab: tab() || at.tab, run: run() };
}

function text({ search, asked, tab: named, run: job }) {
  const query = job ? `${search || "?"}${search ? "&" : ""}run=${job}` : search;
  const usual = search ? "compare" : "pick";
  const hash = [asked, named === usual ? "" : `tab=${named}`].filter(Boolean).join("&");
  return { query, hash };
}

function turn(name) {
  tabs().find((each) => slug(each.textContent) === name)?.click();
}

function arrive() {
  const next = wanted();
  if (comparison() !== from && next.search !== going.search) {
    called.set(comparison(), going.search);
    next.search = going.search;
  }
  if (next.tab !== going.tab && tries++ < 3) turn(going.tab);
  if (next.search !== going.search || plain(next.asked) !== plain(going.asked)) return false;
  if (next.tab !== going.tab) return false;
  going = null;
  at = { ...at, ...next };
  return true;
}

function write() {
  first ||= question();
  if (!first || document.documentElement.classList.contains("ql-embed")) return;
  if (run() && comparison() !== null) called.delete(comparison());
  if (going && !arrive()) return;
  const next = wanted();
  const { query, hash } = text(next);
  const now = text(at);
  if (query === now.query && plain(hash) === plain(now.hash)) return;
  const moved = next.asked !== at.asked || next.tab !== at.tab;
  const other = next.search !== at.search;
  const fine = !moved && (!other || !acted || (at.draft && !run()));
  if (moved) acted = false;
  at = { ...next, draft: other ? !run() : at.draft && !run() };
  try {
    const url = `${location.pathname}${query}${hash ? `#${hash}` : ""}`;
    history[fine ? "replaceState" : "pushState"](history.state, "", url);
    // A Space stands in a frame of the hub, whose address is the one that people pass on.
    if (parent !== window)
      parent.postMessage({ queryString: query.slice(1), hash }, "https://huggingface.co");
  } catch {
    // Some frames may not touch their address; the page works without.
  }
}

addEventListener("popstate", () => {
  const to = read();
  if (run() && to.search !== at.search) {
    trigger("went", { query: to.search }); // which says that something runs
    return history.forward();
  }
  const events = {};
  if (to.search !== at.search) events.query = to.search;
  if (plain(to.asked) !== plain(at.asked)) events.address = to.asked || first;
  at = { ...at, ...to, run: run() };
  [going, from, tries] = [to, comparison(), 0];
  if (Object.keys(events).length) trigger("went", events);
  if (tab() !== to.tab) turn(to.tab);
  write();
});
// Who does something is where they want to be.
for (const name of ["pointerdown", "keydown", "input"])
  addEventListener(name, () => ([going, acted] = [null, true]), true);

new MutationObserver(write).observe(document.body, {
  subtree: true,
  childList: true,
  attributes: true,
  // Gradio writes into what is there already: where the link alone changes, nothing else tells.
  attributeFilter: ["aria-selected", "value", "data-address", "data-run"],
});
watch("value", write);
