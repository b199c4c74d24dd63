// The answer's buttons: copy a script or a link, try its plans side by side, show one in the table.
// Runs once, when the component appears; `element`, `trigger`, `watch` and `server` are Gradio's.
const scripts = new Map();
const scriptOf = (key) => {
  if (!scripts.has(key)) {
    const made = server.script_of_plan(key);
    made.catch(() => scripts.delete(key)); // and is asked for again
    scripts.set(key, made);
  }
  return scripts.get(key);
};
const tell = (text) => {
  const told = element.querySelector(".ql-copied");
  if (told) told.textContent = text;
};

// The clipboard takes what is only promised: it is asked while the click still counts as one.
async function write(promised) {
  if (!window.ClipboardItem) return navigator.clipboard.writeText(await promised);
  const blob = promised.then((text) => new Blob([text], { type: "text/plain" }));
  return navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
}

async function copy(promised, what) {
  element.querySelector(".ql-by-hand")?.remove();
  const waiting = setTimeout(() => tell(`Making the ${what.toLowerCase()}…`), 150);
  let text;
  try {
    const written = write(promised).then(() => true, () => false);
    text = await promised;
    if (await written) return tell(`${what} copied`);
  } catch {
    return tell("The server does not answer. Press again.");
  } finally {
    clearTimeout(waiting);
  }
  // Where the browser keeps the clipboard from the page, the text is there to be copied by hand.
  const box = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
  box.className = "ql-by-hand";
  box.setAttribute("aria-label", what);
  element.querySelector(".ql-copied")?.after(box);
  box.select();
  tell(document.execCommand("copy") ? `${what} copied` : "Press Ctrl+C to copy");
}

const link = () => location.origin + location.pathname + "#" + asked();
const asked = () => element.querySelector("[data-address]")?.dataset.address ?? "";

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const data = button.dataset;
  if ("tryAll" in data) trigger("try_all", {});
  else if ("copyLink" in data) copy(Promise.resolve(link()), "Link");
  else if (data.script) copy(scriptOf(data.script), "Script");
  else if (data.claims)
    document.dispatchEvent(new CustomEvent("ql-claims", { detail: data.claims })); // to table.js
});
// Fetched before it is pressed, so that it is there when it is.
for (const name of ["pointerover", "focusin"]) {
  element.addEventListener(name, (event) => {
    const key = event.target.closest?.("[data-script]")?.dataset.script;
    if (key) scriptOf(key).catch(() => {}); // whoever presses is told
  });
}
watch("value", () => document.dispatchEvent(new Event("ql-answer"))); // for table.js
