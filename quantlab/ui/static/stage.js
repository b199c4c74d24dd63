// The stage: which two plans stand on it and how they are held together. All of that stays in the
// browser; a new value brings new pictures and keeps what the visitor has chosen.
// Runs once, when the component appears; `element` and `watch` are Gradio's.
const LETTERS = "ABCDEF";
const still = matchMedia("(prefers-reduced-motion: reduce)");
let chosen = { left: null, right: null, mode: "divider", times: "8", cut: "50" };
let blink = 0;

const find = (selector) => element.querySelector(selector);
const seats = () => [...element.querySelectorAll(".ql-thumb[data-src]")];
const seat = (index) => seats().find((each) => each.dataset.index === String(index));

function pair() {
  const all = seats();
  if (!all.length) return null;
  const far = find(".ql-stage-box").dataset.far;
  const right = seat(chosen.right) ?? seat(far) ?? all.at(-1);
  return { left: seat(chosen.left) ?? all[0], right };
}

function put(side, thumb) {
  const image = find(`[data-pane="${side}"] img`);
  if (image.getAttribute("src") !== thumb.dataset.src) image.src = thumb.dataset.src;
  const { index, plan, short } = thumb.dataset;
  image.alt = `Image of ${LETTERS[index]} · ${plan}`;
  find(`[data-name="${side}"]`).textContent = `${LETTERS[index]} · ${short}`;
}

function tell(left, right) {
  const same = left === right;
  const differs = left.dataset.index === "0" ? right.dataset.differs : "";
  const text = same ? "One picture on both sides: choose another thumbnail." : differs;
  const told = find("[data-told]");
  if (told.textContent !== text) told.textContent = text;
}

function show() {
  const now = pair();
  const view = find(".ql-view");
  for (const button of element.querySelectorAll("[data-put]"))
    button.setAttribute("aria-pressed", "false");
  if (!now || view.classList.contains("is-empty")) return;
  put("left", now.left);
  put("right", now.right);
  tell(now.left, now.right);
  for (const [side, thumb] of Object.entries(now)) {
    thumb.querySelector("[data-put]").setAttribute("aria-pressed", "true");
    thumb.dataset.side = side;
  }
  for (const each of element.querySelectorAll(".ql-thumb"))
    if (each !== now.left && each !== now.right) delete each.dataset.side;
  view.dataset.view = chosen.mode;
  view.style.setProperty("--times", chosen.times);
  view.style.setProperty("--cut", `${chosen.cut}%`);
  view.classList.remove("is-over");
  find("[data-divide]").value = chosen.cut;
  find("[data-times]").value = chosen.times;
  find(".ql-stage-box").dataset.view = chosen.mode;
  for (const button of element.querySelectorAll("[data-mode]"))
    button.setAttribute("aria-pressed", String(button.dataset.mode === chosen.mode));
  clearInterval(blink);
  if (chosen.mode === "flicker" && !still.matches) blink = setInterval(flick, 700);
  if (chosen.mode === "flip") map(now.left, now.right);
}

// What a person sees who flips between the two: made by the server, and kept.
const maps = new Map();
async function map(left, right) {
  const asked = JSON.stringify([right.dataset.src, left.dataset.src]);
  const root = window.gradio_config.root.replace(/\/$/, "");
  if (!maps.has(asked)) {
    const address = `${root}/answers/flip?asked=${encodeURIComponent(asked)}`;
    const made = fetch(address).then(async (answer) =>
      answer.ok ? answer.json() : ["", (await answer.json()).detail],
    );
    maps.set(asked, made.catch(() => ["", "The server does not answer."]));
  }
  const [picture, text] = await maps.get(asked);
  const now = pair();
  if (chosen.mode !== "flip" || now?.left !== left || now.right !== right) return;
  if (picture) find('[data-pane="right"] img').src = picture;
  else maps.delete(asked);
  find("[data-told]").textContent = text;
}

// The other picture alone, and back: the eye finds what jumps.
function flick() {
  const view = find(".ql-view");
  if (!view?.isConnected) return clearInterval(blink);
  view.classList.toggle("is-over");
}

function choose(index, left) {
  if (!seat(index)) return;
  if (left) chosen.left = index;
  else chosen.right = index;
  show();
}

function openChooser(index) {
  const box = document.querySelector(".ql-choosers");
  const open = box.dataset.open === String(index) ? "" : String(index);
  box.dataset.open = open;
  for (const button of element.querySelectorAll("[data-change]"))
    button.setAttribute("aria-expanded", String(button.dataset.change === open));
  if (open) document.querySelector(`#ql-transformer-${index} input`)?.focus();
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const data = button.dataset;
  if ("put" in data) choose(Number(button.parentElement.dataset.index), event.shiftKey);
  else if (data.mode) {
    chosen.mode = data.mode;
    show();
  } else if (data.change) openChooser(data.change);
});
element.addEventListener("input", (event) => {
  if ("times" in event.target.dataset) chosen.times = event.target.value;
  else if ("divide" in event.target.dataset) chosen.cut = event.target.value;
  else return;
  find(".ql-view").style.setProperty("--times", chosen.times);
});
element.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("select, textarea, summary")) return;
  const digit = /^Digit([1-6])$/.exec(event.code)?.[1];
  if (digit) choose(Number(digit) - 1, event.shiftKey);
  else if (event.key === " " && !event.target.closest("button")) flick();
  else return;
  event.preventDefault();
});

watch("value", show);
show();
