"""The commands and their options. These modules load in milliseconds, so that --help is quick: a command imports
what it needs when it runs."""
