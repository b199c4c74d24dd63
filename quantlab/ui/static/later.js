// What is folded away becomes part of the page when it is opened first.
element.addEventListener(
  "toggle",
  ({ target }) => {
    const kept = target.open && target.querySelector(":scope > script[type='text/html']");
    if (kept) kept.outerHTML = kept.textContent;
  },
  true,
);
