"""Compares designs with the golden file, or records them: see `designs`."""

import json
import sys
from typing import Any

from .designs import FILE, NAMES, checks, golden


def differences(name: str, key: str, expected: Any, found: Any) -> list[str]:
    """A line for each value of a design that is not what it was."""
    expected = expected or {}
    return [
        f"{name}: {key} {one}: {expected.get(one)} in the file, now {found.get(one)}"
        for one in {**expected, **found}
        if expected.get(one) != found.get(one)
    ]


def main(arguments: list[str]) -> int:
    """Runs the comparison; 1 where something differs."""
    write = "--write" in arguments
    names = [argument for argument in arguments if argument != "--write"] or NAMES
    recorded = golden() if FILE.exists() else {}
    changed = []
    for name in names:
        found = {key: check(name) for key, check in checks().items()}
        for key, values in found.items():
            changed += differences(name, key, recorded.get(name, {}).get(key), values)
        print(f"{name}: done", flush=True)
        recorded[name] = found
    print("\n".join(changed) or "no difference")
    if write:
        FILE.write_text(json.dumps({name: recorded[name] for name in NAMES if name in recorded}, indent=1) + "\n")
    return 1 if changed and not write else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
