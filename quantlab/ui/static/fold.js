// A part of the page that stays closed until it is asked for; all of it is there from the start.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-fold]");
  if (!button) return;
  const open = element.closest(".ql-fold").toggleAttribute("data-open");
  button.setAttribute("aria-expanded", String(open));
});
