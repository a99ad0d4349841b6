-- Secrets: what opens them and what does not, the rotation of the key, and who may do what.
\ir setup.psql
SELECT no_plan();
SELECT pg_temp.tenant('+15551230002') AS mine, pg_temp.tenant('+15551230003') AS theirs \gset

SELECT va_secret_set(:'mine', 'one', 'first'), va_secret_set(:'theirs', 'one', 'second'), va_secret_set(NULL, 'one', 'common'), va_secret_set(:'mine', 'long', repeat('ü', 32768)) \g /dev/null
SELECT is(va_secret_read(t, n), v, format('reads back: %s', left(v, 6))) FROM (VALUES (:'mine'::uuid, 'one', 'first'), (:'theirs', 'one', 'second'), (NULL, 'one', 'common'), (gen_random_uuid(), 'one', 'common'), (:'mine', 'long', repeat('ü', 32768)), (:'mine', 'none', NULL)) x (t, n, v);
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secret_set(%s)', a)), 'VA005', 'refused: ' || left(a, 30)) FROM unnest(ARRAY['NULL, $$Name$$, $$x$$', 'NULL, $$$$, $$x$$', 'NULL, NULL, $$x$$', 'NULL, $$a$$, $$$$', 'NULL, $$a$$, NULL', 'NULL, $$a$$, repeat($$x$$, 65537)']) a;
SELECT isnt(a.ciphertext, b.ciphertext, 'the same twice is not the same') FROM (SELECT va_encrypt('x', 'y') AS ciphertext) a, (SELECT va_encrypt('x', 'y') AS ciphertext) b;
SELECT is((SELECT count(*)::int FROM tenant_secrets WHERE position('first'::bytea in ciphertext) > 0 OR tenant_secrets::text LIKE '%first%'), 0, 'no plain text is stored');

