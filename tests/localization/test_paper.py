"""The paper's Tables 8 and 9, typed once more, and which evaluations are theirs."""

from tests.localization.toy import described
from vgg_keras.config import Architecture, Localization
from vgg_keras.localization import paper


def test_the_papers_cells_are_those_of_its_tables():
    rules = Localization()
    center = {"protocol": "center", "scales": (256,), "classifier_sha256": ""}
    expected = {("scr", "fc"): 36.4, ("pcr", "fc"): 34.3, ("pcr", "all"): 33.1}
    for (boxes, layers), error in expected.items():
        assert paper.cell([described(**center, boxes=boxes, trained_layers=layers)], 50_000, rules) == paper.Cell(
            8, error
        )
    one = described(scales=(256,))
    two = [described(training_scale=(384,), scales=(side,)) for side in (352, 384)]
    for nets, error in (([one], 29.5), (two[1:], 28.2), (two, 27.5), ([one, *two], 26.9)):
        assert paper.cell(nets, 50_000, rules) == paper.Cell(9, error)
    for nets, images in (
        ([one], 49_999),
        ([described(scales=(384,))], 50_000),
        ([described(classifier_sha256="")], 50_000),
    ):
        assert isinstance(paper.cell(nets, images, rules), str)
    for changes in ({"trained_layers": "block5"}, {"trained_layers": "predictions"}, {"boxes": "scr"}, {"flip": True}):
        assert isinstance(paper.cell([described(**center | changes)], 50_000, rules), str)
    easier = Localization(iou=0.4)
    for nets in ([one], [described(**center)]):
        assert paper.cell(nets, 50_000, easier) == "a box is right above an IoU of 0.4, the paper's above 0.5"
    assert paper.cell([one], 50_000, Localization(answers=3)) == "3 answers, the paper's 5"
    assert paper.cell([described(**center)], 50_000, Localization(answers=3)).table == 8  # it has no answers


def test_no_cell_names_the_reason():
    dense = described(scales=(256,))
    none = "the paper prints none for these boxes, S, Q and test"
    unknown = "S and the trained layers of these weights are not known: a run states them"
    for nets, images, reason in (
        ([dense], 100, "100 images, the paper's 50,000"),
        ([described(scales=(256,), training_scale=())], 50_000, unknown),
        ([dense, described(scales=(384,), trained_layers="")], 50_000, unknown),
        ([described(scales=(352,))], 50_000, none),
        ([dense, described(protocol="center", scales=(256,))], 50_000, none),  # a union of two tests
        ([described(windows="crops")], 50_000, "each window by itself, the paper's of the whole image's map"),
        (
            [described(architecture=Architecture("E", num_classes=1000, boxes="pcr"))],
            50_000,
            "name is E, the paper's D",
        ),
        (
            [dense, described(architecture=Architecture("D", num_classes=1000, boxes="pcr", width=0.25))],
            50_000,
            "width is 0.25, the paper's 1.0",
        ),
    ):
        assert paper.cell(nets, images, Localization()) == reason
