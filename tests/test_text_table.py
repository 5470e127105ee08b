"""A table as text, by hand."""

from vgg_keras.text_table import text_table


def test_the_first_column_is_left_and_the_others_are_right():
    table = text_table([["net", "error"], ["A", "29.7 %"], ["A-LRN", "7 %"]])
    assert table == "net     error\n-----  ------\nA      29.7 %\nA-LRN     7 %"
