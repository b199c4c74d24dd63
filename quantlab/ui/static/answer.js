// The answer's buttons: copy a script or a link, try its plans side by side, show one in the table.
// Runs once, when the component appears; `element`, `trigger`, `watch` and `server` are Gradio's.
const scripts = new Map();
const scriptOf = (key) => {
  if (!scripts.has(key)) scripts.set(key, server.script_of_plan(key));
  return scripts.get(key);
};
const told = () => element.querySelector(".ql-copied");

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    told().textContent = `${what} copied`;
  } catch {
    // Where the browser keeps the clipboard from the page, the text is there to be copied by hand.
    const box = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
    box.className = "ql-by-hand";
    box.setAttribute("aria-label", what);
    element.querySelector(".ql-by-hand")?.remove();
    told().after(box);
    box.select();
    told().textContent = document.execCommand("copy") ? `${what} copied` : "Press Ctrl+C to copy";
  }
}

const link = () => location.origin + location.pathname + "#" + asked();
const asked = () => element.querySelector("[data-address]")?.dataset.address ?? "";

element.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const data = button.dataset;
  if ("tryAll" in data) trigger("try_all", {});
  else if ("copyLink" in data) copy(link(), "Link");
  else if (data.script) copy(await scriptOf(data.script), "Script");
  else if (data.claims)
    document.dispatchEvent(new CustomEvent("ql-claims", { detail: data.claims })); // to table.js
});
// Fetched before it is pressed, so that it is there when it is.
for (const name of ["pointerover", "focusin"]) {
  element.addEventListener(name, (event) => {
    const key = event.target.closest?.("[data-script]")?.dataset.script;
    if (key) scriptOf(key);
  });
}
watch("value", () => document.dispatchEvent(new Event("ql-answer"))); // for table.js
