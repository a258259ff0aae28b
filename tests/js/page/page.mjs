// A small Matrix client in a browser: one room, encrypted or not, shown and written in. matrix-js-sdk does the work; what
// is ours is how it looks. Messages are rendered as the specification has it: its list of elements and attributes and no
// other, `<details>` folded, colours, replies, edits, reactions.

import DOMPurify from "dompurify";
import * as sdk from "matrix-js-sdk";

// https://spec.matrix.org/v1.16/client-server-api/#mroommessage-msgtypes
const ELEMENTS =
    "del h1 h2 h3 h4 h5 h6 blockquote p a ul ol sup sub li b i u strong em s code hr br div table thead tbody tr th td caption pre span img details summary".split(
        " ",
    );
const ATTRIBUTES = {
    SPAN: ["data-mx-bg-color", "data-mx-color", "data-mx-spoiler", "data-mx-maths"],
    A: ["target", "href"],
    IMG: ["width", "height", "alt", "title", "src"],
    OL: ["start"],
    CODE: ["class"],
    DIV: ["data-mx-maths"],
};
const COLOUR = /^#[0-9a-f]{6}$/i;

const purify = DOMPurify(window);
purify.addHook("uponSanitizeAttribute", (element, attribute) => {
    attribute.keepAttr = (ATTRIBUTES[element.nodeName] ?? []).includes(attribute.attrName);
});
purify.addHook("afterSanitizeAttributes", (element) => {
    const colours = { color: "data-mx-color", backgroundColor: "data-mx-bg-color" };
    for (const [property, name] of Object.entries(colours)) {
        const colour = element.getAttribute?.(name) ?? "";
        if (COLOUR.test(colour)) element.style[property] = colour;
    }
});

/** The elements of a message's HTML that clients show. */
function rendered(html) {
    return purify.sanitize(html, {
        ALLOWED_TAGS: ELEMENTS,
        ALLOWED_ATTR: [...new Set(Object.values(ATTRIBUTES).flat())],
        ALLOWED_URI_REGEXP: /^(?:https?|ftp|mailto|magnet|mxc):/i,
        FORBID_CONTENTS: ["mx-reply"],
        RETURN_DOM_FRAGMENT: true,
    });
}

const $ = (selector) => document.querySelector(selector);

function make(name, { text, ...properties } = {}, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    if (text !== undefined) element.textContent = text;
    element.append(...children);
    return element;
}

const HUES = ["#0d7a4a", "#8a3ab9", "#b3541e", "#0b61b3", "#a8326e"];

function hue(user_id) {
    return HUES[[...user_id].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % HUES.length];
}

class Client {
    #client;
    #room_id;
    #shown = new Map(); // event_id → [what it was made of, its element]

