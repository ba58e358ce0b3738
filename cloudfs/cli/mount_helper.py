"""`mount.cloudfs`, the helper of mount(8): `mount -t cloudfs URL DIRECTORY -o OPTIONS` and fstab.

It mounts in the background, returns once the mount responds, and ends with the codes of mount(8)
instead of those of `cloudfs`. It needs neither PATH nor HOME: systemd sets none for mounts.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from cloudfs import __version__
from cloudfs.cli import errors
from cloudfs.cli.commands import mount
from cloudfs.config import options, sources
from cloudfs.config.settings import MountSettings, resolve
from cloudfs.errors import ExitCode, UserError, printable
from cloudfs.system import mountpoints

START_S: Final = 45.0
"""With the default `--retry-budget` less than the 90 s that systemd gives the start of a mount."""

FROM_FILE: Final = "none"
"""The source in fstab that leaves the URL to the file of `config=`."""

_DONE, _USAGE, _SYSTEM, _BUG, _INTERRUPTED, _FAILED = 0, 1, 2, 4, 8, 32
_CODES: Final = {
    ExitCode.OK: _DONE,
    ExitCode.BUG: _BUG,
    ExitCode.USAGE: _USAGE,
    ExitCode.FUSE: _SYSTEM,
    errors.INTERRUPTED: _INTERRUPTED,
}

# Generic options that mount(8) passes on. Nothing is written and no access time is kept, so that
# they have no effect.
_WITHOUT_EFFECT: Final = re.compile(
    r"a?sync|dirsync|(no|rel|strict|norel|nostrict)?atime|(no)?diratime|(no)?lazytime|(no)?group"
    r"|(no)?owner|silent|loud|(no)?iversion|(no)?mand|nosymfollow|nofail|user=.*|u?helper=.*|comment=.*"
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", metavar="URL")
@click.argument("directory", metavar="DIRECTORY")
@click.option("-o", "words", multiple=True, metavar="OPT[,OPT...]", help="Options, as in fstab.")
@click.option("-s", "sloppy", is_flag=True, help="Leave out options that are not known.")
@click.option("-f", "fake", is_flag=True, help="Check everything, and do not mount.")
@click.option("-n", "no_mtab", is_flag=True, help="Accepted: there is no /etc/mtab to write.")
@click.option("-v", "verbose", is_flag=True, help="Say what is done.")
@click.option("-N", "namespace", metavar="NAMESPACE", help="Refused: enter it with nsenter(1).")
@click.option("-t", "fstype", metavar="TYPE", help="Accepted: there is only one type.")
@click.version_option(__version__, "-V", "--version", message="mount.cloudfs %(version)s")
def command(
    url: str,
    directory: str,
    *,
    words: tuple[str, ...],
    sloppy: bool,
    fake: bool,
    no_mtab: bool,
    verbose: bool,
    namespace: str | None,
    fstype: str | None,
) -> None:
    """Mount URL at DIRECTORY in the background: the helper of mount(8) for the type cloudfs.

    A URL `none` stands for the one in the file that the option config= names.
    """
    del no_mtab, fstype
    if namespace is not None:
        fix = "run mount inside it with nsenter(1)"
        raise UserError(ExitCode.USAGE, f"cannot mount in the namespace {namespace}: {fix}")
    relevant = list(_relevant(words, directory, sloppy=sloppy))
    settings = resolve(
        None if url == FROM_FILE else url,
        directory,
        flags={"background": "true"},
        words=[word.replace(",", "\\,") for word in relevant],
        environ=os.environ,
    ).settings
    if url == FROM_FILE and _is_mounted(settings):
        _inform(f"{settings.mountpoint} is mounted already, from {settings.url}", verbose)
    elif fake:
        _check_only(settings)
        _inform(f"{settings.url} can be mounted on {settings.mountpoint}", verbose)
    else:
        _inform(f"mounting {settings.url} on {settings.mountpoint}", verbose)
        mount.check(settings)
        log_file = mount.serve_in_background(settings, start_s=START_S).log_file
        _inform(f"mounted {settings.url} on {settings.mountpoint}, the log is {log_file}", verbose)


def _relevant(words: Iterable[str], directory: str, *, sloppy: bool) -> Iterator[str]:
    """Yield the words that cloudfs handles, one by one; refuse `remount`."""
    for word in (word for text in words for word in sources.split_words(text)):
        if word == "remount":
            fix = f"run 'umount {directory}' and mount it again"
            raise UserError(ExitCode.USAGE, f"cloudfs cannot change the mount {directory}: {fix}")
        if not _WITHOUT_EFFECT.fullmatch(word) and not (sloppy and _is_unknown(word)):
            yield word


def _is_unknown(word: str) -> bool:
    """Whether no option has that name; a word that looks like a secret is kept, to be refused."""
    key = word.partition("=")[0]
    known = {option.alias for option in options.OPTIONS}
    return options.find(key) is None and key not in known and not sources.SECRET_WORD.search(key)


def _is_mounted(settings: MountSettings) -> bool:
    """Whether `mount -a` runs again, which does not recognize a mount by the source `none`."""
    found = mountpoints.mount_at(settings.mountpoint)
    return found is not None and found.is_cloudfs and found.source == settings.url


def _check_only(settings: MountSettings) -> None:
    mountpoints.check_fuse(allow_other=settings.allow_other)
    mountpoints.check_mountpoint(settings.mountpoint)


def _inform(message: str, verbose: bool) -> None:
    if verbose:
        click.echo(f"cloudfs: {printable(message)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the helper (`sys.argv` by default) and exit with a code of mount(8)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    sys.exit(_CODES.get(errors.run(lambda: _invoke(given)), _FAILED))


def _invoke(arguments: list[str]) -> object:
    try:
        with command.make_context("mount.cloudfs", arguments) as context:
            return command.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code


if __name__ == "__main__":
    main()
