"""HTML pages from templates: what is inserted is escaped, and a name that lacks is an error."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lamae.files import open_whole


def write_page(path: Path, template: Path, **content: Any) -> None:
    """Render a template into a file, which appears whole or not at all."""
    page = render_page(template, **content)
    with open_whole(path) as file:
        file.write(page.encode())


def render_page(template: Path, **content: Any) -> str:
    """Render a template."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(content)
