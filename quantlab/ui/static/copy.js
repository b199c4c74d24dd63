// Copy buttons: of the link, and of the scripts. Where the browser keeps the clipboard from the
// page, the text is selected so that the keyboard can copy it.
element.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const box = button.closest("[data-copied]") ?? element;
  const source = box.querySelector("input, pre");
  const told = box.querySelector("[role=status]");
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    told.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    source.select?.();
    told.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C to copy";
  }
});
