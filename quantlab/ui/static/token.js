() => [new URLSearchParams(location.search).get("run") ?? ""]
