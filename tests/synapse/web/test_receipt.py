"""The receipt by e-mail, from the page in a browser that wants German to the mail server, and its address nowhere."""

from __future__ import annotations

from pathlib import Path

from tests.support.admin_room import read_only
from tests.support.browser import Visit, page_settings
from tests.support.direct_room import MakeScene, Talk, states
from tests.support.mail_server import FROM, PASSWORD, USER, Mailbox, mail_server
from tests.synapse.conftest import settled

ADDRESS = "leaver.unseen@elsewhere.example"


def smtp(box: Mailbox) -> dict[str, object]:
    """The settings for this mail server."""
    server = box.server
    return {
        "smtp": {
            "host": server.host, "port": server.port, "tls": "starttls", "user": USER, "password": PASSWORD,
            "from_address": FROM,
        }
    }  # fmt: skip


async def test_the_receipt_comes_by_mail_in_the_browsers_language(
    scene: MakeScene, visit: Visit, tmp_path: Path
) -> None:
    """It says what was read back; then the address is in no table, no file of the database, no log and no audit."""
    async with mail_server(tmp_path) as box:
        stage = await scene(start=False, self_service=page_settings(grace_period="0s"), receipt=smtp(box))
        stage.bot.environment["SSL_CERT_FILE"] = str(box.certificate)
        await stage.bot.start()
        await stage.bot_joined()
        person = await stage.person("leaver")
        visitor = await visit(stage, locale="de-DE")
        await visitor.open()
        await visitor.press("Mein Konto löschen")
        await visitor.page.get_by_label("Matrix-ID oder Benutzername").fill(person.user_id)
        await visitor.page.get_by_label("Passwort").fill(stage.passwords[person.user_id])
        await visitor.page.locator("form button").first.click()
        await visitor.page.locator("input[name=erase][value=yes]").check()
        await visitor.page.locator("form button").first.click()
        await visitor.reads("Niemand kann deine ID wieder nutzen")
        await visitor.page.get_by_label("E-Mail-Adresse für den Beleg").fill(ADDRESS)
        await visitor.press("Ja, mein Konto löschen")

        async def sent() -> bool:
            return bool(box.mails) and read_only(stage.bot.database, "SELECT * FROM receipts") == []

        await settled(sent)
    assert box.recipients == [ADDRESS] and box.encrypted == [True]
    plain = box.mails[0].get_body(("plain",))
    assert plain is not None
    assert f"Dein Konto {person.user_id} auf" in plain.get_content() and "ist gelöscht" in plain.get_content()
    assert states(stage) == ["done"]
    await stage.bot.stop()
    assert ADDRESS not in stage.bot.log and PASSWORD not in stage.bot.log
    folder = Path(stage.bot.database).parent
    held = [file for file in folder.iterdir() if file.is_file() and ADDRESS.encode() in file.read_bytes()]
    assert held == []


async def test_the_address_can_be_given_in_the_chat_and_taken_back(scene: MakeScene, tmp_path: Path) -> None:
    """The answers never repeat it; where there is no request, or no mail server, they say so."""
    async with mail_server(tmp_path) as box:
        stage = await scene(start=False, self_service={"grace_period": "7d"}, receipt=smtp(box))
        stage.bot.environment["SSL_CERT_FILE"] = str(box.certificate)
        await stage.bot.start()
        await stage.bot_joined()
        talk = await Talk.begin(stage, await stage.person("leaver"))
        await talk.ask(f"!receipt {ADDRESS}", "There is no request of yours")
        await talk.confirmed()
        await talk.ask("!receipt nonsense", "isn't an e-mail address")
        answer = await talk.ask(f"!receipt {ADDRESS}", "the receipt goes to that address")
        assert ADDRESS not in answer.body
        assert read_only(stage.bot.database, "SELECT address FROM receipts") == [(ADDRESS,)]
        await talk.ask("!receipt", "no address is kept")
        assert read_only(stage.bot.database, "SELECT address FROM receipts") == []
        await talk.ask(f"!receipt {ADDRESS}", "the receipt goes to that address")
        await talk.say("!cancel")
        await talk.hears("stopped")

        async def forgotten() -> bool:
            return read_only(stage.bot.database, "SELECT address FROM receipts") == []

        await settled(forgotten)
    assert box.mails == []
    other = await scene(self_service={"grace_period": "7d"})
    talk = await Talk.begin(other, await other.person("leaver"))
    await talk.ask(f"!receipt {ADDRESS}", "sends no receipts by e-mail")
