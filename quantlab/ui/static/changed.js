// Both ways on from pictures that are not those of the controls: run anew, or take the change back.
element.addEventListener("click", (event) => {
  const said = event.target.closest("[data-tell]")?.dataset.tell;
  if (said === "again") trigger("again", {});
  else if (said === "undo") trigger("undo", {});
});
