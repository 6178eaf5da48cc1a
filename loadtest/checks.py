"""Runs the checks of a script against a live server, and tells how each went."""

import traceback


def run(checks, what):
    """Runs named checks, each of which raises when something is wrong. Returns the exit code."""
    failed = 0
    for name, check in checks.items():
        try:
            check()
        except Exception:  # pylint: disable=broad-exception-caught
            failed += 1
            print(f"FAILED {name}\n{traceback.format_exc()}")
        else:
            print(f"ok     {name}")
    print(f"{what}: {len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


def named(checks):
    """Functions by their own names."""
    return {check.__name__: check for check in checks}
