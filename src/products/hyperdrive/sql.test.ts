import assert from "node:assert/strict";
import { test } from "node:test";
import { inspector, type Verdict } from "./sql.ts";

const postgres = inspector("postgres");
const mysql = inspector("mysql");

test("reads of immutable functions may be cached, everything else may not", () => {
  const cases: Readonly<Record<string, Verdict>> = {
    "SELECT * FROM articles WHERE DATE(published_time) = $1 ORDER BY 1 LIMIT 50": "cacheable",
    "select count(*), lower(name) from t where id in (1, 2) group by 2": "cacheable",
    "WITH a AS (SELECT 1) SELECT * FROM a": "cacheable",
    "select 'now(' , \"random\" from t;": "volatile",
    "select 'it''s; insert' as x": "cacheable",
    "select $tag$ ; delete $tag$": "cacheable",
    "select E'a\\'; b' as x": "cacheable",
    "-- We removed NOW() to keep this query cacheable\nSELECT * FROM api_keys": "volatile",
    "/* a /* nested */ comment */ select 1": "cacheable",
    "select CURRENT_DATE": "volatile",
    "select my_function(1)": "volatile",
    "select mine.lower('A')": "volatile",
    "select pg_catalog.lower('A')": "cacheable",
    'select "lower"(1)': "volatile",
    "select * from generate_series(1, 3) as t(n)": "cacheable",
    "with gone as (delete from t returning *) select * from gone": "uncacheable",
    "select * from t for update": "uncacheable",
    "select 1 into copy": "uncacheable",
    "select updated_at from t": "cacheable",
    "insert into t values (1)": "uncacheable",
    "create table t (a int)": "uncacheable",
    "select 1; select 2": "multiplestatements",
    "select 1;": "cacheable",
    begin: "notaquery",
    "": "notaquery",
    ";": "notaquery",
    "select 'open": "parseerror",
  };
  for (const [sql, verdict] of Object.entries(cases)) assert.equal(postgres(sql).verdict, verdict, sql);
});

test("the same by the rules of MySQL", () => {
  const cases: Readonly<Record<string, Verdict>> = {
    "SELECT * FROM articles WHERE DATE(t) = ?": "cacheable",
    "SELECT LAST_INSERT_ID(), * FROM articles": "volatile",
    "SELECT * FROM events WHERE created_at > NOW() - INTERVAL 1 HOUR": "volatile",
    'select `now(`, "it\\"s; x" from t # comment; here': "volatile",
    "select 'a\\'b; c'": "cacheable",
    "select @a": "volatile",
    "select /*! sleep */ 1": "parseerror",
    "select * from t lock in share mode": "uncacheable",
    "show tables": "notaquery",
  };
  for (const [sql, verdict] of Object.entries(cases)) assert.equal(mysql(sql).verdict, verdict, sql);
});

test("what a pooled session cannot do is named", () => {
  assert.equal(postgres("listen x").unsupported, "LISTEN");
  assert.equal(postgres("select 1; DEALLOCATE ALL").unsupported, "DEALLOCATE");
  assert.equal(postgres("select pg_try_advisory_lock(1)").unsupported, "advisory locks");
  assert.equal(postgres("select pg_advisory_xact_lock(1)").unsupported, undefined);
  assert.equal(postgres("select 'listen'").unsupported, undefined);
  assert.equal(mysql("use other").unsupported, "USE");
  assert.equal(mysql("select 1; select 2").unsupported, "multi-statement queries");
});
