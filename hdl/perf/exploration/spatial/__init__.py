"""Spatial designs: a unit for each operator, and a layer's weights on chip."""
