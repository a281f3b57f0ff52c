-- Inserts, updates, joins and deletes in an in-memory database.
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, price INTEGER);
CREATE INDEX purchase_customer ON purchase(customer);
CREATE INDEX customer_city ON customer(city, name);

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO customer SELECT i, 'name ' || (i * 7919 % 20011), 'city ' || (i * 31 % 97) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO purchase SELECT i, 1 + i * 7919 % 20000, 'item ' || hex(i * 104729 % 1000003), i * 37 % 1000 FROM n;

UPDATE purchase SET item = item || ' (reduced)', price = price / 2 WHERE price > 700;
SELECT city, count(*), sum(price) FROM customer JOIN purchase ON purchase.customer = customer.id GROUP BY city ORDER BY city LIMIT 20;
DELETE FROM purchase WHERE id % 3 = 0;
SELECT name, group_concat(item, '/') AS items FROM customer JOIN purchase ON purchase.customer = customer.id
    WHERE city = 'city 5' GROUP BY name ORDER BY length(items) DESC, name LIMIT 10;
SELECT count(*), sum(price), max(length(item)) FROM purchase;
