/*
 * http_parse.c: see http_parse.h. The head is taken apart in place, so parsing allocates nothing.
 */
#define _GNU_SOURCE 1 /* memmem */
#include "net/http_parse.h"

#include <string.h>
#include <strings.h>

#include "core/hex.h"

static bool
is_token_char(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

size_t
http_head_end(const char *data, size_t len)
{
	const char *end = memmem(data, len, "\r\n\r\n", 4);

	return end != NULL ? (size_t) (end - data) + 4 : 0;
}

/* Cuts the line at *at: ends it with NUL, moves *at behind CR LF, and returns its start. NULL for
 * a line with a stray CR, LF, NUL or control character. */
static char *
cut_line(char *data, size_t len, size_t *at)
{
	char *line = data + *at;
	char *end = memmem(line, len - *at, "\r\n", 2);

	if (end == NULL)
		return NULL;
	for (char *p = line; p < end; p++)
	{
		unsigned char c = (unsigned char) *p;

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return NULL;
	}
	*end = '\0';
	*at = (size_t) (end - data) + 2;
	return line;
}

static bool
parse_length(const char *value, uint64_t *length)
{
	uint64_t result = 0;

	if (*value == '\0' || strlen(value) > 18)
		return false;
	for (; *value != '\0'; value++)
	{
		if (*value < '0' || *value > '9')
			return false;
		result = result * 10 + (uint64_t) (*value - '0');
	}
	*length = result;
	return true;
}

bool
http_has_token(const char *value, const char *token)
{
	size_t len = strlen(token);

	while (*value != '\0')
	{
		size_t item;

		value += strspn(value, " \t,");
		item = strcspn(value, ",");
		while (item > 0 && (value[item - 1] == ' ' || value[item - 1] == '\t'))
			item--;
		if (item == len && strncasecmp(value, token, len) == 0)
			return true;
		value += strcspn(value, ",");
	}
	return false;
}

/* What the headers say about where the message ends. */
static int
note_header(struct http_head *head, const char *name, const char *value)
{
	uint64_t length;

	if (strcmp(name, "content-length") == 0)
	{
		if (!parse_length(value, &length) || (head->has_length && head->length != length))
			return 400;
		head->has_length = true;
		head->length = length;
	}
	else if (strcmp(name, "transfer-encoding") == 0)
	{
		if (head->chunked)
			return 400;
		if (strcasecmp(value, "chunked") != 0)
			return 501;
		head->chunked = true;
	}
	else if (strcmp(name, "connection") == 0)
	{
		if (http_has_token(value, "close"))
			head->keep_alive = false;
		else if (head->minor == 0 && http_has_token(value, "keep-alive"))
			head->keep_alive = true;
	}
	else if (strcmp(name, "expect") == 0)
		head->expect_100 = strcasecmp(value, "100-continue") == 0;
	return 0;
}

static int
parse_header(char *line, struct http_head *head)
{
	char *colon = strchr(line, ':');
	char *value;
	size_t len;

	/* A line that starts with a space continues the one before: refused with the rest. */
	if (colon == NULL || colon == line)
		return 400;
	for (char *p = line; p < colon; p++)
	{
		if (!is_token_char((unsigned char) *p))
			return 400;
		if (*p >= 'A' && *p <= 'Z')
			*p = (char) (*p - 'A' + 'a');
	}
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	len = strlen(value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';
	if (head->header_count == HTTP_MAX_HEADERS)
		return 431;
	head->headers[head->header_count].name = line;
	head->headers[head->header_count].value = value;
	head->header_count++;
	return note_header(head, line, value);
}

static int
parse_headers(char *data, size_t len, size_t at, struct http_head *head)
{
	for (;;)
	{
		char *line = cut_line(data, len, &at);
		int status;

		if (line == NULL)
			return 400;
		if (*line == '\0')
			break;
		if ((status = parse_header(line, head)) != 0)
			return status;
	}
	/* Two lengths: the classic way to smuggle a request past a proxy. */
	return head->chunked && head->has_length ? 400 : 0;
}

static int
parse_version(const char *text, struct http_head *head)
{
	if (strncmp(text, "HTTP/", 5) != 0 || strlen(text) != 8)
		return 400;
	if (strcmp(text, "HTTP/1.1") == 0)
		head->minor = 1;
	else if (strcmp(text, "HTTP/1.0") != 0)
		return 505;
	head->keep_alive = head->minor == 1;
	return 0;
}

int
http_parse_request(char *data, size_t len, struct http_head *head)
{
	size_t at = 0;
	char *line = cut_line(data, len, &at);
	char *target, *version;
	int status;

	memset(head, 0, sizeof(*head));
	if (line == NULL || (target = strchr(line, ' ')) == NULL)
		return 400;
	*target++ = '\0';
	if ((version = strchr(target, ' ')) == NULL || *line == '\0' || version == target)
		return 400;
	*version++ = '\0';
	for (const char *p = line; *p != '\0'; p++)
	{
		if (!is_token_char((unsigned char) *p))
			return 400;
	}
	for (const char *p = target; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= 0x20)
			return 400;
	}
	if ((status = parse_version(version, head)) != 0)
		return status;
	head->method = line;
	head->target = target;
	return parse_headers(data, len, at, head);
}

int
http_parse_response(char *data, size_t len, struct http_head *head)
{
	size_t at = 0;
	char *line = cut_line(data, len, &at);
	char *rest;
	int status;

	memset(head, 0, sizeof(*head));
	if (line == NULL || (rest = strchr(line, ' ')) == NULL)
		return 400;
	*rest++ = '\0';
	if ((status = parse_version(line, head)) != 0)
		return status;
	for (int i = 0; i < 3; i++)
	{
		if (rest[i] < '0' || rest[i] > '9')
			return 400;
		head->status = head->status * 10 + rest[i] - '0';
	}
	if (rest[3] != '\0' && rest[3] != ' ')
		return 400;
	return parse_headers(data, len, at, head);
}

const char *
http_head_get(const struct http_head *head, const char *name)
{
	for (unsigned i = 0; i < head->header_count; i++)
	{
		if (strcmp(head->headers[i].name, name) == 0)
			return head->headers[i].value;
	}
	return "";
}

enum chunk_state
{
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER, /* at the start of a line behind the last chunk */
	CHUNK_TRAILER_LINE,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF
};

#define CHUNK_LINE_MAX 1024

/* One byte of the size line: hexadecimal digits, then CR or an extension. */
static bool
chunk_size_byte(struct http_chunks *chunks, char c)
{
	int digit = hex_digit(c);

	if (digit >= 0)
	{
		if (chunks->left > (UINT64_MAX >> 8))
			return false;
		chunks->left = chunks->left << 4 | (uint64_t) digit;
		chunks->digits = true;
		return true;
	}
	if (!chunks->digits)
		return false;
	if (c == '\r')
		chunks->state = CHUNK_SIZE_LF;
	else if (c == ';' || c == ' ' || c == '\t')
		chunks->state = CHUNK_EXTENSION;
	else
		return false;
	return true;
}

/* One byte that is not of the body. False when it cannot stand there. */
static bool
chunk_byte(struct http_chunks *chunks, char c)
{
	if (++chunks->line > CHUNK_LINE_MAX)
		return false;
	switch ((enum chunk_state) chunks->state)
	{
		case CHUNK_SIZE: return chunk_size_byte(chunks, c);
		case CHUNK_EXTENSION:
			if (c == '\r')
				chunks->state = CHUNK_SIZE_LF;
			return c != '\n';
		case CHUNK_SIZE_LF:
			chunks->state = chunks->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
			chunks->line = 0;
			return c == '\n';
		case CHUNK_DATA_CR: chunks->state = CHUNK_DATA_LF; return c == '\r';
		case CHUNK_DATA_LF:
			chunks->state = CHUNK_SIZE;
			chunks->line = 0;
			chunks->digits = false;
			return c == '\n';
		case CHUNK_TRAILER:
			chunks->state = c == '\r' ? CHUNK_END_LF : CHUNK_TRAILER_LINE;
			return c != '\n';
		case CHUNK_TRAILER_LINE:
			if (c == '\r')
				chunks->state = CHUNK_TRAILER_LF;
			return c != '\n';
		case CHUNK_TRAILER_LF: chunks->state = CHUNK_TRAILER; return c == '\n';
		case CHUNK_END_LF: return c == '\n';
		case CHUNK_DATA: break;
	}
	return false;
}

enum http_chunks_result
http_chunks_read(struct http_chunks *chunks, const char *data, size_t len, size_t *used, char *out,
				 size_t *out_len)
{
	size_t at = 0;

	*out_len = 0;
	while (at < len)
	{
		bool last = chunks->state == CHUNK_END_LF;

		if (chunks->state == CHUNK_DATA)
		{
			size_t n = len - at < chunks->left ? len - at : (size_t) chunks->left;

			memmove(out + *out_len, data + at, n);
			*out_len += n;
			at += n;
			chunks->left -= n;
			if (chunks->left == 0)
			{
				chunks->state = CHUNK_DATA_CR;
				chunks->line = 0;
			}
			continue;
		}
		if (!chunk_byte(chunks, data[at++]))
			return HTTP_CHUNKS_BAD;
		if (last)
		{
			*used = at;
			return HTTP_CHUNKS_END;
		}
	}
	*used = at;
	return HTTP_CHUNKS_MORE;
}

const char *
http_status_phrase(int status)
{
	switch (status)
	{
		case 200: return "OK";
		case 201: return "Created";
		case 202: return "Accepted";
		case 204: return "No Content";
		case 206: return "Partial Content";
		case 304: return "Not Modified";
		case 307: return "Temporary Redirect";
		case 400: return "Bad Request";
		case 401: return "Unauthorized";
		case 403: return "Forbidden";
		case 404: return "Not Found";
		case 405: return "Method Not Allowed";
		case 408: return "Request Timeout";
		case 409: return "Conflict";
		case 413: return "Content Too Large";
		case 415: return "Unsupported Media Type";
		case 416: return "Range Not Satisfiable";
		case 417: return "Expectation Failed";
		case 422: return "Unprocessable Content";
		case 426: return "Upgrade Required";
		case 429: return "Too Many Requests";
		case 431: return "Request Header Fields Too Large";
		case 500: return "Internal Server Error";
		case 501: return "Not Implemented";
		case 502: return "Bad Gateway";
		case 503: return "Service Unavailable";
		case 504: return "Gateway Timeout";
		case 505: return "HTTP Version Not Supported";
		default: return "Status";
	}
}
