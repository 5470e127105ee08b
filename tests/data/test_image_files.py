"""What is no image file is refused before it is read."""

import os

import pytest

from tests.data.scans import bad
from vgg_keras.config import Data
from vgg_keras.errors import UserError


def test_what_is_no_regular_file_is_named_and_not_read(class_folders, monkeypatch):
    import socket

    cat = class_folders / "cat"
    os.mkfifo(cat / "fifo.jpg")
    (cat / "zero.jpg").symlink_to("/dev/zero")
    (cat / "loop.jpg").symlink_to("loop.jpg")
    (cat / "gone.jpg").symlink_to("/no/such/file")
    (cat / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(cat)  # a socket's path is short
        listener.bind("socket.jpg")
    source, reasons = bad(class_folders)
    assert reasons == {
        "fifo.jpg": "a FIFO, where a file is needed",
        "zero.jpg": "a device, where a file is needed",
        "socket.jpg": "a socket, where a file is needed",
        "loop.jpg": "Too many levels of symbolic links",
        "gone.jpg": "No such file or directory",
    }
    assert source.train.size + source.val.size == 10


@pytest.mark.slow
def test_a_file_that_is_put_back_with_its_size_and_its_time_is_read_again(class_folders):
    """As by `cp -p` or `rsync -a`: the scan's cache would name it for ever, or hide the damaged one."""
    path = class_folders / "cat" / "001.jpg"
    content, times = path.read_bytes(), path.stat()

    def put(new):
        path.write_bytes(new)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    source, reasons = bad(class_folders)
    prints = source.train.fingerprints.tolist()
    assert not reasons
    put(content[:300] + bytes(len(content) - 300))
    assert list(bad(class_folders)[1]) == ["001.jpg"]
    put(content)
    source, reasons = bad(class_folders)
    assert not reasons and source.train.fingerprints.tolist() == prints


def test_files_of_gigabytes_are_refused_by_size_and_first_bytes(class_folders):
    """Sparse files: to read one of them would take its size in memory."""
    beginnings = {"tar.jpg": b"photos/", "jpeg.jpg": b"\xff\xd8\xff\xe0", "small.png": b"\x89PNG\r\n\x1a\n"}
    for name, beginning in beginnings.items():
        (class_folders / "cat" / name).write_bytes(beginning)
        os.truncate(class_folders / "cat" / name, 3 * 2**20 if name == "small.png" else 3 * 2**30)
    (class_folders / "cat" / "zeros.jpg").touch()
    os.truncate(class_folders / "cat" / "zeros.jpg", 2**28)
    _, reasons = bad(class_folders)
    too_large = "3,221,225,472 bytes, more than data.max_file_bytes=536870912"
    assert {name: reasons[name] for name in ("tar.jpg", "jpeg.jpg")} == {"tar.jpg": too_large, "jpeg.jpg": too_large}
    assert reasons["zeros.jpg"] == "no JPEG, PNG, BMP, GIF or WebP file"
    with pytest.raises(UserError, match=r"data\.max_file_bytes must be 1 or more\. Received: 0"):
        Data(max_file_bytes=0)
    assert bad(class_folders, max_file_bytes=2**21)[1]["small.png"].endswith("more than data.max_file_bytes=2097152")
