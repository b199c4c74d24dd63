// Buttons in the rows of figures: the script of a plan, and the plan to take instead.
element.addEventListener("click", (event) => {
  const data = event.target.closest("button")?.dataset ?? {};
  if (data.code) trigger("code", { index: Number(data.code) });
  else if (data.instead) trigger("instead", { index: Number(data.instead) });
});
