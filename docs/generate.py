"""Writes docs/steps.md and docs/commands.md from what the program itself follows, and what translators work on:
`python -m docs.generate`.

A test fails where the pages differ from what this makes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from docs import messages
from handlers.admin_room.commands import for_admin_room
from handlers.command import Command, usage
from handlers.direct.commands import for_direct_messages
from homeserver.accounts.mas import MAS_CALLS, ONLY_SYNAPSES
from homeserver.accounts.synapse import CALLS
from removal.lifecycle import BACK_OFF_MS, NOT_YET_AT_MOST_MS, TRANSITIONS
from removal.plan import STEPS, Aim, Kind, Media, Options, Proof, Step, StepSpec, proofs_for, steps_for
from removal.request import State
from removal.times import format_duration
from texts import Group, Texts

FOLDER = Path(__file__).parent
PREFIX = "!"
TEXTS_LANGUAGE = "en"

_NOTE = "<!-- Written by `python -m docs.generate` from the code and texts/. Change those, then run it. -->"
_MODERATORS: tuple[Group, Group, Group] = ("command", "details", "option")
_PEOPLE: tuple[Group, Group, Group] = ("own_command", "own_details", "own_option")
_EVERYTHING = Options(erase=True, redact=True, media=Media.DELETE, forget_sso=True, handover=(("*", "@user"),))


def steps(texts: Texts) -> str:
    """The page on what a removal does, step by step, and what is read back."""
    return _page(
        "The steps of a removal",
        "What each step does on the homeserver, when it applies, and in which order. The prompt shows the steps of its"
        " own plan, `!status` how far they are. Each step's intent is stored before it is done and its outcome after,"
        " and each can be repeated: after a crash the bot goes on where it was.",
        *(line for spec in STEPS for line in _step(texts, spec)),
        "## The order",
        "All options chosen, a moderator's removal consists of:",
        _numbered(texts, Kind.MODERATION),
        "A person's own account works as usual until the last moment, so there the order is:",
        _numbered(texts, Kind.OWN),
        "## What is read back",
        "A removal is done when the homeserver confirms all that its plan promises, and only then. What can't be"
        " confirmed is said to be open, and looked at again.",
        _table(("Promise", "When"), [(_markdown(texts.word("proof", p)), when) for p, when in _promises()]),
        "## When a step fails",
        "- A failure that passes (the homeserver is away, answers 5xx or 429): the step is tried again after "
        f"{_waits()}, and so on; at once when the homeserver answers again. `Retry-After` is obeyed.\n"
        f"- {_read_back(texts)}. What it doesn't show yet (on a server with workers, one can hear of a change later"
        f" than another) is looked at again after {_first_wait()}, later after a tenth of the time since the step"
        " began.\n"
        "- A failure that needs a person (403, an identity server that doesn't unbind): the moderators hear the cause"
        " and the remedy. A moderator's target stays suspended, `!retry` goes on and `!cancel` gives up; a person's own"
        " account is set free again.\n"
        "- A step that the homeserver answers and doesn't show as done (a room that nobody can leave) is tried again"
        f" for {format_duration(timedelta(milliseconds=NOT_YET_AT_MOST_MS))}; then it needs a person, too. Once the"
        " account is deactivated, `!close R7 --reason …` ends it as closed with open points, which is never called"
        " done.\n"
        "- A failure that nothing would mend (the account is gone): the removal ends, and says so.\n"
        "- Once a deactivation may have happened (the homeserver didn't answer, or the bot died meanwhile) nothing is"
        " called off any more: it is tried again, or waits for a person. A plain no of the homeserver did nothing.",
        "## The life of a request",
        "What can happen in each state; anything else changes nothing.",
        _table(("State", "In words", "What can happen"), [_state(texts, state) for state in State]),
    )


def commands(texts: Texts) -> str:
    """The page on what people can type."""
    return _page(
        "Commands",
        "`!help` shows the same. You can change the prefix (`command_prefix`). Write a user as `@user` (this"
        " server), as a full Matrix ID, as a mention, or as a link. Text with spaces needs quotation marks,"
        " unless it's the last thing before the next option.",
        "You can also address the bot by name: `Lethe: !help`, `@lethe help`, or a mention. After its name"
        " you can leave out the prefix.",
        "If you ask in a thread, the bot answers in that thread. Only what a person must not miss about their"
        " own removal (its date, the reminder, the start) is sent outside it.",
        "The bot never guesses a Matrix ID. If you type something close to one (`spam`, `spam:server`,"
        " `@spam:server,`), it asks whether you meant that account. `!delete`, `!ban` and similar words are"
        " answered with `!deactivate`.",
        "Only ✅ confirms. ✔, ☑, 👍 and similar reactions do nothing, and the bot says so once. ❌, ✖, ✗ and ✘"
        " all stop it.",
        "## In the admin room, for moderators",
        *(line for command in for_admin_room(PREFIX).all for line in _command(texts, command, _MODERATORS)),
        "## In a direct message, for your own account",
        *(line for command in for_direct_messages(PREFIX).all for line in _command(texts, command, _PEOPLE)),
    )


def settings(_: Texts) -> str:
    """The page on the settings, from config.example.yaml, which a test holds to the code."""
    example = (FOLDER.parent / "config.example.yaml").read_text("utf-8")
    return _page(
        "Settings",
        "Every setting with its default. Those marked `FILL IN` have none. You can set any of them with an"
        " environment variable instead: `moderators.power_level` is `LETHE_MODERATORS__POWER_LEVEL`. After"
        " SIGHUP the bot reads `log` again; everything else needs a restart.",
        f"```yaml\n{example}```",
    )


PAGES: dict[str, Callable[[Texts], str]] = {"steps.md": steps, "commands.md": commands, "settings.md": settings}


def _page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", _NOTE, *(part for part in parts if part))) + "\n"


def _step(texts: Texts, spec: StepSpec) -> Iterator[str]:
    yield f"## {_markdown(texts.word('step_name', spec.step)).capitalize()}"
    said = [
        texts.word("step", spec.step, erase=chosen, media=media.value, clear_marks=chosen, aim=Aim.REMOVE)
        for chosen in (False, True)
        for media in (Media.DELETE, Media.QUARANTINE)
    ]
    yield " Or: ".join(dict.fromkeys(map(_markdown, said)))
    final = ["- **The point of no return**: once it has begun, nobody can take the removal back."] if spec.final else []
    yield "\n".join([f"- When: {spec.chosen_by}", *final, *_calls(spec.step)])


def _calls(step: Step) -> Iterator[str]:
    """What is asked of Synapse, and, where the accounts live there, of MAS."""
    yield from (f"- `{call}`" + (" (not for accounts in MAS)" if call in ONLY_SYNAPSES else "") for call in CALLS[step])
    yield from (f"- With MAS: `{call}`" for call in MAS_CALLS.get(step, ()))


def _numbered(texts: Texts, kind: Kind) -> str:
    names = [_markdown(texts.word("step_name", step)) for step in steps_for(kind, _EVERYTHING)]
    return "\n".join(f"{number}. {name}" for number, name in enumerate(names, 1))


def _promises() -> Iterator[tuple[Proof, str]]:
    """Each proof, with the option that promises it."""
    always = set(proofs_for(Options()))
    chosen = {
        "`--erase`": Options(erase=True),
        "`--redact`": Options(redact=True),
        "`--media`": Options(media=Media.DELETE),
        "`--quarantine`": Options(media=Media.QUARANTINE),
        "`--forget-sso`": Options(forget_sso=True),
        "the setting `removal.clear_lock_and_shadow_ban`": Options(clear_marks=True),
        "`!reactivate`": Options(aim=Aim.REACTIVATE),
    }
    for proof in Proof:
        yield (
            proof,
            "every removal"
            if proof in always
            else next(o for o, given in chosen.items() if proof in proofs_for(given)),
        )


def _waits() -> str:
    return ", ".join(format_duration(timedelta(milliseconds=wait)) for wait in BACK_OFF_MS)


def _first_wait() -> str:
    return format_duration(timedelta(milliseconds=BACK_OFF_MS[0]))


def _read_back(texts: Texts) -> str:
    """The steps that read back what they promise."""
    names = [f"*{_markdown(texts.word('step_name', spec.step))}*" for spec in STEPS if spec.reads_back]
    return f"The steps {', '.join(names[:-1])} and {names[-1]} end with a look at the account"


def _state(texts: Texts, state: State) -> tuple[str, str, str]:
    events = [event.__name__ for of, event in TRANSITIONS if of is state]
    return f"`{state.value}`", _markdown(texts.word("state", state)), ", ".join(events) or "nothing: it has ended"


def _command(texts: Texts, command: Command, words: tuple[Group, Group, Group]) -> Iterator[str]:
    yield f"### `{usage(command, PREFIX)}`"
    line, details, option_words = words
    yield _sentence(_markdown(texts.word(line, command.name)))
    yield _markdown(texts.word(details, command.name))
    yield "\n".join(
        f"- `{option.shown}`: {_markdown(texts.word(option_words, command.name + option.name))}"
        for option in command.options
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _markdown(text: str) -> str:
    """The few elements that our words use, as Markdown."""
    text = re.sub(r"</?code>", "`", re.sub(r"</?b>", "**", str(text)))
    return html.unescape(text)


def main() -> None:
    """Writes every page."""
    texts = Texts(TEXTS_LANGUAGE, PREFIX)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(texts), encoding="utf-8")
    messages.main()


if __name__ == "__main__":
    main()
