"""The site's pages that are made of declarations (commands, platforms, schemas), or lie outside docs/."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from guestrepair.analyzers.base import all_analyzers
from guestrepair.cli.main import main
from guestrepair.cli.platforms import all_platforms, requirements
from guestrepair.platforms.load import load, names
from tools.man_pages import commands

TOP = Path(__file__).parents[1]
PLACES = {
    "explanation/threat-model.md": "SECURITY.md",
    "contributing/index.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""Pages of the site that are files elsewhere in the repository."""


def generated() -> dict[str, str]:
    """Markdown of each, by its place below docs/."""
    pages = {uri: (TOP / source).read_text(encoding="utf-8") for uri, source in PLACES.items()}
    pages["reference/commands/index.md"] = _all_commands()
    for path, command in commands(main):
        if len(path) == 2:
            pages[f"reference/commands/{path[1]}.md"] = "\n".join(_of_command(command, path))
    pages["rules/index.md"] = _all_rules()
    pages["reference/platforms.md"] = _platforms()
    pages["reference/schemas.md"] = _schemas()
    return pages


def _all_commands() -> str:
    rows = [
        f"| [`{' '.join(path)}`]({path[1]}.md{'#' + '-'.join(path) if len(path) > 2 else ''}) "
        f"| {_cell(_paragraphs(command)[0])} |"
        for path, command in commands(main)
        if len(path) > 1
    ]
    head = [
        "# Commands",
        "",
        "What `--help` says, and the manual pages.",
        "",
        "| command | what it does |",
        "|---|---|",
    ]
    return "\n".join([*head, *rows, "", *_prose(_paragraphs(main)[1:])]) + "\n"


def _of_command(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    """A command and those below it: usage, what it does, options."""
    context = click.Context(command, info_name=" ".join(path), **command.context_settings)
    yield f"{'#' * (len(path) - 1)} {' '.join(path)}"
    yield ""
    yield from _fenced([" ".join([*path, *command.collect_usage_pieces(context)])])
    yield from _prose(_paragraphs(command))
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if record is not None and isinstance(option, click.Option):
            yield f"`{record[0]}`"
            variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar or ()
            variable = f" Variable: {', '.join(f'`{v}`' for v in variables)}." if variables else ""
            yield f":   {_inline(record[1])}{variable}"
            yield ""
    if isinstance(command, click.Group):
        for below, each in commands(command, path):
            if len(below) == len(path) + 1:
                yield from _of_command(each, below)


def _paragraphs(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    return re.split(r"\n\n+", text.strip())


def _prose(paragraphs: list[str]) -> Iterator[str]:
    """Paragraphs; those that click leaves as they are (after ``\\b``) are examples."""
    for paragraph in paragraphs:
        lines = paragraph.splitlines()
        if lines[0] in {"\b", "\\b"}:
            yield from _fenced(lines[1:])
        else:
            yield from (_inline(" ".join(lines)), "")


def _fenced(lines: list[str]) -> Iterator[str]:
    yield from ("```", *lines, "```", "")


def _inline(text: str) -> str:
    """Text in which nothing means anything to Markdown."""
    return re.sub(r"([\\`*_<>\[\]~])", r"\\\1", " ".join(text.split()))


def _cell(text: str) -> str:
    return _inline(text).replace("|", "\\|")


def _all_rules() -> str:
    lines = ["# Rules", "", "`guestrepair explain RULE` prints the same.", ""]
    for analyzer in all_analyzers():
        lines += [f"## [{analyzer.name}]({analyzer.name}.md)", "", _inline(analyzer.summary), ""]
        lines += ["| rule | severity | what it finds |", "|---|---|---|"]
        for rule in analyzer.rules:
            anchor = rule.name.replace("/", "")
            severities = ", ".join(s.value for s in rule.severities)
            lines.append(
                f"| [{rule.name}]({analyzer.name}.md#{anchor}) | {severities} | {_cell(rule.summary)} |"
            )
        lines.append("")
    return "\n".join(lines)


def _platforms() -> str:
    lines = ["# Platforms", "", "What `--platform NAME` asks of an image, and who says so.", ""]
    lines += _fenced(all_platforms().splitlines())
    for name in names():
        lines += [f"## {name}", "", *_fenced(requirements(load(name)).splitlines())]
    return "\n".join(lines)


def _schemas() -> str:
    lines = [
        "# Schemas",
        "",
        "JSON Schema of what the tool writes for programs: fields are added, never changed.",
        "",
    ]
    for path in sorted((TOP / "docs/schema").glob("*.json")):
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lines += [f"## {schema.get('title', path.stem)}", "", f"[{path.name}](../schema/{path.name})", ""]
        lines += [_inline(schema["description"]), ""] if "description" in schema else []
        places = {"": schema, **schema.get("$defs", {})}
        for name, place in places.items():
            if place.get("properties"):
                lines += [*([f"### {path.stem}: {name}", ""] if name else []), *_properties(place), ""]
    return "\n".join(lines)


def _properties(place: dict[str, Any]) -> Iterator[str]:
    yield from ("| key | type | what it is |", "|---|---|---|")
    for key, value in place["properties"].items():
        yield f"| `{key}` | {_cell(_kind(value))} | {_cell(str(value.get('description', '')))} |"


def _kind(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return str(value["$ref"]).rpartition("/")[2]
    if "enum" in value or "const" in value:
        return ", ".join(json.dumps(v) for v in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}))}"
    for word in ("oneOf", "anyOf"):
        if word in value:
            return " or ".join(_kind(v) for v in value[word])
    kind = value.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
