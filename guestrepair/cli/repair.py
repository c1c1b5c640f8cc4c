"""``guestrepair repair``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guestrepair.cli.ask import Asker
from guestrepair.cli.completing import rules
from guestrepair.cli.console import Console, check_output
from guestrepair.cli.image_name import IMAGE
from guestrepair.cli.options import (
    PATH,
    again,
    analyzer_options,
    image_options,
    output_options,
    threshold,
    to_image_options,
    to_scan_options,
)
from guestrepair.cli.profile import GOLDEN, profile_option
from guestrepair.cli.targets import target_options
from guestrepair.disk.attach.location import ImageName
from guestrepair.errors import UsageError
from guestrepair.operations.options import SourceOptions
from guestrepair.operations.repair import RepairOptions, repair
from guestrepair.repair.choose import Choice
from guestrepair.report.data import Report
from guestrepair.report.formats import all_formats


class _DryRunCommand(click.Command):
    """Lets ``--dry-run`` stand without a value: click would take the image for it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a bare ``--dry-run`` its value."""
        end = args.index("--") if "--" in args else len(args)
        given = ["--dry-run=plan" if a == "--dry-run" else a for a in args[:end]]
        return super().parse_args(ctx, given + args[end:])


@click.command("repair", cls=_DryRunCommand)
@click.argument("image", type=IMAGE)
@click.option(
    "--dry-run",
    type=click.Choice(["plan", "verify"]),
    metavar="[=verify]",
    help="Show every change and make none; with =verify, also try them on a throw-away overlay.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--all", "everything", is_flag=True, help="Also make the repairs that are marked review.")
@click.option(
    "--select",
    multiple=True,
    metavar="RULE[@SUBJECT]",
    shell_complete=rules,
    help="Only these repairs, safe or marked review; shell patterns; repeatable.",
)
@click.option(
    "--donor",
    "donors",
    multiple=True,
    type=IMAGE,
    metavar="IMAGE|DIR",
    help="A healthy system of the same distribution to take missing packaged files from; repeatable.",
)
@click.option(
    "--packages",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A directory of .deb, .rpm, .apk or .pkg.tar files to take missing files from; repeatable.",
)
@click.option("--fetch", is_flag=True, help="Fetch missing files' packages from the distribution's archive.")
@click.option("--no-guest-backup", is_flag=True, help="Leave no copies beside edited files in the guest.")
@click.option(
    "--prove-boot", is_flag=True, help="Boot the repaired overlay first; write only if it comes up."
)
@click.option(
    "--allow-guest-programs", is_flag=True, help="Allow repairs that run the guest's own programs (offline)."
)
@click.option("--state-dir", type=PATH, help="Where undo data is kept.")
@analyzer_options
@profile_option()
@target_options
@image_options
@click.option("--timings", is_flag=True, help="Say on stderr how long each stage took.")
@output_options(Report, names=("-o",))
@click.option(
    "--output",
    "new_image",
    type=PATH,
    metavar="FILE.qcow2",
    help="Of an image that lies elsewhere or in an archive: the new image that is made of it here, and "
    "repaired. Else the same as -o.",
)
@click.pass_obj
def command(console: Console, /, *, image: ImageName, **values: Any) -> int:
    """Repair what scan finds in IMAGE, in the image itself.

    All changes are made on an overlay first and verified there; only then they are written, all
    or nothing. undo takes them back, bit for bit. On a terminal you are asked about each repair,
    and once more before anything is written. With --yes those marked safe are made; those marked
    review need --all or their name in --select. Manual ones are only explained.

    \b
    guestrepair repair /dev/vdb
    guestrepair repair --dry-run /dev/vdb
    guestrepair repair --yes /dev/vdb
    guestrepair repair --yes --donor healthy.qcow2 broken.qcow2
    guestrepair repair --select fstab/source-not-found@/etc/fstab:3 disk.raw
    """
    output, new_image = values.pop("output"), values.pop("new_image")
    if isinstance(image, Path):  # a report, as ever
        output, new_image = output or new_image, None
    limit = threshold(values.pop("fail_on"))
    output_format = values.pop("output_format")
    timings = values.pop("timings")
    image_opts, scan_opts = to_image_options(values), to_scan_options(values)
    check_output(output, (image,), image_opts, values["donors"])
    how = _how(console, values, golden=scan_opts.analysis.profile == GOLDEN)
    if isinstance(image, Path) or how.dry_run:
        result = repair(image, image_opts, scan_opts, how, console.ui())
    else:
        from guestrepair.operations.whole_copy import repair_copy

        result = repair_copy(image, new_image, image_opts, scan_opts, how, console.ui())
    result.again = again(click.get_current_context(), scan_opts.analysis)
    console.show_errors(result)
    if timings:
        for stage, seconds in result.timings:
            click.echo(f"{seconds:8.2f} s  {stage}", err=True)
    report = Report([result], limit)
    if output or all_formats()[output_format].for_programs or not result.errors or result.findings:
        console.write_report(report, console.renderer(output_format, Report, output), output)
    return report.exit_status(limit)


def _how(console: Console, values: dict[str, Any], *, golden: bool) -> RepairOptions:
    dry_run, yes = values["dry_run"] or "", values["yes"]
    if not dry_run and not yes and not console.can_ask:
        raise UsageError(
            "repair asks before it writes, and nobody is at the terminal",
            hint="--yes makes the safe repairs without asking; --dry-run shows them",
        )

    asker = None if yes or dry_run else Asker(console)
    return RepairOptions(
        # Whoever is asked about each repair is asked about those marked review, too.
        choice=Choice(everything=values["everything"] or asker is not None, select=values["select"]),
        sources=SourceOptions(donors=values["donors"], packages=values["packages"], fetch=values["fetch"]),
        dry_run=dry_run,
        # Old content beside the files is the last that a golden image should have; undo keeps it on the host.
        guest_backup=not (values["no_guest_backup"] or golden),
        guest_programs=values["allow_guest_programs"],
        prove_boot=values["prove_boot"],
        state_dir=values["state_dir"],
        ask=asker.wants if asker is not None else None,
        confirm=asker.confirms if asker is not None else None,
    )
