(...values) => {
  // The question stands in the address: to bookmark, to pass on, and to come back to.
  const names = ["hardware", "memory", "bits", "model", "library", "needs"];
  const asked = new URLSearchParams();
  names.forEach((name, index) => {
    const value = values[index];
    if (Array.isArray(value) ? value.length : value) asked.set(name, String(value));
  });
  try {
    history.replaceState(history.state, "", `#${asked}`);
  } catch {
    // Some frames may not touch their address; the page works without.
  }
  return [];
}
