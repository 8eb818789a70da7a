"""The kernel library: one kernel a file, each with its spec, integer reference and hardware."""
