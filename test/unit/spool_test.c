/*
 * spool_test.c: files that are written beside their place: whole or not at all, what others left, paths that
 * lead elsewhere.
 */
#include "dispatcher/spool.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static char folder[] = "/tmp/spool.XXXXXX";

static bool
there(const char *name)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return stat(path, &st) == 0;
}

static void
leave(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
}

static void
test_kept(void)
{
	struct va_error err = {""};
	struct spool *s = spool_open(folder, "t/m/a.wav", true, &err), *other;
	char data[16];

	ok(s != NULL && there("t/m/a.wav.part") && !there("t/m/a.wav"), "written beside its place");
	other = spool_open(folder, "t/m/a.wav", true, &err);
	ok(other == NULL && strstr(err.text, "another attempt") != NULL, "by one at a time: %s",
	   err.text);
	ok(spool_write(s, "hel", 3) && spool_write(s, "", 0) && spool_write(s, "lo", 2), "in pieces");
	ok(spool_complete(s) && spool_bytes(s) == 5, "five bytes");
	is_str(spool_hash(s), HELLO, "of this hash");
	ok(spool_read(s, data, sizeof(data)) == 5 && memcmp(data, "hello", 5) == 0 &&
		   spool_read(s, data, sizeof(data)) == 0,
	   "can be read");
	ok(spool_keep(s), "kept: %s", spool_error(s));
	spool_free(s);
	ok(there("t/m/a.wav") && !there("t/m/a.wav.part"), "in its place");

	leave("t/m/b.wav.part", "what a killed attempt left, which is longer");
	s = spool_open(folder, "t/m/b.wav", true, &err);
	ok(s != NULL && spool_write(s, "hello", 5) && spool_complete(s) && spool_keep(s),
	   "after another");
	is_str(spool_hash(s), HELLO, "nothing of it is left");
	spool_free(s);
	s = spool_open(folder, "t/m/b.wav", true, &err);
	ok(s != NULL && spool_write(s, "he", 2), "again, and given up");
	spool_free(s);
	ok(there("t/m/b.wav") && !there("t/m/b.wav.part"), "leaves what was there");

	leave("t/m/a.wav.part", "x");
	ok(spool_remove(folder, "t/m/a.wav", &err) && !there("t/m/a.wav") && !there("t/m/a.wav.part"),
	   "removed, with what is beside it");
	ok(spool_remove(folder, "t/m/a.wav", &err), "twice is no error");
	ok(spool_remove(folder, "t/m/b.wav", &err), "the other one");
}

static void
test_passed_on(void)
{
	struct va_error err = {""};
	struct spool *s = spool_open("", "", false, &err);

	ok(s != NULL && spool_write(s, "hello", 5) && spool_complete(s), "without a place");
	is_str(spool_hash(s), HELLO, "of this hash");
	spool_free(s);
	spool_free(NULL);
}

static void
test_refused(void)
{
	static const char *const paths[] = {"",	   "/etc/x", "../x",  "a/../x", "a/..",
										"./x", "a//x",	 "a/./x", "a/",		"."};
	struct va_error err;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		err.text[0] = '\0';
		ok(spool_open(folder, paths[i], true, &err) == NULL && err.text[0] != '\0',
		   "not written: \"%s\"", paths[i]);
		ok(!spool_remove(folder, paths[i], &err), "nor removed");
	}
	ok(spool_open("relative", "a", true, &err) == NULL, "nor in a folder that is not absolute");
	ok(spool_open("/proc/no/such", "a", true, &err) == NULL, "nor where no folder can be: %s",
	   err.text);
	leave("file", "x");
	ok(spool_open(folder, "file/a", true, &err) == NULL, "nor below a file: %s", err.text);
}

int
main(void)
{
	char command[64];

	plan(0);
	if (mkdtemp(folder) == NULL)
		return 1;
	test_kept();
	test_passed_on();
	test_refused();
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ok(system(command) == 0, "cleaned up");
	return done();
}
