// Buttons in the rows of figures: the script of a plan, the plan to take instead, and a file of what
// was worse than predicted.
element.addEventListener("click", (event) => {
  const data = event.target.closest("button")?.dataset ?? {};
  if (data.code) trigger("code", { index: Number(data.code) });
  else if (data.instead) trigger("instead", { index: Number(data.instead) });
  else if ("worse" in data) trigger("worse", {});
});
