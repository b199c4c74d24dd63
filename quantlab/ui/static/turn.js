// Turns to the tab that an answer names. Of an update of its tabs Gradio makes a look through every
// component of the page, which takes longer than all the rest. Runs once; `element` and `watch` are
// Gradio's.
watch("value", () => {
  const name = element.querySelector("[data-turn]")?.dataset.turn;
  if (name) document.querySelector(`[role="tab"][data-tab-id="${name}"]`)?.click();
});
