() => {
  // A browser's own secret, by which it may delete what it ran; a new one where nothing is kept.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const made = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  try {
    const kept = localStorage.getItem("quantlab-mine") || made;
    localStorage.setItem("quantlab-mine", kept);
    return [kept];
  } catch {
    return [made];
  }
}
