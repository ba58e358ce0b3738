"""Command groups: errors that name the nearest verb, or all of them."""

from __future__ import annotations

import click

from cloudfs.errors import ExitCode, UserError, did_you_mean


class Commands(click.Group):
    """A group whose errors name its verbs."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb and the remaining arguments."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.commands) or f"use {self.verbs(ctx)}"
            raise UserError(ExitCode.USAGE, f"no such command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)

    def require_verb(self, ctx: click.Context) -> None:
        """Raise `UserError` when no verb was given. For groups that are invoked without one."""
        if ctx.invoked_subcommand is None:
            raise UserError(ExitCode.USAGE, f"no command given: use {self.verbs(ctx)}")

    def verbs(self, ctx: click.Context) -> str:
        """Return the verbs and a reference to the help, in words."""
        *most, last = self.commands
        return f"{', '.join(most)} or {last}; '{ctx.command_path} --help' says more"
