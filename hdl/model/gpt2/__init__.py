"""GPT-2 as data: its weights, their quantisation, and the references that the decoder's hardware is held to."""
