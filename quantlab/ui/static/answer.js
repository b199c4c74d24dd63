// The answer's buttons: copy a script or a link, try its plans side by side, show one in the table.
// And the question in the address: to bookmark, to pass on, and to go back to.
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
  else if (data.claims) {
    const key = CSS.escape(data.claims);
    document.querySelector(`#ql-table [data-key="${key}"] [data-claims]`)?.click();
  }
});
// Fetched before it is pressed, so that it is there when it is.
for (const name of ["pointerover", "focusin"]) {
  element.addEventListener(name, (event) => {
    const key = event.target.closest?.("[data-script]")?.dataset.script;
    if (key) scriptOf(key);
  });
}

const first = asked();
let shown = location.hash.slice(1) || first;
watch("value", () => {
  const now = asked();
  if (!now || now === shown) return;
  shown = now;
  if (now === decodeURIComponent(location.hash.slice(1))) return;
  try {
    history.pushState(history.state, "", `#${now}`);
    // A Space stands in a frame of the hub, whose address is the one that people pass on.
    if (parent !== window)
      parent.postMessage({ queryString: "", hash: now }, "https://huggingface.co");
  } catch {
    // Some frames may not touch their address; the page works without.
  }
});
addEventListener("popstate", () => {
  const address = location.hash.slice(1) || first;
  if (address === shown) return;
  shown = address;
  trigger("went", { address });
});
