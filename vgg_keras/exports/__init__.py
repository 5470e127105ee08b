"""Models out: SavedModel, TFLite and ONNX, each compared with the net it was made of."""
