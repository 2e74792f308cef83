/** The tables of Images. Append-only: a released step is never edited. */
import type { Migration } from "../../kernel/meta/meta.ts";

export const migrations: readonly Migration[] = [
  {
    name: "0001-hosted",
    sql: `
      CREATE TABLE images_images (
        id TEXT PRIMARY KEY,
        custom INTEGER NOT NULL,            -- 1 when the id is the caller's
        filename TEXT,
        meta TEXT NOT NULL,                 -- JSON object
        creator TEXT,
        signed INTEGER NOT NULL,            -- 1 when its URLs must be signed
        blob TEXT,                          -- null until the draft's file has come
        type TEXT,                          -- media type
        size INTEGER,
        uploaded INTEGER NOT NULL,          -- milliseconds since the epoch, as all times here
        expires INTEGER                     -- of a draft: its upload URL's end
      );
      CREATE INDEX images_images_uploaded ON images_images (uploaded, id);
      CREATE TABLE images_variants (
        id TEXT PRIMARY KEY,
        options TEXT NOT NULL,              -- JSON: fit, width, height, metadata, blur, browser_ttl
        public INTEGER NOT NULL             -- 1 when it needs no signature
      );
      CREATE TABLE images_keys (
        name TEXT PRIMARY KEY,
        sealed TEXT NOT NULL                -- the value; opens for this name alone
      );
      CREATE TABLE images_settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL                 -- JSON
      );
      CREATE TABLE images_zone_settings (
        zone_id TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        modified INTEGER NOT NULL,
        PRIMARY KEY (zone_id, name)
      );
      CREATE TABLE images_transformations (
        month TEXT NOT NULL,                -- "2026-11"
        hash TEXT NOT NULL,                 -- of the image's URL and what was asked for
        PRIMARY KEY (month, hash)
      );
    `,
  },
];
