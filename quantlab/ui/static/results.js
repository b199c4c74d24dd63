// Behaviour of the Results tab: sort by a head, show all plans on a narrow screen, open the
// runs of a plan, open one in Compare.
// Runs once, when the component appears; `element`, `trigger`, `watch` and `server` are Gradio's.
const sheet = element.querySelector("dialog");
const opened = new Map();
const whole = new Set(); // groups of which a narrow screen shows all plans
let focus = null;

async function showRuns(key) {
  const inside = sheet.querySelector(".ql-sheet-body");
  inside.textContent = "Reading…";
  if (!sheet.open) sheet.showModal();
  inside.innerHTML = await server.runs_of(key);
}

element.addEventListener("click", (event) => {
  if (event.target === sheet) return sheet.close();
  const link = event.target.closest("a[data-result]");
  if (link) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return; // the browser's own new tab
    event.preventDefault();
    if (sheet.open) sheet.close();
    trigger("open_result", { result: link.dataset.result });
    return;
  }
  const data = event.target.closest("button")?.dataset;
  if (!data) return;
  if ("close" in data) sheet.close();
  else if ("wholeGroup" in data) {
    const group = event.target.closest("[data-group]");
    whole.add(group.dataset.group);
    group.classList.add("is-whole");
    group.querySelector("tr.is-more button")?.focus();
  }
  else if (data.runs) showRuns(data.runs);
  else if (data.by) {
    focus = { group: event.target.closest("[data-group]").dataset.group, by: data.by };
    trigger("sort_by", { by: data.by });
  }
});

// A new answer replaces the sections: what was open stays open, and the keyboard where it was.
element.addEventListener(
  "toggle",
  (event) => {
    const group = event.target.dataset?.group;
    if (group) opened.set(group, event.target.open);
  },
  true,
);
watch("value", () => {
  for (const group of element.querySelectorAll("[data-group]")) {
    const was = opened.get(group.dataset.group);
    if (was !== undefined) group.open = was;
    group.classList.toggle("is-whole", whole.has(group.dataset.group));
    if (focus?.group === group.dataset.group)
      group.querySelector(`[data-by="${focus.by}"]`)?.focus();
  }
  focus = null;
});
