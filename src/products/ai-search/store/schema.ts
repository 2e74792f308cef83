/** The file of an instance: its items, their chunks with words and vectors, files that were uploaded or fetched, kept answers. */

export const SCHEMA = `
  CREATE TABLE items (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,         -- of source and key, so that a file that comes back is the same item
    source TEXT NOT NULL,            -- builtin, r2:BUCKET, web-crawler:URL
    key TEXT NOT NULL,
    folder TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    etag TEXT,                       -- of the version that the source has
    indexed TEXT,                    -- of the version whose chunks are here; null: none
    size INTEGER,
    modified INTEGER NOT NULL,       -- milliseconds since the epoch, here and below
    fetched INTEGER,                 -- when it was read last
    created INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    run TEXT NOT NULL,               -- the scan that saw it last
    rank INTEGER NOT NULL,
    metadata TEXT,                   -- JSON
    chunks INTEGER,
    UNIQUE (source, key)
  );
  CREATE INDEX items_waiting ON items (rank, number) WHERE status IN ('queued', 'outdated');
  CREATE INDEX items_status ON items (status);
  CREATE INDEX items_folder ON items (folder);
  CREATE INDEX items_modified ON items (modified);
  CREATE TABLE chunks (
    slot INTEGER PRIMARY KEY,        -- place in memory; those of deleted chunks are used again
    item INTEGER NOT NULL,
    number INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    text TEXT NOT NULL,
    embedding BLOB                   -- 32-bit floats
  );
  CREATE UNIQUE INDEX chunks_item ON chunks (item, number);
  CREATE TABLE free (slot INTEGER PRIMARY KEY);
  CREATE VIRTUAL TABLE words_porter USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'porter unicode61');
  CREATE VIRTUAL TABLE words_trigram USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'trigram');
  CREATE TABLE files (item INTEGER PRIMARY KEY, type TEXT NOT NULL, bytes BLOB NOT NULL);
  CREATE TABLE logs (
    number INTEGER PRIMARY KEY,
    item INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    message TEXT,
    error_type TEXT,
    chunks INTEGER,
    took_ms INTEGER
  );
  CREATE INDEX logs_item ON logs (item, number);
  CREATE TABLE answers (
    number INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    shingles TEXT NOT NULL,          -- JSON
    answer TEXT NOT NULL,
    expires INTEGER NOT NULL
  );
  CREATE TABLE answer_bands (band TEXT NOT NULL, answer INTEGER NOT NULL, PRIMARY KEY (band, answer)) WITHOUT ROWID;
  CREATE INDEX answer_bands_answer ON answer_bands (answer);
  CREATE TABLE answer_items (item INTEGER NOT NULL, answer INTEGER NOT NULL, PRIMARY KEY (item, answer)) WITHOUT ROWID;
  CREATE TABLE state (slots INTEGER NOT NULL, dimensions INTEGER NOT NULL);
  INSERT INTO state VALUES (0, 0);
  PRAGMA user_version = 1;
`;
