"""Who is there, and what each may take of the page at once, so that there is room for others."""
