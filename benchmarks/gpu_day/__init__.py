"""A day on a GPU in eight minutes: what no CPU can tell of quantlab, part by part."""
