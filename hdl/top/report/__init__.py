"""The report: one HTML page on a model on a device. What it says is gathered, pictures are drawn, a template filled."""
