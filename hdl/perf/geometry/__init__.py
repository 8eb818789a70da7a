"""How the units of a design are laid out: their specs, and what follows from these."""
