"""The rows of a CSV list, without the images that they name."""

import pytest

from vgg_keras.data.list_rows import Row, each_image_once, read_rows
from vgg_keras.errors import UserError


def written(folder, text, encoding="utf-8"):
    (folder / "list.csv").write_bytes(text.encode(encoding))
    return folder / "list.csv"


def test_each_row_is_read_as_it_is_meant(tmp_path):
    """A spreadsheet's list: byte order mark, semicolons, quotes, spaces, another column, Unicode, an empty line."""
    text = 'Path; Label ;colour;SPLIT\n"a; b.jpg" ; cat;red;train\n\n  ä.jpg;  dog|cat | dog ;; VAL\nc.jpg;;;test\n'
    assert list(read_rows(written(tmp_path, text, "utf-8-sig"))) == [
        Row(2, "a; b.jpg", "cat", "", "train"),
        Row(4, "ä.jpg", "cat|dog", "", "val", any_number=True),
        Row(5, "c.jpg", "", "", "test"),
    ]


def test_a_row_with_a_box_has_numbers_and_one_without_has_none(tmp_path):
    text = "path,label,xmin,ymin,xmax,ymax\na.jpg,cat,1,2.5,30,40\na.jpg,dog,,,,\n"
    first, second = read_rows(written(tmp_path, text))
    assert first.box == (1.0, 2.5, 30.0, 40.0) and second.box is None
    assert each_image_once(tmp_path, [first, second]) == [first, second]  # an image of each class
    assert each_image_once(tmp_path, [first, first]) == [first]


def test_another_split_in_a_later_line_is_named_with_both_lines(tmp_path):
    rows = list(read_rows(written(tmp_path, "path,label,split\na.jpg,cat,train\nb.jpg,cat,val\n./a.jpg,cat,val\n")))
    with pytest.raises(UserError, match=r"line 4: '\./a\.jpg' with the split 'val', which line 2 gives 'train'"):
        each_image_once(tmp_path, rows)