    /** Logs in as a new device, and shows the room once the client is in it. @returns its device_id. */
    async logIn({ base_url, user_id, password }) {
        const anonymous = sdk.createClient({ baseUrl: base_url });
        const answer = await anonymous.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: user_id },
            password,
        });
        this.#client = sdk.createClient({
            baseUrl: base_url,
            userId: answer.user_id,
            deviceId: answer.device_id,
            accessToken: answer.access_token,
        });
        await this.#client.initRustCrypto({ useIndexedDB: false });
        for (const change of [
            sdk.ClientEvent.Sync,
            sdk.RoomEvent.Timeline,
            sdk.RoomEvent.Redaction,
            sdk.RoomStateEvent.Members,
            sdk.MatrixEventEvent.Decrypted,
            sdk.MatrixEventEvent.Replaced,
        ]) {
            this.#client.on(change, () => requestAnimationFrame(() => this.#show()));
        }
        this.#client.on(sdk.HttpApiEvent.SessionLoggedOut, () => this.#signedOut());
        await this.#client.startClient({ initialSyncLimit: 100 });
        return answer.device_id;
    }

    /** Shows this room from now on. */
    open(room_id) {
        this.#room_id = room_id;
        this.#shown.clear();
        $("#timeline").replaceChildren();
        this.#show();
    }

    /** Whether the client is in the room and knows that it is encrypted, so that it may write. */
    ready() {
        const room = this.#room;
        return room?.getMyMembership() === "join" && room.hasEncryptionStateEvent();
    }

    async send(body) {
        const content = { msgtype: "m.text", body };
        await this.#client.sendEvent(this.#room_id, "m.room.message", content);
    }

    get #room() {
        return this.#client?.getRoom(this.#room_id);
    }

    #show() {
        const room = this.#room;
        if (!room) return;
        const others = room.getJoinedMembers().filter((member) => member.userId !== this.#client.getUserId());
        const name = room.name.startsWith("Empty room") && others.length ? others[0].name : room.name;
        $("#room").textContent = name;
        $("#avatar").textContent = name[0].toUpperCase();
        $("#lock").hidden = !room.hasEncryptionStateEvent();
        const timeline = $("#timeline");
        const atEnd = timeline.scrollHeight - timeline.scrollTop - timeline.clientHeight < 40;
        for (const event of room.getLiveTimeline().getEvents()) {
            if (event.getType() !== "m.room.message" && !event.isDecryptionFailure()) continue;
            if (event.isRedacted() || event.isRelation("m.replace")) continue;
            this.#place(room, event, timeline);
        }
        if (atEnd) timeline.scrollTop = timeline.scrollHeight;
    }

    /** Puts the message where it belongs; leaves what is there alone as long as nothing about it changed. */
    #place(room, event, timeline) {
        const id = event.getTxnId() ?? event.getId(); // a message of one's own is there before it has an event_id
        const reactions = this.#reactions(room, event);
        const made_of = JSON.stringify([event.getId(), event.getContent(), event.isDecryptionFailure(), reactions]);
        const [before, old] = this.#shown.get(id) ?? [];
        if (before === made_of) return;
        const element = this.#message(room, event, reactions);
        if (old) old.replaceWith(element);
        else timeline.append(element);
        this.#shown.set(id, [made_of, element]);
    }

    #reactions(room, event) {
        const found = room.relations.getChildEventsForEvent(event.getId(), "m.annotation", "m.reaction");
        return (found?.getSortedAnnotationsByKey() ?? [])
            .map(([key, events]) => [key, [...events].filter((each) => !each.isRedacted()).map((each) => each.getSender())])
            .filter(([, senders]) => senders.length);
    }

    #message(room, event, reactions) {
        const name = this.#name(room, event.getSender());
        const colour = hue(event.getSender());
        const avatar = make("span", { className: "avatar", text: name[0].toUpperCase() });
        avatar.style.background = colour;
        const sender = make("span", { className: "sender", text: name });
        sender.style.color = colour;
        const at = new Date(event.getTs()).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
        const parts = [make("div", {}, sender, make("time", { text: at }))];
        const answered = event.replyEventId && room.findEventById(event.replyEventId);
        if (answered) {
            const text = `${this.#name(room, answered.getSender())}: ${answered.getContent().body ?? ""}`;
            parts.push(make("div", { className: "reply", text: text.split("\n")[0] }));
        }
        parts.push(this.#body(event));
        if (event.replacingEvent()) parts.push(make("span", { className: "edited", text: "(edited)" }));
        if (reactions.length) parts.push(make("div", { className: "reactions" }, ...this.#chips(event, reactions)));
        const column = make("div", {}, ...parts);
        return make("article", {}, avatar, column);
    }

    #body(event) {
        const content = event.getContent();
        if (event.isDecryptionFailure()) return make("div", { className: "body", text: "🔒 Unable to decrypt" });
        if (content.msgtype === "m.file") {
            const size = content.info?.size === undefined ? "" : ` · ${Math.ceil(content.info.size / 1000)} kB`;
            return make("div", { className: "file", text: `📄 ${content.filename ?? content.body}${size}` });
        }
        if (content.format === "org.matrix.custom.html")
            return make("div", { className: "body" }, rendered(content.formatted_body));
        return make("div", { className: "body plain", text: content.body });
    }

    #chips(event, reactions) {
        const me = this.#client.getUserId();
        return reactions.map(([key, senders]) => {
            const button = make("button", { type: "button", text: `${key} ${senders.length}` });
            button.setAttribute("aria-pressed", String(senders.includes(me)));
            button.setAttribute("aria-label", key);
            button.addEventListener("click", () => {
                const relation = { rel_type: "m.annotation", event_id: event.getId(), key };
                if (!senders.includes(me)) this.#client.sendEvent(this.#room_id, "m.reaction", { "m.relates_to": relation });
            });
            return button;
        });
    }

    #name(room, user_id) {
        return room.getMember(user_id)?.name ?? user_id;
    }

    #signedOut() {
        this.#client.stopClient();
        $("#composer").hidden = true;
        $("#signed-out").hidden = false;
    }
}

const client = new Client();
window.client = client;

$("textarea").addEventListener("keydown", (pressed) => {
    if (pressed.key !== "Enter" || pressed.shiftKey) return;
    pressed.preventDefault();
    client.send(pressed.target.value);
    pressed.target.value = "";
});
