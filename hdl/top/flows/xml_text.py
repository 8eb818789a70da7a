"""XML as text."""

from xml.etree.ElementTree import Element, indent, tostring

__all__ = ["xml_text"]


def xml_text(root: Element) -> str:
    """The text of a document, an element on each line."""
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"
