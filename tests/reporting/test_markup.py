"""Markdown as HTML: tables with headers, and names that stay text."""

from pages import Page

from confidnet_core.reporting.markup import html


def test_markdown_becomes_tables_with_headers_and_its_names_stay_text():
    table = html("### Scores\n\n| a | b |\n| --- | ---: |\n| [x](http://y) <i> | **1.00** [0.50, 2.00] |\n| z | -1 **worse** |")
    cells = Page(str(table))
    assert [element["attributes"]["scope"] for element in cells.all("th")] == ["col", "col", "row", "row"]
    assert cells.all("div")[0]["attributes"]["aria-label"] == "Table: Scores"
    assert not cells.all("a", "i") and "[x](http://y) <i>" in cells.texts("th")
    assert cells.texts("strong") == ["1.00", "worse"] and cells.all("strong")[1]["attributes"] == {"class": "worse"}
    assert cells.texts("span")[-1] == "[0.50, 2.00]"
