"""The names of classes, whatever machine they were written on."""

from vgg_keras.data.class_names import class_name, order_of


def test_a_class_has_one_name_in_both_forms_of_unicode():
    assert class_name("da\u0308ne") == class_name("d\u00e4ne") == class_name("d\u00e4ne".encode()) == "d\u00e4ne"
    assert class_name(b"\xe9\n") == r"\xe9\n"


def test_labels_are_in_the_order_of_numbers_where_all_are():
    assert order_of(["10", "9", "0"]) is int and order_of([]) is int
    assert order_of(["10", "9", "007"]) is order_of(["-1", "9"]) is order_of(["1.0"]) is str
