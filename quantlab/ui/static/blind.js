// Keys of the blind test while the focus is within it: 1 and 2 guess, n turns to the next pair.
// A button that goes away hands the focus on to the one that comes in its place.
const panel = element.closest(".ql-blind");
const KEYS = { 1: "#ql-left", 2: "#ql-right", n: "#ql-next" };
const buttonOf = (name) => panel.querySelector(name)?.closest("button");

const follow = (pressed) => {
  const wanted = pressed.id === "ql-next" ? "#ql-left" : "#ql-next";
  const watching = new MutationObserver(() => {
    const next = panel.querySelector(wanted);
    if (!next || !next.offsetParent) return;
    watching.disconnect();
    if (document.activeElement === document.body || panel.contains(document.activeElement)) {
      next.focus();
    }
  });
  watching.observe(panel, { childList: true, subtree: true, attributes: true });
};

panel.addEventListener("click", (event) => {
  const button = event.target.closest("#ql-left, #ql-right, #ql-next");
  if (button) follow(button);
});
panel.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const button = KEYS[event.key] && buttonOf(KEYS[event.key]);
  if (!button?.offsetParent) return;
  event.preventDefault();
  button.click();
});
