// Tables and plots as files, made from what is on the page: nothing is asked of the server.
const inWords = (cell) => {
  const said = cell.cloneNode(true);
  for (const each of said.querySelectorAll(".ql-dots, [data-try], [data-code], .ql-sr"))
    each.remove();
  for (const each of said.querySelectorAll("li, p, small, .ql-method, .ql-evidence"))
    each.prepend(" ");
  const label = said.querySelector(".ql-mark")?.getAttribute("aria-label");
  const text = (label?.split(": ").at(-1) ?? said.textContent).replace(/\u00ad/g, "").replace(/\s+/g, " ").trim();
  const safe = /^[=+@\t]/.test(text) ? `'${text}` : text; // a spreadsheet would take it for a formula
  return `"${safe.replaceAll('"', '""')}"`;
};

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `quantlab-${name}-${new Date().toISOString().slice(0, 10)}.${type.includes("svg") ? "svg" : "csv"}`;
  document.body.append(link); // some browsers press no link that stands nowhere
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font", "text-anchor", "opacity"];

// A plot as it is seen: its styles are the page's, so each part takes its own along.
function drawn(plot) {
  const alone = plot.cloneNode(true);
  const box = plot.viewBox.baseVal;
  alone.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  alone.setAttribute("width", 2 * box.width);
  alone.setAttribute("height", 2 * box.height);
  const parts = [...plot.querySelectorAll("*")];
  [...alone.querySelectorAll("*")].forEach((part, index) => {
    const look = getComputedStyle(parts[index]);
    part.setAttribute("style", LOOKS.map((name) => `${name}:${look.getPropertyValue(name)}`).join(";"));
  });
  return alone.outerHTML;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-save-table], [data-save-plots]");
  if (!button) return;
  event.preventDefault();
  const within = button.closest("[data-saved]") ?? document.body;
  if (button.dataset.saveTable) {
    const whole = within.cloneNode(true); // with what is folded away and not part of the page yet
    for (const kept of whole.querySelectorAll("script[type='text/html']"))
      kept.outerHTML = kept.textContent;
    const tables = [...whole.querySelectorAll(button.dataset.of ?? "table")];
    const rows = tables.flatMap((table, index) =>
      [...table.rows].filter((row) => !row.hidden && (!index || !row.closest("thead"))));
    const lines = rows.map((row) => [...row.cells].map(inWords).join(","));
    return save(button.dataset.saveTable, "text/csv", `${lines.join("\r\n")}\r\n`);
  }
  for (const plot of within.querySelectorAll(".ql-plots svg"))
    save(button.dataset.savePlots, "image/svg+xml", drawn(plot));
});
