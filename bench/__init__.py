"""What is measured: each module prints its tables, `python -m bench.NAME`."""
