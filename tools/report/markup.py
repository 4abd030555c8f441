"""Tables and boxes of the page."""
import re

from words import esc


def html_table(head, rows, kind=""):
    """A table; on narrow screens its rows are shown as lists, each value with the head of its column."""
    def cell(tag, text, label=""):
        return f"<{tag}" + (f' data-label="{esc(str(label))}"' if label else "") + \
            f">{esc(str(text))}</{tag}>"
    top = "".join(cell("th", text) for text in head)
    body = "".join("<tr>" + cell("th", row[0]) + "".join(
        cell("td", text, label) for text, label in zip(row[1:], head[1:])) + "</tr>" for row in rows)
    wide = "stack" if len(head) > 3 else ""
    return f'<table class="{" ".join(filter(None, [wide, kind]))}"><thead><tr>{top}</tr></thead>' \
           f"<tbody>{body}</tbody></table>"


def details(summary, body):
    return f"<details><summary>{esc(summary)}</summary>{body}</details>"


def prose(text):
    """A sentence, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", esc(text))


def bullets(sentences):
    return "<ul>" + "".join(f"<li>{prose(s)}</li>" for s in sentences) + "</ul>"


def box(kind, title, body):
    return f'<div class="box {kind}" id={kind}><b>{esc(title)}</b>{body}</div>'
