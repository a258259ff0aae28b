// One device of one person, as Element would run it: matrix-js-sdk, its Rust crypto, its own idea of what is shown.

import * as sdk from "matrix-js-sdk";
import {
    AllDevicesIsolationMode,
    EventShieldColour,
    EventShieldReason,
    OnlySignedDevicesIsolationMode,
    decodeRecoveryKey,
} from "matrix-js-sdk/lib/crypto-api/index.js";

const MEGOLM = "m.megolm.v1.aes-sha2";

const silent = () => {};
const logger = {
    getChild: () => logger,
    trace: silent,
    debug: silent,
    info: silent,
    warn: (...words) => console.warn(...words),
    error: (...words) => console.error(...words),
};

/** Whatever may change how a message looks. */
const CHANGES = [
    sdk.ClientEvent.Sync,
    sdk.RoomEvent.Timeline,
    sdk.RoomEvent.Redaction,
    sdk.RoomStateEvent.Members,
    sdk.MatrixEventEvent.Decrypted,
    sdk.MatrixEventEvent.Replaced,
];

export class Program {
    #client;
    #session; // what createClient needs to be this device again
    #isolation;
    #secretStorageKey; // [id, bytes], once it is known
    #looks = new Set(); // of those who wait

    // Coming and going

    /**
     * Logs in as a new device and syncs.
     *
     * @param {string} isolation - `signed`: nothing is read from, and no key given to, a device that its owner didn't
     *     sign (MSC4153, what Element does); `all`: the library's default.
     * @returns its device_id.
     */
    async login({ base_url, user_id, password, isolation }) {
        const anonymous = sdk.createClient({ baseUrl: base_url, logger });
        const answer = await anonymous.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: user_id },
            password,
        });
        this.#session = {
            baseUrl: base_url,
            userId: answer.user_id,
            deviceId: answer.device_id,
            accessToken: answer.access_token,
        };
        this.#isolation = isolation;
        await this.#start();
        return answer.device_id;
    }

    /** Ends the client and starts it again on its stores, as closing and opening the app does. */
    async restart() {
        await this.#client.store.save(true); // by itself it does so every few minutes
        this.#client.stopClient();
        await this.#start();
    }

    async #start() {
        const name = this.#session.deviceId;
        const store = new sdk.IndexedDBStore({ indexedDB, dbName: `${name} sync` });
        this.#client = sdk.createClient({
            ...this.#session,
            store,
            logger,
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => {
                    const id = Object.keys(keys)[0];
                    return this.#secretStorageKey ? [id, this.#secretStorageKey] : null;
                },
                cacheSecretStorageKey: (_id, _info, key) => {
                    this.#secretStorageKey = key;
                },
            },
        });
        await store.startup();
        await this.#client.initRustCrypto({ cryptoDatabasePrefix: name });
        this.#crypto.setDeviceIsolationMode(
            this.#isolation === "signed" ? new OnlySignedDevicesIsolationMode() : new AllDevicesIsolationMode(false),
        );
        // Not at once: the library itself acts on some of these only after its listeners were called.
        for (const change of CHANGES) this.#client.on(change, () => setImmediate(() => this.#lookAgain()));
        await this.#client.startClient({ initialSyncLimit: 100 });
        const { joined_rooms } = await this.#client.getJoinedRooms();
        const here = () => joined_rooms.every((room_id) => this.#client.getRoom(room_id)?.getMyMembership() === "join");
        await this.#until(() => this.#client.isInitialSyncComplete() && here(), 30, "its rooms");
    }

    get #crypto() {
        return this.#client.getCrypto();
    }

    stop() {
        this.#client?.stopClient();
    }

    // Its owner's identity

    /** Makes the person's cross-signing identity, kept in secret storage. @returns the recovery key. */
    async make_identity({ password }) {
        const identifier = { type: "m.id.user", user: this.#session.userId };
        await this.#crypto.bootstrapCrossSigning({
            authUploadDeviceSigningKeys: (send) => send({ type: "m.login.password", identifier, password }),
        });
        const recovery = await this.#crypto.createRecoveryKeyFromPassphrase();
        await this.#crypto.bootstrapSecretStorage({
            createSecretStorageKey: async () => recovery,
            setupNewSecretStorage: true,
        });
        return recovery.encodedPrivateKey;
    }

    /** Signs this device by the identity that the recovery key opens: what “verify this device” does. */
    async sign_by_recovery({ recovery_key }) {
        this.#secretStorageKey = decodeRecoveryKey(recovery_key);
        await this.#crypto.userHasCrossSigningKeys(); // has it fetched: a private key is taken for a known public one only
        await this.#crypto.bootstrapCrossSigning({});
    }

    /** What this client thinks of another person and their devices. */
    async opinion({ user_id }) {
        const devices = (await this.#crypto.getUserDeviceInfo([user_id], true)).get(user_id) ?? new Map();
        const status = await this.#crypto.getUserVerificationStatus(user_id);
        const signed = {};
        for (const device_id of devices.keys()) {
            signed[device_id] = (await this.#crypto.getDeviceVerificationStatus(user_id, device_id)).signedByOwner;
        }
        return { known: status.known, identity_changed: status.needsUserApproval, signed };
    }

    // Rooms

    /** Makes an encrypted room. @returns its room_id, once it is ready for a first message by Element's measure. */
    async create_room({ name, invite, direct }) {
        const { room_id } = await this.#client.createRoom({
            name: name ?? undefined,
            preset: direct ? "trusted_private_chat" : "private_chat",
            is_direct: direct,
            invite,
            initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: MEGOLM } }],
        });
        await this.#encrypted(room_id);
        const invited = () => invite.every((user_id) => this.#client.getRoom(room_id).getMember(user_id));
        await this.#until(invited, 30, `everybody invited to ${room_id}`);
        return room_id;
    }

    async join({ room_id }) {
        await this.#client.joinRoom(room_id);
        await this.#encrypted(room_id);
    }

    #encrypted(room_id) {
        const room = () => this.#client.getRoom(room_id);
        const known = () => room()?.getMyMembership() === "join" && room().hasEncryptionStateEvent();
        return this.#until(known, 30, `${room_id}, encrypted`);
    }

    /** Waits until somebody's membership is that. */
    async member({ room_id, user_id, membership, timeout }) {
        const is = () => this.#client.getRoom(room_id)?.getMember(user_id)?.membership === membership;
        await this.#until(is, timeout, `${user_id} ${membership} in ${room_id}`);
    }

    // Saying

    async say({ room_id, body, reply_to }) {
        const relation = reply_to ? { "m.relates_to": { "m.in_reply_to": { event_id: reply_to } } } : {};
        return this.#send(room_id, "m.room.message", { msgtype: "m.text", body, ...relation });
    }

    async edit({ room_id, event_id, body }) {
        return this.#send(room_id, "m.room.message", {
            "msgtype": "m.text",
            "body": `* ${body}`,
            "m.new_content": { msgtype: "m.text", body },
            "m.relates_to": { rel_type: "m.replace", event_id },
        });
    }

    async react({ room_id, event_id, key }) {
        return this.#send(room_id, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id, key } });
    }

    async #send(room_id, type, content) {
        return (await this.#client.sendEvent(room_id, type, content)).event_id;
    }

    // Looking

    /** Waits for a message of somebody else that replies to the event and holds the text. @returns how it is shown. */
    async reply_to({ event_id, containing, timeout }) {
        const found = () =>
            this.#timeline().find(
                (event) =>
                    event.replyEventId === event_id &&
                    event.getSender() !== this.#session.userId &&
                    event.getType() === "m.room.message" &&
                    String(event.getContent().body).includes(containing),
            );
        return this.#show(await this.#until(found, timeout, `a reply to ${event_id} holding “${containing}”`));
    }

    /** Waits for a message of that person in the room that holds the text. @returns how it is shown. */
    async said({ room_id, by, containing, timeout }) {
        const found = () =>
            this.#timeline().find(
                (event) =>
                    event.getRoomId() === room_id && event.getSender() === by && shownText(event).includes(containing),
            );
        return this.#show(await this.#until(found, timeout, `“${containing}” by ${by} in ${room_id}`));
    }

    /** Waits until the event reads so that it holds the text, by an edit or from the start. @returns how it is shown. */
    async reads({ event_id, containing, timeout }) {
        const found = () => {
            const event = this.#find(event_id);
            return event && !event.isDecryptionFailure() && shownText(event).includes(containing) ? event : undefined;
        };
        return this.#show(await this.#until(found, timeout, `${event_id} holding “${containing}”`));
    }

    /** Waits for a reaction of that key by that person. */
    async reacted({ event_id, key, by, timeout }) {
        const found = () => this.#reactions(event_id).some((each) => each.key === key && each.sender === by);
        await this.#until(found, timeout, `${key} on ${event_id} by ${by}`);
    }

    /** Waits until the event can't be read for that reason, one of the library's DecryptionFailureCode. */
    async fails({ event_id, because, timeout }) {
        const failed = () => this.#find(event_id)?.decryptionFailureReason === because;
        await this.#until(failed, timeout, `${event_id} unreadable by ${because}`);
    }

    #timeline() {
        return this.#client.getRooms().flatMap((room) => room.getLiveTimeline().getEvents());
    }

    #find(event_id) {
        return this.#timeline().find((event) => event.getId() === event_id);
    }

    #reactions(event_id) {
        const room = this.#client.getRoom(this.#find(event_id)?.getRoomId());
        const found = room?.relations.getChildEventsForEvent(event_id, "m.annotation", "m.reaction");
        return (found?.getRelations() ?? [])
            .filter((event) => !event.isRedacted())
            .map((event) => ({ sender: event.getSender(), key: event.getRelation().key }));
    }

    /** The message as a person sees it: with the last edit applied, and the shields of both. */
    async #show(event) {
        const edit = event.replacingEvent();
        return {
            event_id: event.getId(),
            room_id: event.getRoomId(),
            sender: event.getSender(),
            body: shownText(event),
            encrypted: event.isEncrypted(),
            failure: event.isDecryptionFailure() ? event.decryptionFailureReason : null,
            shield: await this.#shield(event),
            edit_shield: edit ? await this.#shield(edit) : null,
            reactions: this.#reactions(event.getId()),
        };
    }

    /** `none`, or colour and reason, by the names that the library has for them; `clear` for what isn't encrypted. */
    async #shield(event) {
        const info = await this.#crypto.getEncryptionInfoForEvent(event);
        if (info === null) return event.isEncrypted() ? "unreadable" : "clear";
        if (info.shieldColour === EventShieldColour.NONE) return "none";
        return `${EventShieldColour[info.shieldColour]} ${EventShieldReason[info.shieldReason]}`.toLowerCase();
    }

    // Waiting

    #lookAgain() {
        for (const look of this.#looks) look();
    }

    /** The first true answer of `find`, asked again whenever something changed. @param timeout - in seconds. */
    async #until(find, timeout, what) {
        const { promise, resolve, reject } = Promise.withResolvers();
        const look = () => Promise.resolve().then(find).then((found) => found && resolve(found), reject);
        const late = setTimeout(() => reject(new Error(this.#notSeen(what, timeout))), timeout * 1000);
        this.#looks.add(look);
        look();
        try {
            return await promise;
        } finally {
            this.#looks.delete(look);
            clearTimeout(late);
        }
    }

    #notSeen(what, timeout) {
        const last = this.#timeline().slice(-10).map((event) => {
            const problem = event.isDecryptionFailure() ? event.decryptionFailureReason : "";
            return `  ${event.getId()} ${event.getSender()} ${event.getType()} ${problem} ${shownText(event).slice(0, 80)}`;
        });
        return [`did not see ${what} within ${timeout} s; the last events:`, ...last].join("\n");
    }
}

/** The plain text of a message as it reads now. */
function shownText(event) {
    return String(event.getContent().body ?? ""); // the library has put the last edit's content in its place
}
