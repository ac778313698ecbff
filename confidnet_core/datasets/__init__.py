"""Data sets: one function a file, NAME(*, settings with defaults) -> Dataset.

Nothing is returned before everything was checked: bad input is a ValueError that names the file or the setting.
Raw files lie where `_raw.raw_folder` says and are downloaded there if absent; a result depends on settings and files only.
"""
