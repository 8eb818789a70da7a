"""The shell around a design on a card: its AXI4 masters and its control registers."""
