// Behaviour of the table of methods: sort, search, open the claims behind a row, send it to Try.
// Runs once, when the component appears; `element`, `trigger`, `props`, `watch` and `server` are
// Gradio's.
const find = element.querySelector(".ql-find input");
const found = element.querySelector(".ql-found");
const sheet = element.querySelector("dialog");
let sorted = { column: -1, down: false };

const body = () => element.querySelector("tbody");
const rows = () => Array.from(body()?.rows ?? []);

// The table is part of the page only where it is asked for, and put there as a whole: it has
// thousands of elements, each of which Gradio would compare with what was there before.
let stale = true;
function fill(asked) {
  if (!stale || !(asked || element.closest("[data-open]"))) return;
  stale = false;
  element.querySelector(".ql-scroll").innerHTML = props.value;
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
}

async function open(key, column) {
  const inside = sheet.querySelector(".ql-sheet-body");
  inside.textContent = "Reading…";
  if (!sheet.open) sheet.showModal();
  fill(true);
  const asked = document.querySelector("#ql-answer [data-address]")?.dataset.address ?? "";
  const model = new URLSearchParams(asked).get("model") ?? "";
  inside.innerHTML = await server.claims_of(`${key}|${column}|${model}`);
  const why = row(key)?.querySelector(".ql-why");
  if (why) inside.querySelector(".ql-claims")?.before(why.cloneNode(true));
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
watch("value", () => {
  stale = true;
  fill();
});
document.addEventListener("ql-whole", () => fill());
document.addEventListener("ql-claims", (event) => open(event.detail, ""));