-- what was changed does not open, and the error tells nothing of it
CREATE FUNCTION pg_temp.opens(c bytea, context text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN va_decrypt(c, context); EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || CASE WHEN SQLERRM ~ 'first|abc' THEN ' TELLS' ELSE '' END; END $$;
SELECT va_encrypt('abc', 'ctx') AS sealed \gset
SELECT is(pg_temp.opens(:'sealed', 'ctx'), 'abc', 'as it was it opens');
SELECT is(pg_temp.opens(set_byte(:'sealed', n, get_byte(:'sealed', n) # 1), 'ctx'), 'VA007', format('not with byte %s changed', n)) FROM generate_series(0, length(:'sealed'::bytea) - 1) n;
SELECT is(pg_temp.opens(substr(:'sealed'::bytea, 1, n), 'ctx'), 'VA007', format('not its first %s bytes', n)) FROM generate_series(0, length(:'sealed'::bytea) - 1) n;
SELECT is(pg_temp.opens(c, x), 'VA007', 'nor ' || what) FROM (VALUES (:'sealed'::bytea || '\x00'::bytea, 'ctx', 'with a byte more'), (:'sealed', 'ctx2', 'with another context'), (:'sealed', '', 'with none')) v (c, x, what);
UPDATE tenant_secrets s SET ciphertext = o.ciphertext FROM tenant_secrets o WHERE s.name = 'one' AND o.name = 'one' AND (s.tenant_id, o.tenant_id) IN ((:'mine', :'theirs'), (:'theirs', :'mine'));
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secret_read(%L, $$one$$)', t)), 'VA007', 'two rows that were swapped do not open') FROM unnest(ARRAY[:'mine', :'theirs']::uuid[]) t;
SELECT throws_matching('SELECT va_secrets_rekey()', '^secret "one" of tenant .* cannot be read', 'and are named when the key is rotated');
SELECT va_secret_set(:'mine', 'one', 'first'), va_secret_set(:'theirs', 'one', 'second') \g /dev/null

-- rotation
SELECT va_key_id() AS old, cardinality(va_key_ids()) AS keys \gset
SELECT is((va_key_ids())[1], :'old', 'the current key is the first'), is((SELECT count(*)::int FROM tenant_secrets WHERE key_id <> :'old'), 0, 'all is of one key');
SELECT is(va_secrets_rekey(), 4, 'all secrets are encrypted again');
SELECT va_key_id() AS new \gset
SELECT isnt(:'new'::text, :'old'::text, 'with a new key'), is((va_key_ids())[1:2], ARRAY[:'new', :'old'], 'which is first in the file, the old one behind it'), is((SELECT count(*)::int FROM tenant_secrets WHERE key_id <> :'new' OR encode(substr(ciphertext, 2, 8), 'hex') <> key_id), 0, 'and named in every row');
SELECT is(va_secret_read(t, n), v, format('reads back: %s', left(v, 6))) FROM (VALUES (:'mine'::uuid, 'one', 'first'), (:'theirs', 'one', 'second'), (NULL, 'one', 'common'), (:'mine', 'long', repeat('ü', 32768))) x (t, n, v);
SELECT is(pg_temp.opens(:'sealed', 'ctx'), 'abc', 'what the old key sealed opens as before'), is(va_secrets_rekey(false), 0, 'nothing is left to do');
BEGIN;
SELECT va_secrets_rekey() \g /dev/null
SELECT va_key_id() AS third \gset
ROLLBACK;
SELECT is((SELECT count(*)::int FROM tenant_secrets WHERE key_id = :'new'), 4, 'rolled back: the secrets are of the key before'), is(va_key_id(), :'third', 'the newest key stays in the file'), is(va_secret_read(:'mine', 'one'), 'first', 'and all is readable');
SELECT is(va_secrets_rekey(false), 4, 'caught up with the current key'), is(va_secret_read(:'mine', 'one'), 'first', 'still readable');
SELECT ok(ok, 'va_health() is content'), matches(detail, 'and \d+ older', 'and tells of the old keys') FROM va_health() WHERE "check" = 'key file';
SELECT ok(ok, 'nor does it miss a key') FROM va_health() WHERE "check" = 'secrets';
-- old keys go when nothing needs them
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secrets_key_drop(%L)', :'third')), 'VA006', 'the current key is not dropped');
SELECT va_secrets_key_drop(:'old') AS dropped \gset
SELECT ok(:'dropped'::boolean, 'an old one is'), is(va_key_ids() @> ARRAY[:'old'], false, 'and is gone'), is(pg_temp.opens(:'sealed', 'ctx'), 'VA007', 'with what it had sealed'), is(va_secret_read(:'mine', 'one'), 'first', 'the secrets are there');
SELECT bool_or(coalesce(va_secrets_key_drop(k), true)) AS dropped FROM (VALUES (:'old'), ('x'), (repeat('g', 16)), (''), (NULL)) v (k) \gset
SELECT ok(NOT :'dropped'::boolean, 'there are no such keys');
UPDATE tenant_secrets SET key_id = :'new' WHERE name = 'long';
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secrets_key_drop(%L)', :'new')), 'VA006', 'nor one that a secret names');
UPDATE tenant_secrets SET key_id = :'third' WHERE name = 'long';
BEGIN;
UPDATE tenant_secrets SET name = name;
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secrets_key_drop(%L)', :'new')), '25001', 'nor in a transaction that has changed something');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secrets_key_drop(%L)', :'new')), '25001', 'nor by one that sees the past');
ROLLBACK;
SELECT va_secrets_key_drop(:'new') AS dropped \gset
SELECT ok(:'dropped'::boolean, 'but then');
-- the file has room for sixteen
SELECT count(va_key_add()) FROM generate_series(1, 16 - cardinality(va_key_ids())) \g /dev/null
SELECT is(cardinality(va_key_ids()), 16, 'sixteen keys'), is(pg_temp.sqlstate_of('SELECT va_secrets_rekey()'), 'VA006', 'and no more'), is(va_secret_read(:'mine', 'one'), 'first', 'the secrets open all the same');
SELECT va_secrets_rekey(false) \g /dev/null
SELECT va_key_remove(k) FROM unnest((va_key_ids())[2:]) k \g /dev/null
SELECT is(cardinality(va_key_ids()), 1, 'one is left'), is(va_key_remove(va_key_id()), false, 'which cannot be taken'), is(va_secret_read(:'mine', 'one'), 'first', 'and opens them');
-- a secret of a key that is not here
UPDATE tenant_secrets SET ciphertext = overlay(ciphertext placing '\x0000000000000000' from 2 for 8), key_id = repeat('0', 16) WHERE name = 'one' AND tenant_id = :'theirs';
SELECT is(pg_temp.sqlstate_of(format('SELECT va_secret_read(%L, $$one$$)', :'theirs')), 'VA007', 'a secret of a key that is not here'), ok(NOT (SELECT ok FROM va_health() WHERE "check" = 'secrets'), 'is known to va_health()'), matches((SELECT hint FROM va_health() WHERE "check" = 'secrets'), 'va_secret_set', 'with a hint');

-- rights
SELECT is((SELECT array_agg(format('%s: %s', r, f)) FROM unnest(ARRAY['voiceagent_admin', 'voiceagent_agent', 'voiceagent_bi', 'voiceagent_gateway', 'voiceagent_dispatcher', 'public']) r,
	unnest(ARRAY['va_secrets_rekey(boolean)', 'va_secrets_key_drop(text)', 'va_key_add()', 'va_key_remove(text)', 'va_key_ids()', 'va_encrypt(text, text)', 'va_decrypt(bytea, text)']) f WHERE has_function_privilege(r, f, 'EXECUTE')), NULL, 'keys are the owner''s business');
SET ROLE voiceagent_admin;
SELECT is(pg_temp.sqlstate_of($$SELECT va_secret_set_from_file(NULL, 'x', '/etc/hostname')$$), '42501', 'a value comes from a file only for who may read the server''s files');
RESET ROLE;
\set file `mktemp && true`
\setenv FILE :file
\set gone `printf 'from a file\r\n' > "$FILE"; chmod 644 "$FILE"`
SELECT va_secret_set_from_file(NULL, 'filed', :'file') \g /dev/null
\set gone `rm "$FILE"`
SELECT is(va_secret_read(NULL, 'filed'), 'from a file', 'without the end of the line');
SELECT * FROM finish();
