"""A network on several devices: shares of it, splits, their times, and where the time goes."""
