/* s3: what is read of an error is text that fits; an address holds its bucket and nothing that breaks a line. */
#include "core/s3.h"

#include "core/utf8.h"
#include "fuzz.h"

static void
check_text(const char *text, size_t size)
{
	must(strlen(text) < size && utf8_valid(text, strlen(text)));
	for (; *text != '\0'; text++)
		must((unsigned char) *text >= 0x20);
}

static void
check_address(const char *endpoint, const char *key, bool path_style)
{
	struct va_error err = {""};
	struct s3_address a;

	if (!s3_address(&a, endpoint, "bucket", path_style, key, &err))
	{
		must(err.text[0] != '\0');
		return;
	}
	must(strstr(a.url, a.host) != NULL && strstr(a.url, a.path) != NULL && a.path[0] == '/');
	must(path_style ? strncmp(a.path, "/bucket/", 8) == 0 : strncmp(a.host, "bucket.", 7) == 0);
	for (const char *c = a.path; *c != '\0'; c++)
		must(*c > ' ' && *c < 0x7f && *c != '?' && *c != '#');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *exact = malloc(size > 0 ? size : 1);
	char *text = fuzz_text(data, size);
	char *key = strchr(text, '\n');
	struct s3_error error;

	must(exact != NULL);
	memcpy(exact, data, size);
	s3_read_error(&error, exact, size);
	check_text(error.code, sizeof(error.code));
	check_text(error.message, sizeof(error.message));
	s3_hint(error.code);
	if (key != NULL)
	{
		*key++ = '\0';
		check_address(text, key, true);
		check_address(text, key, false);
	}
	check_address("https://s3.example.com", text, true);
	free(exact);
	free(text);
	return 0;
}
