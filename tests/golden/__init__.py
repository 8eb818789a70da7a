"""The designs whose emissions and counted cycles must not change unnoticed, and the file that holds what they were."""
