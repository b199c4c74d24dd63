// Behaviour of the table of methods: sort, search, fold, open the claims behind a row, send it to Try.
// Runs once, when the component appears; `element`, `trigger` and `server` are Gradio's.
const find = element.querySelector(".ql-find input");
const found = element.querySelector(".ql-found");
const sheet = element.querySelector("dialog");
let sorted = { column: -1, down: false };

const body = () => element.querySelector("tbody");
const rows = () => Array.from(body()?.rows ?? []);

// The table is fetched and part of the page only while it is open: it has thousands of elements, and
// most visitors never open it. One that comes after a newer question is dropped.
const scroll = element.querySelector(".ql-scroll");
const question = () => document.querySelector("#ql-answer [data-address]")?.dataset.address;
let here = null;
async function fill(asked) {
  const wanted = question();
  if (!wanted || wanted === here || !(asked || element.closest("[data-open]"))) return;
  here = wanted;
  scroll.setAttribute("aria-busy", "true");
  const config = window.gradio_config;
  const address = new URL(`${config.root.replace(/\/$/, "")}/answers/table`);
  address.search = new URLSearchParams({ of: config.app_id, asked: JSON.stringify([wanted]) });
  let table;
  try {
    [table] = await (await fetch(address)).json();
  } catch {
    table = '<p class="ql-hint" role="alert">The server does not answer. Open the table again.</p>';
  }
  if (here !== wanted) return;
  if (!table.includes("<table")) here = null;
  scroll.innerHTML = table;
  scroll.removeAttribute("aria-busy");
  sort();
  search();
}

const row = (key) => rows().find((each) => each.dataset.key === key);

function search() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const each of rows()) {
    each.hidden = !words.every((word) => each.dataset.find.includes(word));
    shown += each.hidden ? 0 : 1;
  }
  const some = words.length ? `${shown} of ${rows().length}` : `${shown} rows`;
  found.textContent = shown ? some : "No row has all of these words; fewer or other words may.";
  fold();
}

// A narrow screen, where each row is a card, shows the first of them until all are asked for.
const FEW = 12;
const rest = element.querySelector("[data-rest]");
function fold() {
  const there = rows().filter((each) => !each.hidden);
  there.forEach((each, index) => each.classList.toggle("is-rest", index >= FEW));
  rest.hidden = there.length <= FEW;
  rest.textContent = `Show all ${there.length} rows`;
}

function compare(left, right, numeric) {
  if (left === "" || right === "") return left === right ? 0 : left === "" ? 1 : -1;
  const order = numeric ? Number(left) - Number(right) : left.localeCompare(right);
  return sorted.down ? -order : order;
}

function sort() {
  const heads = Array.from(element.querySelectorAll("thead th"));
  heads.forEach((head, index) => {
    const way = sorted.down ? "descending" : "ascending";
    head.setAttribute("aria-sort", index === sorted.column ? way : "none");
  });
  if (sorted.column < 0) return;
  const numeric = heads[sorted.column].querySelector("button").dataset.sort === "number";
  const value = (each) => each.cells[sorted.column].dataset.v;
  const ordered = rows().sort((a, b) => compare(value(a), value(b), numeric));
  body().append(...ordered);
  fold();
}

// Why a row has its verdict: folded where it runs, so that the claims are to be seen.
function reasons(each) {
  const verdict = each.querySelector(".ql-pill");
  const told = Object.assign(document.createElement("details"), { className: "ql-rule" });
  told.open = !verdict.matches(".is-runs, .is-runs-with-offload");
  const head = `Why “${verdict.lastChild.textContent.trim()}”`;
  told.append(Object.assign(document.createElement("summary"), { textContent: head }));
  told.append(each.querySelector(".ql-why").cloneNode(true));
  return told;
}

async function open(key, column) {
  const inside = sheet.querySelector(".ql-sheet-body");
  inside.textContent = "Reading…";
  if (!sheet.open) sheet.showModal();
  const model = new URLSearchParams(question() ?? "").get("model") ?? "";
  const claims = server.claims_of(`${key}|${column}|${model}`);
  await fill(true); // a row says why
  inside.innerHTML = await claims;
  if (row(key)) inside.querySelector(".ql-claims")?.before(reasons(row(key)));
  inside.querySelector("#ql-asked")?.scrollIntoView({ block: "center" });
}

element.addEventListener("click", (event) => {
  if (event.target === sheet) return sheet.close();
  const button = event.target.closest("button");
  if (!button) return;
  const data = button.dataset;
  if ("close" in data) sheet.close();
  else if ("all" in data) {
    const all = element.closest("#ql-table").toggleAttribute("data-all-columns");
    button.setAttribute("aria-pressed", String(all));
  } else if ("rest" in data) {
    element.closest("#ql-table").toggleAttribute("data-all-rows", true);
    element.querySelector("tr.is-rest .ql-name")?.focus();
  } else if (data.try) trigger("try_scheme", { scheme: data.try });
  else if (data.claims) open(data.claims, "");
  else if (data.column) open(button.closest("tr").dataset.key, data.column);
  else if (data.sort) {
    const column = button.closest("th").cellIndex;
    sorted = { column, down: sorted.column === column && !sorted.down };
    sort();
  }
});
find.addEventListener("input", search);
for (const name of ["ql-whole", "ql-answer"]) document.addEventListener(name, () => fill());
document.addEventListener("ql-claims", (event) => open(event.detail, ""));
