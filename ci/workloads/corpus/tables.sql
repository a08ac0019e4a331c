CREATE TABLE event (id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, weight REAL);
CREATE INDEX by_name ON event (name);
WITH RECURSIVE n (i, r) AS (SELECT 1, 7 UNION ALL SELECT i + 1, (r * 16807) % 2147483647 FROM n WHERE i < 450000)
INSERT INTO event SELECT i, r % 17, 'name ' || (r % 40009), r / 1000.0 FROM n;
SELECT kind, count (*), round (sum (weight), 2) FROM event GROUP BY kind ORDER BY kind;
UPDATE event SET weight = weight / 2 WHERE kind % 3 = 0;
DELETE FROM event WHERE kind = 5;
SELECT a.kind, count (*) FROM event a JOIN event b ON a.name = b.name AND a.id < b.id GROUP BY a.kind ORDER BY a.kind;
SELECT count (DISTINCT name), round (avg (weight), 4) FROM event;
