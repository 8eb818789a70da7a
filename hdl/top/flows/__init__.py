"""What an emission has besides Verilog, for each flow of the vendor's tools."""
