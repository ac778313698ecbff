"""What a person looks at: the page, charts, pictures, and the curves for `dvc plots`."""
