"""params.yaml as types, and the names that it may use: no image and no network is touched here."""
