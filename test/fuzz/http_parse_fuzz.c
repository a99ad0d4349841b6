/* http_parse: what a head yields lies within it; a chunked body decodes the same in any pieces. */
#include "net/http_parse.h"

#include "fuzz.h"

static void
within(const char *text, const char *data, size_t len)
{
	must(text >= data && text + strlen(text) <= data + len);
}

static void
check_head(const char *text, size_t len, bool request)
{
	struct http_head head;
	char *copy = malloc(len);
	int status;

	memcpy(copy, text, len);
	status = request ? http_parse_request(copy, len, &head) : http_parse_response(copy, len, &head);
	if (status != 0)
		must(status >= 400 && status < 600);
	else
	{
		must(head.header_count <= HTTP_MAX_HEADERS);
		/* Two ways to tell where a body ends would let two parties disagree about it. */
		must(!(head.chunked && head.has_length));
		if (request)
		{
			within(head.method, copy, len);
			within(head.target, copy, len);
			must(strpbrk(head.target, " \r\n") == NULL);
		}
		for (unsigned i = 0; i < head.header_count; i++)
		{
			within(head.headers[i].name, copy, len);
			within(head.headers[i].value, copy, len);
			must(strpbrk(head.headers[i].name, ": \t\r\n") == NULL);
		}
		(void) http_has_token(http_head_get(&head, "connection"), "upgrade");
	}
	free(copy);
}

/* Feeds the body in pieces of `step` bytes. Returns the decoded length, -1 for a broken body. */
static long
decode(const char *text, size_t len, size_t step, char *out)
{
	struct http_chunks chunks = {0};
	size_t total = 0;

	for (size_t at = 0; at < len;)
	{
		size_t piece = len - at < step ? len - at : step;
		size_t used = 0;
		size_t got = 0;
		enum http_chunks_result result =
			http_chunks_read(&chunks, text + at, piece, &used, out + total, &got);

		if (result == HTTP_CHUNKS_BAD)
			return -1;
		must(used <= piece && got <= used);
		total += got;
		if (result == HTTP_CHUNKS_END)
			break;
		must(used == piece);
		at += used;
	}
	return (long) total;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	size_t end = http_head_end(text, size);
	char *whole = malloc(size + 1);
	char *pieces = malloc(size + 1);
	long len;

	must(end <= size);
	if (end > 0)
	{
		check_head(text, end, true);
		check_head(text, end, false);
	}
	len = decode(text, size, size > 0 ? size : 1, whole);
	must(decode(text, size, 1, pieces) == len);
	must(len <= 0 || memcmp(whole, pieces, (size_t) len) == 0);
	free(whole);
	free(pieces);
	free(text);
	return 0;
}
