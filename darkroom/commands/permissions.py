"""permissions: what AWS would deny of what roles have asked here, and the statement that would allow it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from darkroom import local
from darkroom.commands.cloud import only_local
from darkroom.commands.shared import Context, json_option

Question = Mapping[str, Any]


def statements(denied: Iterable[Question]) -> dict[str, list[dict[str, Any]]]:
    """For each principal what to add to its policy: actions on the same resource stand together, as do the same actions."""
    by_resource: dict[tuple[str, str], set[str]] = {}
    for question in denied:
        if not question["reason"].startswith("with"):  # a Deny is not mended by an Allow
            by_resource.setdefault((question["principal"], question["resource"]), set()).add(question["action"])
    by_actions: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (principal, resource), actions in by_resource.items():
        by_actions.setdefault((principal, tuple(sorted(actions))), []).append(resource)
    by_role: dict[str, list[dict[str, Any]]] = {}
    for (principal, together), resources in sorted(by_actions.items()):
        statement = {"Effect": "Allow", "Action": list(together), "Resource": sorted(resources)}
        by_role.setdefault(principal, []).append(statement)
    return by_role


@click.command()
@click.option(
    "--mode",
    type=click.Choice(["off", "report", "enforce"]),
    help="From now on: ask nothing; let everything happen and report; or deny as AWS does. Off forgets what was asked.",
)
@click.option(
    "--unused",
    is_flag=True,
    help="Also what the roles' policies allow and no call has needed, so far as calls were made.",
)
@json_option
@click.pass_obj
def permissions(context: Context, mode: str | None, unused: bool, as_json: bool) -> None:
    """Show what AWS would deny of what jobs, endpoints and state machines have asked of the local cloud.

    \b
    darkroom permissions
    darkroom permissions --mode enforce
    """
    only_local(context, "permissions")
    context.speak_json(as_json)
    answer = local.permissions(context.target.cloud, mode, unused)
    denied = [question for question in answer["questions"] if not question["allowed"]]
    if as_json:
        context.print_json({**answer, "add": statements(denied)})
    else:
        _show(context, answer, denied)
        for role, questions in answer.get("elements", {}).items():
            _show_unused(context, role, questions)
    if denied:
        raise click.exceptions.Exit(1)


def _show_unused(context: Context, role: str, questions: list[Question]) -> None:
    spare = [element for element in questions if not element["needed"]]
    say = context.console.print
    say(
        f"{role}: {len(questions) - len(spare)} of {len(questions)} actions and resources were needed",
        markup=False,
        style="bold",
    )
    for element in spare:
        beside = ", ".join(element["beside"][:3]) + (" …" if len(element["beside"]) > 3 else "")
        say(f"  not needed: {element['element']} {element['value']}  (with {beside})", markup=False)


def _show(context: Context, answer: Mapping[str, Any], denied: list[Question]) -> None:
    say, questions = context.console.print, answer["questions"]
    if answer["mode"] == "off":
        say("Permissions are off: nothing is asked. Switch on: darkroom permissions --mode report")
        return
    principals = {question["principal"] for question in questions}
    happens = "denied, as on AWS" if answer["mode"] == "enforce" else "allowed here all the same"
    say(
        f"Mode {answer['mode']}. Asked so far: {len(questions)} different permissions, by {len(principals)} principals."
    )
    if not denied:
        say("AWS would deny none of them.")
        return
    say(f"AWS would deny {len(denied)} ({happens}):", style="bold")
    for question in denied:
        say(f"  {question['principal']}: {question['action']} on {question['resource']}", markup=False)
        by = f" ({question['denied_by']})" if question["denied_by"] else ""
        say(f"    {question['reason']}{by}; asked {question['times']} times", markup=False)
    for principal, lines in statements(denied).items():
        say(f"Add to the policy of {principal}:", style="bold", markup=False)
        say(json.dumps(lines, indent=2), markup=False, highlight=False)


COMMANDS = [permissions]
