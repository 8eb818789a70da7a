"""The command `list`: what is built in."""

import click

from ..console import show

__all__ = ["list_command"]


@click.command("list")
def list_command() -> None:
    """List the built-in models and the devices."""
    from ..describe import device_lines, devices_table, models_table, not_built_lines

    show(models_table(), *not_built_lines(), "", devices_table(), *device_lines())
