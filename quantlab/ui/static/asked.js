() => [location.hash.slice(1)]
