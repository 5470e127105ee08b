"""The images of an evaluation: what is printed and kept of those that the scan leaves out."""

from vgg_keras.config import Config
from vgg_keras.data.scan import BadImage
from vgg_keras.data.splits import Split
from vgg_keras.evaluation import images


def test_skipped_images_and_notes_are_printed_and_counted(monkeypatch, capsys):
    bad = [BadImage("val/a.jpg", "an empty file"), BadImage("val/b.jpg", "no image")]
    scanned = Split(1234, None, str, notes=("a class with 95 % of the images",))
    asked = []
    monkeypatch.setattr(images, "readable", lambda *words: asked.append(words) or (scanned, bad))
    listed, config = Split(1236, None, str), Config()
    found = images.scanned_images(listed, "val", "two classes", config)
    assert asked == [(listed, "val", config)] and found.split is scanned
    assert found.bad == ("val/a.jpg: an empty file", "val/b.jpg: no image")
    assert capsys.readouterr().out.splitlines() == [
        "skipped: val/a.jpg: an empty file",
        "skipped: val/b.jpg: no image",
        "note: a class with 95 % of the images",
    ]
    assert found.line("float32") == "data: two classes; val: 1,234 images, 2 skipped; precision: float32"
