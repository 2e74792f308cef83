CREATE TABLE airports (
  iata TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  city TEXT,
  state TEXT
);

CREATE TABLE cron_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  cron TEXT NOT NULL,
  scheduled_at INTEGER NOT NULL,
  events INTEGER NOT NULL
);
