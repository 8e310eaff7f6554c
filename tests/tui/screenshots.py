"""Makes the README's pictures: python tests/tui/screenshots.py [FOLDER]

They show the scenes that the snapshot tests hold the app to; the folder is `assets` unless another is given.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from scenes import DIALOGS, MAIN, Scene, arranged, posed_app

ASSETS = Path(__file__).parent.parent.parent / "assets"
PICTURES: dict[str, tuple[Scene, tuple[int, int]]] = {
    "main-screen": (MAIN, (120, 36)),
    **{f"{scene.name}-screen": (scene, (100, 30)) for scene in DIALOGS if scene.name in ("types", "presets")},
}


async def picture(scene: Scene, size: tuple[int, int]) -> str:
    """A scene as SVG."""
    app = posed_app("textual-dark")
    async with app.run_test(size=size) as pilot:
        await arranged(scene)(pilot)
        return app.export_screenshot()


def main() -> None:
    """Write all pictures."""
    os.environ.pop("NO_COLOR", None)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS
    for name, (scene, size) in PICTURES.items():
        (folder / f"{name}.svg").write_text(asyncio.run(picture(scene, size)), encoding="utf-8")
        print(folder / f"{name}.svg")


if __name__ == "__main__":
    main()
