// A divider between two pictures that lie on each other: a slider moves the cut. And the buttons
// of the first screen that change which picture lies on the right.
document.addEventListener("input", (event) => {
  const slider = event.target.closest?.("input[data-divide]");
  slider?.parentElement.style.setProperty("--cut", `${slider.value}%`);
});

document.addEventListener("click", (event) => {
  const chip = event.target.closest?.("[data-show-bits]");
  if (!chip) return;
  const bits = chip.dataset.showBits;
  const figure = chip.closest("figure");
  for (const each of figure.querySelectorAll("[data-show-bits]"))
    each.setAttribute("aria-pressed", String(each === chip));
  for (const each of figure.querySelectorAll("[data-bits]")) each.hidden = each.dataset.bits !== bits;
  figure.querySelector("[data-side]").textContent = `${bits} bit`;
});

// Ways from one tab to another that stand in a text.
document.addEventListener("click", (event) => {
  const wanted = event.target.closest?.("[data-turn-to]")?.dataset.turnTo;
  if (!wanted) return;
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  tabs.find((tab) => tab.textContent.trim() === wanted)?.click();
});
