"""A design as a kernel on a card: memory masters, control registers, and one request a run."""
