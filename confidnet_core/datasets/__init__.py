"""Data sets: one function a file, NAME(*, settings with defaults) -> Dataset.

Types and ranges of the settings stand in the signature (config/ranges.py), and the stage `sources` checks them before any other work.
A function returns checked data only: bad input is a ValueError that names the file or the setting.
Raw files lie where `_raw.raw_folder` says and are downloaded there if absent; a result depends on settings and files only.
"""
