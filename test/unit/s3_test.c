/*
 * s3_test.c: addresses in both styles, and errors as they come and as they should not.
 */
#include "core/s3.h"

#include <string.h>

#include "tap.h"

static void
test_addresses(void)
{
	static const struct
	{
		const char *endpoint, *bucket, *key;
		bool path_style;
		const char *url, *host, *path;
	} cases[] = {
		{"https://s3.example.com", "b", "a/c d.wav", true, "https://s3.example.com/b/a/c%20d.wav",
		 "s3.example.com", "/b/a/c%20d.wav"},
		{"https://s3.example.com/", "b", "k", false, "https://b.s3.example.com/k",
		 "b.s3.example.com", "/k"},
		{"http://127.0.0.1:9000", "b", "k", true, "http://127.0.0.1:9000/b/k", "127.0.0.1:9000",
		 "/b/k"},
		{"https://h:443", "b", "k", true, "https://h/b/k", "h", "/b/k"},
		{"http://h:80", "b", "k", true, "http://h/b/k", "h", "/b/k"},
		{"http://h:443", "b", "k", true, "http://h:443/b/k", "h:443", "/b/k"},
	};
	static const struct
	{
		const char *endpoint, *bucket, *key;
	} refused[] = {
		{"s3.example.com", "b", "k"}, {"ftp://h", "b", "k"},	 {"https://", "b", "k"},
		{"https://h/x", "b", "k"},	  {"https://h?x", "b", "k"}, {"https://u@h", "b", "k"},
		{"https://h", "", "k"},		  {"https://h", "b/c", "k"}, {"https://h", "b", ""}};
	static char longest[S3_PATH_SIZE + 1];
	struct s3_address a;
	struct va_error err = {""};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ok(s3_address(&a, cases[i].endpoint, cases[i].bucket, cases[i].path_style, cases[i].key,
					  &err),
		   "%s: %s", cases[i].endpoint, err.text);
		is_str(a.url, cases[i].url, "url");
		is_str(a.host, cases[i].host, "host");
		is_str(a.path, cases[i].path, "path");
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ok(!s3_address(&a, refused[i].endpoint, refused[i].bucket, true, refused[i].key, &err),
		   "refused: %s, %s, %s", refused[i].endpoint, refused[i].bucket, refused[i].key);
	memset(longest, 'a', sizeof(longest) - 1);
	ok(!s3_address(&a, "https://h", "b", true, longest, &err), "too long a key: %s", err.text);
	ok(!s3_address(&a, "https://h", longest, false, "k", &err), "too long a bucket: %s", err.text);
}

static void
test_errors(void)
{
	static const char xml[] = "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code>"
							  "<Message>The specified bucket\ndoes not exist</Message></Error>";
	static const char *const garbage[] = {
		"", "<Code>", "<Code>x</Cod", "</Code><Code>", "\xff\xfe", "<Code>\xff</Code>"};
	struct s3_error e;

	s3_read_error(&e, xml, sizeof(xml) - 1);
	is_str(e.code, "NoSuchBucket", "the code");
	is_str(e.message, "The specified bucket does not exist", "the message, on one line");
	ok(s3_hint(e.code) != NULL, "and what to do: %s", s3_hint(e.code));
	ok(s3_hint("InternalError") == NULL, "nothing about an error of the service's own");
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
	{
		char *exact = tap_exact(garbage[i], strlen(garbage[i]));

		s3_read_error(&e, exact, strlen(garbage[i]));
		is_str(e.code, "", "no code in garbage %zu", i);
		free(exact);
	}
}

int
main(void)
{
	plan(0);
	test_addresses();
	test_errors();
	return done();
}
