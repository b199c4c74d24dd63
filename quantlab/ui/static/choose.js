// Who turns to a list and types looks for something else: what stands there is selected, so that
// the first letter replaces it instead of being added to it.
document.addEventListener("focusin", (event) => {
  const box = event.target.closest?.('input[role="combobox"]');
  if (box) setTimeout(() => box.select(), 0); // after the click has set its caret
});
