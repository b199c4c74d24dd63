"""Programs that make what ships in data/; nothing in quantlab imports them."""
