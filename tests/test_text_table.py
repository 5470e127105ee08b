"""A table as text, by hand."""

from vgg_keras.text_table import text_table


def test_the_first_column_is_left_and_the_others_are_right():
    table = text_table([["net", "error"], ["A", "29.7 %"], ["A-LRN", "7 %"]])
    assert table == "net     error\n-----  ------\nA      29.7 %\nA-LRN     7 %"


def test_letters_of_two_columns_and_accents_of_none():
    """As terminals draw them: the columns stay in line."""
    table = text_table([["", "1."], ["猫.jpg", "ㄱ 7 %"], ["e\u0301te\u0301.jpg", "7 %"]])
    assert table == "             1.\n-------  ------\n猫.jpg   ㄱ 7 %\ne\u0301te\u0301.jpg     7 %"
