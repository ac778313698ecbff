"""HTML template with which `dvc plots` works without a network: DVC's own template loads the drawing library Vega from a server.

Vega's scripts come from vl-convert-python, a package of the Vega project. The template is written to .dvc/tmp, which git ignores. DVC: `dvc
config plots.html_template`, https://dvc.org/doc/user-guide/project-structure/configuration#plots.
"""

from pathlib import Path

from confidnet_core.files import write_text

PLOTS_TEMPLATE_PATH = Path("tmp/plots.html")  # relative to .dvc, as in DVC's setting
PLOTS_PAGE_TEMPLATE = """<!DOCTYPE html>
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


def write_plots_template(project_root: Path) -> Path:
    """Write the HTML template for `dvc plots` to PROJECT_ROOT/.dvc/tmp/plots.html (1 MB) and return its path.

    Raises ValueError if the package vl-convert-python is not installed or the folder is no DVC project.
    """
    if not (project_root / ".dvc").is_dir():
        raise ValueError(f"{project_root} has no folder .dvc; run this from the root of the project")
    try:
        from vl_convert import javascript_bundle
    except ModuleNotFoundError:
        raise ValueError("the package vl-convert-python is not installed; `pip install vl-convert-python`") from None
    # The newest version of Vega-Lite 5, for which DVC's templates are written.
    vega_scripts = javascript_bundle(vl_version="5.21")  # pyright: ignore[reportCallIssue]  # its stub lacks the default of `snippet`
    template_path = project_root / ".dvc" / PLOTS_TEMPLATE_PATH
    write_text(template_path, PLOTS_PAGE_TEMPLATE.format(scripts=vega_scripts.replace("</script", "<\\/script")))
    return template_path
