"""How the checkpoints that come with the project were trained; none of this is needed to use them."""
