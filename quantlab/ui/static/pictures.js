// Sends pictures to go by, one after the other, and tells the page their digests.
element.addEventListener("change", async (event) => {
  const input = event.target.closest('input[type="file"]');
  if (!input) return;
  const status = element.querySelector('[role="status"]');
  const room = Number(input.dataset.room);
  const files = [...input.files].slice(0, room);
  const digests = [];
  const problems = input.files.length > room ? [`Only ${room} more can be given.`] : [];
  const root = window.gradio_config.root.replace(/\/$/, "");
  for (const file of files) {
    status.textContent = `Sending ${file.name} …`;
    try {
      const answer = await fetch(`${root}${input.dataset.to}`, {
        method: "POST",
        headers: { "x-name": encodeURIComponent(file.name.slice(0, 80)) },
        body: file,
      });
      const said = await answer.json();
      if (answer.ok) digests.push(said.digest);
      else problems.push(`${said.detail}.`);
    } catch {
      problems.push(`${file.name} could not be sent.`);
    }
  }
  status.textContent = problems.join(" ");
  input.value = "";
  if (digests.length) trigger("added", { digests });
});
element.addEventListener("click", (event) => {
  if (event.target.closest("[data-clear]")) trigger("cleared", {});
});
