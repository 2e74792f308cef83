import assert from "node:assert/strict";
import { test } from "node:test";
import { StatementScanner, splitStatements, startsReadOnly, statementEnd } from "./statements.worker.ts";

const cases: Record<string, [text: string, statements: string[]]> = {
  "one without a semicolon": ["select 1", ["select 1"]],
  "several, with space between": ["select 1; select 2 ;\n\nselect 3;", ["select 1;", " select 2 ;", "\n\nselect 3;"]],
  "empty statements and comments alone": ["; ;; -- nothing\n /* nothing; */ ;", []],
  "semicolons in strings and names": [
    `insert into t values ('a;b', 'it''s; ok'); select "x;y", [p;q], \`r;s\` from t;`,
    [`insert into t values ('a;b', 'it''s; ok');`, ` select "x;y", [p;q], \`r;s\` from t;`],
  ],
  "semicolons and quotes in comments": [
    "select 1 -- don't; stop\n; /* it's; */ select 2;",
    ["select 1 -- don't; stop\n;", " /* it's; */ select 2;"],
  ],
  "a trigger": [
    "create trigger tr after insert on t begin update t set n = case when n > 1 then 2 else 3 end; delete from u; end; select 1;",
    ["create trigger tr after insert on t begin update t set n = case when n > 1 then 2 else 3 end; delete from u; end;", " select 1;"],
  ],
  "a temporary trigger in mixed case, its END on a line of its own": [
    "Create Temp Trigger tr Before Delete On t Begin\n  Select 1; -- end;\nEnd;\nselect 2",
    ["Create Temp Trigger tr Before Delete On t Begin\n  Select 1; -- end;\nEnd;", "\nselect 2"],
  ],
  "a table named trigger is no trigger": ["create table trigger_log (a); select 1", ["create table trigger_log (a);", " select 1"]],
  "a word that only starts like END": [
    "create trigger x after insert on t begin select 1; ending; end; select 3",
    ["create trigger x after insert on t begin select 1; ending; end;", " select 3"],
  ],
  "an unterminated string is the rest": ["select 1; select 'open; text", ["select 1;", " select 'open; text"]],
  "operators that look like comments": ["select 1 - -1; select 4 / 2;", ["select 1 - -1;", " select 4 / 2;"]],
};

for (const [name, [text, statements]] of Object.entries(cases)) {
  test(`splits: ${name}`, () => assert.deepEqual(splitStatements(text), statements));
  test(`splits in any pieces: ${name}`, () => {
    for (const size of [1, 2, 3, 7]) {
      const scanner = new StatementScanner();
      const found: string[] = [];
      for (let at = 0; at < text.length; at += size) found.push(...scanner.push(text.slice(at, at + size)));
      found.push(...scanner.finish());
      assert.deepEqual(found, statements, `pieces of ${size}`);
    }
  });
}

test("a statement that never ends is refused, not collected for ever", () => {
  const scanner = new StatementScanner();
  assert.throws(() => {
    for (let i = 0; i < 100; i++) scanner.push(`'${"x".repeat(100_000)}`);
  }, /statement too long: SQLITE_TOOBIG/);
});

test("the end of the last statement leaves out comments, space and semicolons", () => {
  for (const [text, kept] of [
    ["select 1", "select 1"],
    ["select 1 ;; \n", "select 1"],
    ["select 1; -- done", "select 1"],
    ["select '--'; /* done */ ", "select '--'"],
    ["-- only\n/* comments */;", ""],
    ["  ", ""],
    ["-- first\nselect 2", "-- first\nselect 2"],
  ] as const)
    assert.equal(text.slice(0, statementEnd(text)), kept);
});

test("reading statements are known by their first word", () => {
  for (const sql of [
    "select 1",
    " WITH a AS (select 1) select * from a",
    "explain select 1",
    "values (1)",
    "-- c\n/* d */ pragma table_list",
  ])
    assert.equal(startsReadOnly(sql), true, sql);
  for (const sql of ["insert into t values (1)", "-- select\ndelete from t", "selection", "/* select */ drop table t", ""])
    assert.equal(startsReadOnly(sql), false, sql);
});
