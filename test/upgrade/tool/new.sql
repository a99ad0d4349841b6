\echo Use "CREATE EXTENSION" to load this file. \quit
/* another /* nested ; */ comment */
CREATE TABLE @extschema@.a (
	id   uuid PRIMARY KEY,
	price numeric(10, 2) DEFAULT (1 + 2) * 3,
	name text CHECK (name IN ('x, y', 'z;')),
	colour text DEFAULT 'red, or "blue"',
	CONSTRAINT a_other CHECK (price > 2),
	UNIQUE (id, name)
);
CREATE INDEX a_same ON @extschema@.a (id);
CREATE INDEX a_changed ON @extschema@.a (id, price);
CREATE UNIQUE INDEX a_new ON @extschema@.a (name) WHERE name <> ';';
ALTER TABLE @extschema@.a ADD COLUMN one int, ADD COLUMN two numeric(4, 2) DEFAULT 1, ALTER COLUMN name SET NOT NULL,
	ALTER COLUMN one SET DEFAULT 5, DROP CONSTRAINT a_old;
CREATE TABLE @extschema@.b (id int) PARTITION BY RANGE (id);
CREATE TABLE @extschema@.b_1 PARTITION OF @extschema@.b FOR VALUES FROM (1) TO (2);
ALTER TABLE @extschema@.b ADD CONSTRAINT b_c CHECK (id > 0);
CREATE FUNCTION @extschema@.f() RETURNS text LANGUAGE sql AS $body$ SELECT '$$;' -- kept
$body$;
CREATE FUNCTION @extschema@.g(int) RETURNS int LANGUAGE sql
	BEGIN ATOMIC
		SELECT CASE WHEN $1 > 0 THEN 1 END;
		SELECT 2;
	END;
INSERT INTO @extschema@.a VALUES ('1', 2, 'it''s', E'\';');
INSERT INTO @extschema@.a VALUES ('2');
CREATE VIEW @extschema@.v AS SELECT * FROM @extschema@.a;
CREATE TRIGGER t BEFORE INSERT ON @extschema@.a EXECUTE FUNCTION @extschema@.f();
GRANT SELECT ON @extschema@.a TO r;
CREATE TABLE @extschema@.c (name text, is_builtin boolean);
CREATE TABLE @extschema@.d (name text, is_builtin boolean);
CREATE TABLE @extschema@.e (name text, is_builtin boolean);
INSERT INTO @extschema@.c (name, is_builtin) VALUES ('kept', true);
INSERT INTO @extschema@.c (name, is_builtin) VALUES ('otherwise', true);
INSERT INTO @extschema@.d (name, is_builtin) VALUES ('same', true);
WITH made AS (INSERT INTO @extschema@.e (name, is_builtin) VALUES ('new', true) RETURNING name) INSERT INTO @extschema@.e (name) SELECT name FROM made;
