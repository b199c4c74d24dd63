// Who turns to a list and types looks for something else: what stands there is selected, so that
// the first letter replaces it instead of being added to it.
document.addEventListener("focusin", (event) => {
  const box = event.target.closest?.('input[role="combobox"]');
  // After the click has set its caret; and never where the keyboard has gone on: to select is to
  // take the focus, and two lists would hand it to each other for ever.
  if (box) setTimeout(() => document.activeElement === box && box.select(), 0);
});

// A list that opens only after the keyboard has gone on would stay open: it is told once more.
document.addEventListener("focusout", (event) => {
  const box = event.target.closest?.('input[role="combobox"]');
  const close = () => {
    if (document.activeElement !== box && box.getAttribute("aria-expanded") === "true")
      box.dispatchEvent(new FocusEvent("blur"));
  };
  if (box) for (const wait of [150, 600]) setTimeout(close, wait);
});
