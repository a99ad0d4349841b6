\echo Use "CREATE EXTENSION" to load this file. \quit
-- a comment; with ' and " and $$ in it
CREATE TABLE @extschema@.a (
	id uuid PRIMARY KEY, -- the key, of course
	price numeric(10, 2) DEFAULT (1 + 2) * 3,
	name text CHECK (name IN ('x, y', 'z;')),
	CONSTRAINT a_gone CHECK (price > 0),
	CONSTRAINT a_other CHECK (price > 1)
);
CREATE INDEX a_same ON @extschema@.a (id);
CREATE INDEX a_changed ON @extschema@.a (id, name);
CREATE INDEX a_went ON @extschema@.a (price);
ALTER TABLE @extschema@.a ADD COLUMN one int, ALTER COLUMN name SET NOT NULL;
CREATE FUNCTION @extschema@.f() RETURNS text LANGUAGE sql AS $$ SELECT 'a; b' -- kept
$$;
INSERT INTO @extschema@.a VALUES ('1', 2, 'it''s', E'\';');
GRANT SELECT ON @extschema@.a TO r;
CREATE TABLE @extschema@.c (name text, is_builtin boolean);
CREATE TABLE @extschema@.d (name text, is_builtin boolean);
INSERT INTO @extschema@.c (name, is_builtin) VALUES ('kept', true);
INSERT INTO @extschema@.c (name, is_builtin) VALUES ('changed', true);
INSERT INTO @extschema@.d (name, is_builtin) VALUES ('same', true);
