"""The network as data: its shape, its weights, their quantisation, and the references that the hardware is held to."""
