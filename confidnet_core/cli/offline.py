"""A page for `dvc plots` that draws without a network: DVC's own loads Vega, which draws it, from a server.

The scripts come from vl-convert-python, a package of the Vega project. They lie in .dvc/tmp, which git ignores, not in the repository.
DVC: `dvc config plots.html_template`, https://dvc.org/doc/user-guide/project-structure/configuration#plots.
"""

from pathlib import Path

from confidnet_core.files import write_text

TEMPLATE = Path("tmp/plots.html")  # in .dvc, as DVC's setting names it
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{{refresh_tag}}
<title>dvc plots</title>
<script>
{scripts}
</script>
<style>
body {{ font-family: system-ui, sans-serif; margin: 1rem; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def write_template(root: Path) -> Path:
    """ROOT/.dvc/tmp/plots.html, 1 MB. ValueError where the package is not installed, or ROOT is no DVC project."""
    if not (root / ".dvc").is_dir():
        raise ValueError(f"{root} has no folder .dvc; run this from the root of the project")
    try:
        from vl_convert import javascript_bundle
    except ModuleNotFoundError:
        raise ValueError("the package vl-convert-python is not installed; `pip install vl-convert-python`") from None
    # The newest of the version for which the templates are.
    bundle = javascript_bundle(vl_version="5.21")  # pyright: ignore[reportCallIssue]  # its stub lacks the default of `snippet`
    path = root / ".dvc" / TEMPLATE
    write_text(path, PAGE.format(scripts=bundle.replace("</script", "<\\/script")))
    return path
