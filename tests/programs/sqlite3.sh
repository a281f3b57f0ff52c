#!/bin/sh
. "$(dirname "$0")/common.sh"
require sqlite3

cat >"$work/session.sql" <<'END'
PRAGMA cache_size = 2000;
CREATE TABLE item (id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, weight REAL);
WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < 200000)
INSERT INTO item SELECT n, n * 7919 % 1009, 'item ' || n || substr('abcdefghijklmnopqrstuvwxyz', 1, n % 26), n / 7.0 FROM counter;
CREATE INDEX by_kind ON item (kind, name);
CREATE INDEX by_name ON item (name);
SELECT kind, count(*), sum(weight), group_concat(substr(name, 1, 8)) FROM item GROUP BY kind ORDER BY kind;
DELETE FROM item WHERE id % 3 = 0;
UPDATE item SET name = upper(name) || hex(name) WHERE id % 5 = 0;
SELECT a.kind, count(*), max(b.name) FROM item a JOIN item b ON b.id = a.id + 1 WHERE a.kind < 100 GROUP BY a.kind;
CREATE TABLE copy AS SELECT kind, name, json_object('id', id, 'weight', weight) AS text FROM item ORDER BY name DESC;
SELECT sum(json_extract(text, '$.id')) FROM copy;
SELECT name FROM copy WHERE name LIKE '%ITEM 1999%' ORDER BY name LIMIT 50;
VACUUM;
PRAGMA integrity_check;
END
# What is left after the DELETE, and the sum of it, can be known without sqlite3.
cat >"$work/check.sql" <<'END'
SELECT count(*) = 200000 - 66666 AND sum(id) = 20000100000 - 3 * 66666 * 66667 / 2 FROM item;
END
compare sqlite3 test.db ".read $work/session.sql"

run_with sqlite3 "$work/checked.db" ".read $work/session.sql" >/dev/null || fail "sqlite3 fails"
[ "$(run_with sqlite3 "$work/checked.db" ".read $work/check.sql")" = 1 ] || fail "the sum is wrong"
