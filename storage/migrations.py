"""The schema, as a list that only grows. Each entry and its number are committed in one transaction."""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    # 1: the first schema
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

    -- What sync brought. The payload is dropped once an event was handled; its id stays, so it can't act twice.
    CREATE TABLE inbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL UNIQUE,
        room_id TEXT NOT NULL,
        received_ts INTEGER NOT NULL,
        status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'undecryptable', 'handled')),
        payload TEXT
    ) STRICT;
    CREATE INDEX inbox_waiting ON inbox (status, seq) WHERE status <> 'handled';
    CREATE INDEX inbox_received ON inbox (received_ts);

    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        open INTEGER NOT NULL,
        requester_id TEXT NOT NULL,
        target_id TEXT NOT NULL,
        room_id TEXT NOT NULL,
        created_ts INTEGER NOT NULL,
        confirmed_ts INTEGER,
        wake_ts INTEGER,
        version INTEGER NOT NULL,
        data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX requests_open ON requests (open, id) WHERE open = 1;
    CREATE INDEX requests_wake ON requests (wake_ts) WHERE wake_ts IS NOT NULL;
    CREATE INDEX requests_target ON requests (target_id, id);
    CREATE INDEX requests_requester ON requests (requester_id, confirmed_ts);
    CREATE INDEX requests_room ON requests (room_id, id);

    -- Messages on their way out. The content is dropped once sent; the event_id stays, since reactions refer to it.
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        txn_id TEXT NOT NULL UNIQUE,
        room_id TEXT NOT NULL,
        request_id INTEGER,
        purpose TEXT NOT NULL,
        event_type TEXT NOT NULL,
        content TEXT,
        relates_to TEXT,
        status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'dropped')),
        attempts INTEGER NOT NULL DEFAULT 0,
        created_ts INTEGER NOT NULL,
        not_before_ts INTEGER NOT NULL,
        event_id TEXT
    ) STRICT;
    CREATE INDEX outbox_pending ON outbox (room_id, seq) WHERE status = 'pending';
    CREATE INDEX outbox_event ON outbox (event_id) WHERE event_id IS NOT NULL;
    CREATE INDEX outbox_request ON outbox (request_id, purpose) WHERE request_id IS NOT NULL;
    CREATE INDEX outbox_created ON outbox (created_ts);

    -- Direct messages that the bot is in, and with whom.
    CREATE TABLE conversations (
        room_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        opened_ts INTEGER NOT NULL,
        data_asked_ts INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX conversations_user ON conversations (user_id, opened_ts);

    -- Files that were sent and have to be taken off the server again.
    CREATE TABLE uploads (uri TEXT PRIMARY KEY, user_id TEXT NOT NULL, sent_ts INTEGER NOT NULL, delete_ts INTEGER)
        STRICT, WITHOUT ROWID;
    CREATE INDEX uploads_delete ON uploads (delete_ts) WHERE delete_ts IS NOT NULL;
    CREATE INDEX uploads_user ON uploads (user_id, sent_ts);

    -- Append-only. `personal` and `salt` may be dropped by retention; `commitment` keeps the chain verifiable.
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ts INTEGER NOT NULL,
        action TEXT NOT NULL,
        request_id INTEGER,
        actor TEXT,
        target TEXT,
        public TEXT NOT NULL,
        personal TEXT,
        salt TEXT,
        commitment TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_target ON audit (target, id) WHERE target IS NOT NULL;
    CREATE INDEX audit_actor ON audit (actor, id) WHERE actor IS NOT NULL;
    CREATE INDEX audit_request ON audit (request_id, id) WHERE request_id IS NOT NULL;
    CREATE INDEX audit_ts ON audit (ts);
    """,
    # 2: what waits is taken room by room
    """
    CREATE INDEX inbox_rooms ON inbox (room_id, seq) WHERE status = 'pending';
    """,
    # 3: waves, many accounts that are decided on at once
    """
    CREATE TABLE waves (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        state TEXT NOT NULL,
        open INTEGER NOT NULL,
        untold INTEGER NOT NULL DEFAULT 0,
        created_ts INTEGER NOT NULL,
        wake_ts INTEGER,
        version INTEGER NOT NULL,
        data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX waves_open ON waves (open, id) WHERE open = 1;
    CREATE INDEX waves_untold ON waves (untold, id) WHERE untold = 1;
    CREATE INDEX waves_wake ON waves (wake_ts) WHERE wake_ts IS NOT NULL;

    CREATE TABLE wave_members (
        wave_id INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        state TEXT NOT NULL,
        request_id INTEGER,
        detail TEXT,
        PRIMARY KEY (wave_id, user_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX wave_members_state ON wave_members (wave_id, state);
    CREATE INDEX wave_members_at_work ON wave_members (state) WHERE state IN ('running', 'releasing');
    ALTER TABLE requests ADD COLUMN wave_id INTEGER;
    -- Those of a wave, thousands of them, are found by their wave.
    DROP INDEX requests_open;
    CREATE INDEX requests_open ON requests (open, id) WHERE open = 1 AND wave_id IS NULL;
    CREATE INDEX requests_single ON requests (id) WHERE wave_id IS NULL;
    """,
    # 4: the page: one-time links to it, browsers on their way over it, and log-ins whose device isn't seen gone yet
    """
    CREATE TABLE links (
        hash TEXT PRIMARY KEY, request_id INTEGER NOT NULL, user_id TEXT NOT NULL, expires_ts INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX links_expiry ON links (expires_ts);
    CREATE TABLE visits (hash TEXT PRIMARY KEY, expires_ts INTEGER NOT NULL, data TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX visits_expiry ON visits (expires_ts);
    CREATE TABLE log_ins (device_id TEXT PRIMARY KEY, user_id TEXT, begun_ts INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX log_ins_begun ON log_ins (begun_ts);
    """,
    # 5: the language that a person chose
    """
    CREATE TABLE people (user_id TEXT PRIMARY KEY, language TEXT NOT NULL) STRICT, WITHOUT ROWID;
    """,
    # 6: cards of what was reported, and of policy lists' rules; and which of these were seen, by where they came from
    """
    CREATE TABLE alerts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        open INTEGER NOT NULL,
        kind TEXT NOT NULL,
        target_id TEXT,
        created_ts INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX alerts_open ON alerts (open, id) WHERE open = 1;
    CREATE TABLE alerts_seen (source TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (source, key)) STRICT, WITHOUT ROWID;
    """,
    # 7: where people want their receipt by e-mail, until it is sent
    """
    CREATE TABLE receipts (
        request_id INTEGER PRIMARY KEY,
        address TEXT NOT NULL,
        language TEXT NOT NULL,
        tries INTEGER NOT NULL,
        next_ts INTEGER NOT NULL
    ) STRICT;
    """,
    # 8: moderators' second factors (the seed is encrypted), and what waits for a code of whom
    """
    CREATE TABLE second_factors (
        user_id TEXT PRIMARY KEY,
        seed TEXT NOT NULL,
        made_ts INTEGER NOT NULL,
        confirmed_ts INTEGER,
        last_step INTEGER NOT NULL DEFAULT 0,
        wrong INTEGER NOT NULL DEFAULT 0,
        wrong_ts INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE codes_asked (
        user_id TEXT NOT NULL,
        what TEXT NOT NULL,
        event_id TEXT NOT NULL,
        trust TEXT NOT NULL,
        asked_ts INTEGER NOT NULL,
        PRIMARY KEY (user_id, what)
    ) STRICT, WITHOUT ROWID;
    """,
)
