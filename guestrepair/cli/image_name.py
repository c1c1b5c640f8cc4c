"""What stands for an image on the command line: a path, or a URI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:  # every command starts without it
    from guestrepair.disk.attach.location import ImageName

    _ParamType = click.ParamType[Any]  # generic from click 8.3 on
else:
    _ParamType = click.ParamType


class _Named(_ParamType):
    """What a shell completes as a file."""

    name = "image"

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Files of this host; a URI is not completed."""
        return [CompletionItem(incomplete, type="file")]


class _ImageName(_Named):
    """A path of this host, or the location of an image that has to be attached."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ImageName:
        """What the text names.

        Raises:
            UsageError: it is a URI that is not whole, or of a kind that is not known.
        """
        from guestrepair.disk.attach.location import parse_image_name

        return parse_image_name(value) if isinstance(value, str) else value


class _OfThisHost(_Named):
    """A path, for commands that write to the image, or look for what was written to it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """What the text names.

        Raises:
            UsageError: it lies elsewhere, or in an archive.
        """
        from guestrepair.disk.attach.location import parse_image_name
        from guestrepair.operations.examined import refuse_elsewhere

        return refuse_elsewhere(parse_image_name(str(value)), "" if ctx is None else str(ctx.info_name))


IMAGE = _ImageName()
IMAGE_OF_THIS_HOST = _OfThisHost()
