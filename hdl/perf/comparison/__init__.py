"""GPUs by a roofline with measured efficiencies, and where an FPGA beats them."""
