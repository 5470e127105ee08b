"""The rows of a CSV list, without the images that they name."""

import os
import tracemalloc

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


def test_empty_lines_may_come_before_the_first_one(tmp_path):
    assert list(read_rows(written(tmp_path, "\n \r\npath;label\n\na.jpg;cat\n", "utf-8-sig"))) == [
        Row(5, "a.jpg", "cat", "", "")
    ]


@pytest.mark.parametrize(
    ("split", "words"),
    [("train", "train Training"), ("val", "val valid VALIDATION"), ("test", "test testing")],
)
def test_splits_go_by_the_names_that_folders_have(tmp_path, split, words):
    path = written(tmp_path, "path,label,split\n" + "".join(f"{word}.jpg,cat,{word}\n" for word in words.split()))
    assert {row.split for row in read_rows(path)} == {split}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("Dev", "Write val, if it is meant."),
        ("tst", "Write test, if it is meant."),
        ("trian", "Did you mean 'train'?"),
        ("0", "Known: test, train, val."),
    ],
)
def test_another_word_for_a_split_is_refused_with_the_one_that_may_be_meant(tmp_path, word, hint):
    with pytest.raises(UserError) as caught:
        list(read_rows(written(tmp_path, f"path,label,split\na.jpg,cat,{word}\n")))
    assert str(caught.value).endswith(f"line 2: split '{word}'. {hint}")


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


def test_the_first_line_is_read_as_the_others_are(tmp_path):
    text = '"path" , "label"\r\n"a.jpg" , "cat"\r\n'
    assert list(read_rows(written(tmp_path, text))) == [Row(2, "a.jpg", "cat", "", "")]


def test_a_class_is_a_line_of_text_whatever_its_label_is(tmp_path):
    """As the name of a class folder: labels.txt has a line for each."""
    (row,) = read_rows(written(tmp_path, 'path,label\na.jpg,"big\ncat|\x1b[31mred"\n'))
    assert row.label == r"\x1b[31mred|big\ncat" and row.line == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # half of a label would be the label of both
        (
            "path,label\na.jpg,Springfield, IL\nb.jpg,Springfield, MA\n",
            "line 2: 3 values, where the first line names 2. A value with ',' in it stands between quotes.",
        ),
        ("path,label,Label\na.jpg,cat,dog\n", "A list names each column once. Received: LIST with label twice."),
        # the line where the value begins, not the last one of the file
        ('path,label\na.jpg,"cat\nb.jpg,dog\nc.jpg,dog\n', "line 2: unexpected end of data."),
        ("path," + "l" * 200_000 + "\n", "line 1: field larger than field limit (131072)."),
    ],
)
def test_a_mistake_is_named_by_the_line_where_it_begins(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        list(read_rows(path))
    assert str(caught.value).endswith(message.replace("LIST", str(path))), caught.value


def test_values_without_a_name_may_be_empty(tmp_path):
    assert list(read_rows(written(tmp_path, "path,label\na.jpg,cat,,\n"))) == [Row(2, "a.jpg", "cat", "", "")]


def test_a_byte_that_is_no_text_is_named_by_its_place_in_the_file(tmp_path):
    text = "path,label\n" + "".join(f"photos/{image:06}.jpg,cat\n" for image in range(5000)) + "a.jpg,L"
    path = written(tmp_path, text + "\xf6we\n", "latin-1")
    with pytest.raises(UserError, match=rf"whose byte {len(text)} is none, in line 5002\. Save it as UTF-8"):
        list(read_rows(path))


def test_of_a_file_without_line_breaks_no_more_than_a_line_is_read(tmp_path):
    """As the image of a disk, or a file that was never written."""
    path = tmp_path / "list.csv"
    for begin, line in ((b"", 1), (b"path,label\na.jpg,cat\n", 3)):
        path.write_bytes(begin)
        os.truncate(path, 2**33)
        tracemalloc.start()
        with pytest.raises(UserError, match=rf"list\.csv, line {line}: 1,048,576 characters or more\."):
            list(read_rows(path))
        assert tracemalloc.get_traced_memory()[1] < 2**26
        tracemalloc.stop()
