"""The decoder's accelerator: prompts spatially, tokens with all arrays sharing each product, one design for both."""
