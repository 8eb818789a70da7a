"""The kernel library: one kernel per file, each with its spec, integer reference and hardware."""
