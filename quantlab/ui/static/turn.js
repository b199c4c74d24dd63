// Turns to the tab that an answer names. Of an update of its tabs Gradio makes a look through every
// component of the page, which takes longer than all the rest. Runs once; `element` and `watch` are
// Gradio's.
watch("value", () => {
  const name = element.querySelector("[data-turn]")?.dataset.turn;
  if (!name) return;
  document.querySelector(`[role="tab"][data-tab-id="${name}"]`)?.click();
  scrollTo({ top: 0 }); // who pressed far down another tab would see the end of this one
});
