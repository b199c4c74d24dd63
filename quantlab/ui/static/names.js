// Gradio gives its images no text of their own; each is named after the column it stands in.
const name = (image) => {
  const plan = image.closest(".ql-column")?.querySelector("h2")?.textContent;
  const text = plan ? `Image of ${plan}` : "Image";
  if (image.alt !== text) image.alt = text;
};
const nameAll = () => document.querySelectorAll(".ql-image img").forEach(name);
new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true });
nameAll();
