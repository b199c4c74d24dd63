// The answer's buttons: try its schemes side by side, or show one of them in the table.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("tryAll" in button.dataset) trigger("try_all", {});
  else if (button.dataset.claims) {
    const key = CSS.escape(button.dataset.claims);
    document.querySelector(`#ql-table [data-key="${key}"] [data-claims]`)?.click();
  }
});
