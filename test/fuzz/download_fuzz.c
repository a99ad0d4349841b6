/* download: a range lies within the file; a name never leaves its quotes or its line, and reads back. */
#include "core/download.h"

#include "fuzz.h"

static void
check_range(const char *text, uint64_t size)
{
	uint64_t from, count;

	switch (download_range(text, size, &from, &count))
	{
		case DOWNLOAD_PART: must(count >= 1 && from < size && count <= size - from); break;
		case DOWNLOAD_WHOLE: must(from == 0 && count == size); break;
		case DOWNLOAD_BEYOND: break;
	}
}

static int
digit(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

static void
check_name(const char *name)
{
	static const char begin[] = "attachment; filename=\"", middle[] = "\"; filename*=UTF-8''";
	size_t size = sizeof(begin) + sizeof(middle) + strlen(name) * 4 + 1;
	char *out = malloc(size);
	const char *at, *original = name;
	struct buf b;

	must(out != NULL);
	buf_init(&b, out, size);
	download_disposition(&b, name);
	must(!b.overflow && strncmp(out, begin, sizeof(begin) - 1) == 0);
	at = strchr(out + sizeof(begin) - 1, '"');
	must(at != NULL && strncmp(at, middle, sizeof(middle) - 1) == 0);
	for (at += sizeof(middle) - 1; *at != '\0'; at++, original++)
	{
		must(*at > ' ' && *at < 0x7f && *at != '"' && *at != ';');
		if (*at == '%')
		{
			must((unsigned char) *original == digit(at[1]) * 16 + digit(at[2]));
			at += 2;
		}
		else
			must(*at == *original);
	}
	must(*original == '\0' && strpbrk(out, "\r\n") == NULL);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);

	check_range(text, 0);
	check_range(text, 10);
	check_range(text, size);
	check_range(text, UINT64_MAX);
	check_name(text);
	free(text);
	return 0;
}
