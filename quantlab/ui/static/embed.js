// A page that is asked for with embed=1 shows the stage alone, for the pages of others.
if (new URLSearchParams(location.search).get("embed") === "1")
  document.documentElement.classList.add("ql-embed");
