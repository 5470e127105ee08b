"""What people call the splits of a data set: its folders, and the words in a list's column `split`."""

# The names that are read as each split, in upper or lower case; and those that are too doubtful, which must be renamed.
NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
_DOUBTFUL = {"train": ("trn",), "val": ("validate", "vali", "dev", "eval"), "test": ("tst", "test1")}
_CONTENTS = ("set", "data", "images")  # as in training_set and test-images
DOUBTFUL = {
    split: (*words, *(f"{name}{joint}{one}" for name in NAMES[split] for joint in ("_", "-", "") for one in _CONTENTS))
    for split, words in _DOUBTFUL.items()
}
ALL = tuple(name for names in (*NAMES.values(), *DOUBTFUL.values()) for name in names)
