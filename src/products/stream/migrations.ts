/** The tables of Stream. Append-only: a released step is never edited. Times are milliseconds since the epoch. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-videos",
    sql: `
      CREATE TABLE stream_videos (
        uid TEXT PRIMARY KEY,
        state TEXT NOT NULL,
        name TEXT NOT NULL,                 -- meta.name, for the search
        creator TEXT,
        live_input TEXT,
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        uploaded INTEGER,
        ready_at INTEGER,
        expires INTEGER,                    -- of an upload that has not come: its URL's end
        deletion INTEGER,
        size INTEGER NOT NULL,
        duration REAL NOT NULL,             -- seconds; -1 until it is known
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        pct REAL NOT NULL,
        reserved INTEGER NOT NULL,          -- seconds of storage that are kept free for it
        source TEXT,                        -- JSON: where the bytes come from, until they are encoded
        details TEXT NOT NULL               -- JSON: what its owner says of it, and why it failed
      );
      CREATE INDEX stream_videos_created ON stream_videos (created, uid);
      CREATE INDEX stream_videos_state ON stream_videos (state, created);
      CREATE INDEX stream_videos_input ON stream_videos (live_input, created);
      CREATE TABLE stream_tracks (
        id TEXT PRIMARY KEY,
        video TEXT NOT NULL,
        kind TEXT NOT NULL,                 -- video, audio, extra, mp4, m4a
        status TEXT NOT NULL,               -- queued, ready, error
        label TEXT NOT NULL,
        is_default INTEGER NOT NULL,
        created INTEGER NOT NULL,
        source TEXT,                        -- JSON, of a queued one
        blob TEXT,
        size INTEGER NOT NULL,
        info TEXT NOT NULL                  -- JSON: codecs, size of picture, segments
      );
      CREATE INDEX stream_tracks_video ON stream_tracks (video, created);
      CREATE INDEX stream_tracks_status ON stream_tracks (status, created);
      CREATE TABLE stream_captions (
        video TEXT NOT NULL,
        language TEXT NOT NULL,
        blob TEXT NOT NULL,
        PRIMARY KEY (video, language)
      );
      CREATE TABLE stream_watermarks (
        uid TEXT PRIMARY KEY,
        created INTEGER NOT NULL,
        deleted INTEGER NOT NULL,           -- 1 when only videos that are not encoded yet still need it
        blob TEXT NOT NULL,
        profile TEXT NOT NULL               -- JSON: name, size, width, height, downloadedFrom, opacity, padding, scale, position
      );
      CREATE TABLE stream_keys (
        id TEXT PRIMARY KEY,
        created INTEGER NOT NULL,
        public TEXT NOT NULL,               -- PEM
        sealed TEXT                         -- PEM of the platform's own key, for tokens of the API; null of all others
      );
      CREATE TABLE stream_settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL                 -- JSON
      );
      CREATE TABLE stream_notices (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,                -- when it is sent next
        attempts INTEGER NOT NULL,
        body TEXT NOT NULL
      );
      CREATE TABLE stream_views (
        at INTEGER NOT NULL,
        uid TEXT NOT NULL,
        creator TEXT NOT NULL,
        country TEXT NOT NULL,
        seconds REAL NOT NULL
      );
      CREATE INDEX stream_views_at ON stream_views (at);
    `,
  },
  {
    name: "0002-live",
    sql: `
      CREATE TABLE stream_live_inputs (
        uid TEXT PRIMARY KEY,
        created INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        name TEXT NOT NULL,                 -- meta.name, for the search
        sealed TEXT NOT NULL,               -- the secret part of its stream key
        settings TEXT NOT NULL              -- JSON
      );
      CREATE INDEX stream_live_inputs_created ON stream_live_inputs (created, uid);
    `,
  },
  {
    name: "0003-live-outputs",
    sql: `
      CREATE TABLE stream_live_outputs (
        uid TEXT PRIMARY KEY,
        input TEXT NOT NULL,
        created INTEGER NOT NULL,
        enabled INTEGER NOT NULL,
        url TEXT NOT NULL,
        sealed TEXT NOT NULL                -- the key that the other server asks for
      );
      CREATE INDEX stream_live_outputs_input ON stream_live_outputs (input, created);
      CREATE TABLE stream_live_groups (
        at INTEGER NOT NULL,
        input TEXT NOT NULL,
        keyframe_s REAL NOT NULL,
        upload_s REAL NOT NULL,
        media_s REAL NOT NULL,
        bytes INTEGER NOT NULL
      );
      CREATE INDEX stream_live_groups_at ON stream_live_groups (at);
    `,
  },
];
