"""The project's name and version, as manifests and ``--version`` have them."""

__all__ = ["GENERATOR", "VERSION"]

GENERATOR = "spatial-llm"

VERSION = "0.1.0"
