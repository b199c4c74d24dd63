// The whole table stays closed until it is asked for.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-whole]");
  if (!button) return;
  const open = element.closest(".ql-whole").toggleAttribute("data-open");
  button.setAttribute("aria-expanded", String(open));
  button.textContent = open ? "Hide the table" : "Show every method, with reasons";
  document.dispatchEvent(new Event("ql-whole")); // which table.js fills
});
