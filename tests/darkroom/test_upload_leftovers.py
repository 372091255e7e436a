"""What a killed `darkroom run` was packing is removed by the next one; what another one packs now is not."""

import os
import subprocess
import sys

from darkroom.upload import _own_folder


def test_folders_of_processes_that_are_gone_are_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = tmp_path / str(ended.pid), tmp_path / str(os.getppid())
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "photos.new").write_bytes(b"half a zip")
    (tmp_path / "photos-of-an-earlier-version.zip").write_bytes(b"")
    own = _own_folder(tmp_path)
    assert own.is_dir() and sorted(tmp_path.iterdir()) == sorted([own, alive])
    assert (alive / "photos.new").exists()
