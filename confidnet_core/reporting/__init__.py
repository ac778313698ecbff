"""Report that a person looks at: the HTML page, charts, pictures, and the curves for `dvc plots`."""
