"""The paper's own model: its equations, its designs as mappings, and the loops of its published kernels."""
