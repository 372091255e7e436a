"""Model archives of strangers: what would leave the folder is refused, in words that tell nothing of this machine."""

import io
import tarfile

import pytest

from local_cloud.errors import AwsError
from local_cloud.sagemaker.artifacts import unpack


def archive(path, name: str, link: str = ""):
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
            tar.addfile(member)
        else:
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize(("name", "link"), [("../../x.json", ""), ("l", "/etc/passwd"), ("l", "../../x")])
def test_a_member_that_leaves_the_folder_is_named_and_the_folder_is_not(tmp_path, name, link):
    with pytest.raises(AwsError) as refused:
        unpack(archive(tmp_path / "model.tar.gz", name, link), tmp_path / "private" / "model")
    assert repr(name) in str(refused.value) and str(tmp_path) not in str(refused.value)
    assert not list((tmp_path / "private" / "model").iterdir())


def test_an_archive_that_stays_inside_is_unpacked(tmp_path):
    unpack(archive(tmp_path / "model.tar.gz", "code/x.json"), tmp_path / "model")
    assert (tmp_path / "model" / "code" / "x.json").read_bytes() == b"x"
