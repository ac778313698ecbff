"""Data sets: each file holds one function of its name, NAME(*, settings with defaults) -> Dataset.

Types and ranges of the settings stand in the signature (config/ranges.py), and the stage `sources` checks them before any other work.
A function returns checked data: it raises ValueError, naming the file or the setting, for bad input. The result depends only on the
settings and the raw files. These lie in the folder that `raw_folder_of_data_set` in _raw.py returns, and are downloaded if absent.

A data set of image files has an attribute `read_image`: a function (file_bytes, file_name, *, settings) -> uint8 (channels, height, width).
By it a served model reads new images as `prepare` read the others. Without it, image files must have the size of the model's images.
"""
