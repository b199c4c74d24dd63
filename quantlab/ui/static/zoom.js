// Zoom and pan that all images of a group share. The state lies as CSS variables on the group, not
// on the images: whatever Gradio draws anew inside of it takes them over at once. x and y are the
// image's part that is left of and above the view, 0 to 1, so columns of any width show the same.
const MOST = 16;
const STEP = 1.25;
const STAGE = ".ql-stage";
const states = new WeakMap();
const fingers = new Map();
let pinched = 0;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const groupOf = (node) => node.closest?.(".ql-zoom-group");
const stageOf = (event) => {
  const stage = event.target.closest?.(STAGE);
  return stage?.querySelector("img") && groupOf(stage) ? stage : null;
};
const stateOf = (group) => states.get(group) ?? { zoom: 1, x: 0, y: 0 };

function show(group, { zoom, x, y }) {
  const rest = 1 - 1 / zoom;
  const state = { zoom, x: clamp(x, 0, rest), y: clamp(y, 0, rest) };
  states.set(group, state);
  group.style.setProperty("--ql-zoom", state.zoom);
  group.style.setProperty("--ql-x", state.x);
  group.style.setProperty("--ql-y", state.y);
  group.toggleAttribute("data-zoomed", state.zoom > 1);
  for (const level of group.querySelectorAll(".ql-zoom-level")) {
    level.textContent = `${Number(state.zoom.toFixed(1))}×`;
  }
}

// Where a point of the window lies in the stage, 0 to 1 each way. The image's parent is not moved.
function place(stage, point) {
  const box = stage.querySelector("img").parentElement.getBoundingClientRect();
  return {
    u: (point.clientX - box.left) / box.width,
    v: (point.clientY - box.top) / box.height,
  };
}

// The point (u, v) of the view stays where it is.
function zoomBy(group, factor, { u, v } = { u: 0.5, v: 0.5 }) {
  const { zoom, x, y } = stateOf(group);
  let next = clamp(zoom * factor, 1, MOST);
  if (next < 1.01) next = 1; // whole again, however the steps were rounded
  show(group, { zoom: next, x: x + u / zoom - u / next, y: y + v / zoom - v / next });
}

function panBy(group, u, v) {
  const { zoom, x, y } = stateOf(group);
  show(group, { zoom, x: x + u / zoom, y: y + v / zoom });
}

document.addEventListener("click", (event) => {
  const way = event.target.closest?.("[data-zoom]")?.dataset.zoom;
  if (!way) return;
  const group = groupOf(event.target);
  if (way === "reset") show(group, { zoom: 1, x: 0, y: 0 });
  else zoomBy(group, way === "in" ? STEP ** 2 : STEP ** -2);
});

// A wheel over an image scrolls the page, as anywhere, until the visitor turns to the image.
document.addEventListener(
  "wheel",
  (event) => {
    const stage = stageOf(event);
    if (!stage) return;
    const group = groupOf(stage);
    const meant = event.ctrlKey || group.hasAttribute("data-zoomed");
    if (!meant && !stage.contains(document.activeElement)) return;
    if (event.deltaY > 0 && stateOf(group).zoom === 1 && !event.ctrlKey) return;
    event.preventDefault();
    zoomBy(group, event.deltaY < 0 ? STEP : 1 / STEP, place(stage, event));
  },
  { passive: false },
);

document.addEventListener("keydown", (event) => {
  const stage = stageOf(event);
  if (!stage || event.ctrlKey || event.metaKey || event.altKey) return;
  const group = groupOf(stage);
  const zoomed = group.hasAttribute("data-zoomed");
  const step = 0.15;
  const moves = {
    ArrowLeft: [-step, 0],
    ArrowRight: [step, 0],
    ArrowUp: [0, -step],
    ArrowDown: [0, step],
  };
  if (event.key === "+" || event.key === "=") zoomBy(group, STEP);
  else if (event.key === "-" || event.key === "_") zoomBy(group, 1 / STEP);
  else if (event.key === "0") show(group, { zoom: 1, x: 0, y: 0 });
  else if (zoomed && moves[event.key]) panBy(group, ...moves[event.key]);
  else return;
  event.preventDefault();
});

document.addEventListener("pointerdown", (event) => {
  const stage = stageOf(event);
  if (!stage || event.button) return;
  stage.focus({ preventScroll: true });
  fingers.set(event.pointerId, { stage, at: event });
  pinched = 0;
});

document.addEventListener("pointermove", (event) => {
  const finger = fingers.get(event.pointerId);
  if (!finger) return;
  const group = groupOf(finger.stage);
  const before = place(finger.stage, finger.at);
  const now = place(finger.stage, event);
  finger.at = event;
  if (fingers.size === 1) {
    if (group.hasAttribute("data-zoomed")) panBy(group, before.u - now.u, before.v - now.v);
    return;
  }
  const [one, other] = [...fingers.values()].map((each) => each.at);
  const apart = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  const middle = {
    clientX: (one.clientX + other.clientX) / 2,
    clientY: (one.clientY + other.clientY) / 2,
  };
  if (pinched && apart) zoomBy(group, apart / pinched, place(finger.stage, middle));
  pinched = apart;
});

for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, (event) => {
    fingers.delete(event.pointerId);
    pinched = 0;
  });
}

// The browser would carry the picture away instead of moving it.
document.addEventListener("dragstart", (event) => {
  if (stageOf(event)) event.preventDefault();
});
