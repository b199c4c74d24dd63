// Left and right arrow keys turn from tab to tab, as people expect of a list of tabs.
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };
document.addEventListener("keydown", (event) => {
  const tab = event.target.closest?.('[role="tab"]');
  if (!tab || !STEPS[event.key]) return;
  const tabs = [...tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
  event.preventDefault();
  tabs.at((tabs.indexOf(tab) + STEPS[event.key]) % tabs.length).focus();
});
