/*
 * multipart.c: see multipart.h.
 *
 * Stricter than a browser's server would be where two readers could disagree about where a part
 * ends, and lenient about what harms nobody: a preamble, headers that are not known, blanks behind
 * a boundary.
 */
#include "core/multipart.h"

#include <string.h>
#include <strings.h>

#define HEADER_LINE_MAX 2048

/* A piece of the body. */
struct span
{
	const char *at;
	const char *end;
};

static size_t
left(const struct span *s)
{
	return (size_t) (s->end - s->at);
}

bool
multipart_boundary(const char *content_type, char boundary[MULTIPART_BOUNDARY_SIZE])
{
	static const char type[] = "multipart/form-data";
	const char *at = content_type;
	size_t len;

	if (strncasecmp(at, type, sizeof(type) - 1) != 0)
		return false;
	at += sizeof(type) - 1;
	for (;;)
	{
		at += strspn(at, " \t");
		if (*at != ';')
			return false;
		at++;
		at += strspn(at, " \t");
		if (strncasecmp(at, "boundary=", 9) == 0)
			break;
		at += strcspn(at, ";");
	}
	at += 9;
	if (*at == '"')
	{
		at++;
		len = strcspn(at, "\"");
		if (at[len] != '"')
			return false;
	}
	else
		len = strcspn(at, "; \t");
	if (len == 0 || len > 70)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (at[i] < 0x20 || at[i] > 0x7E)
			return false;
	}
	memcpy(boundary, at, len);
	boundary[len] = '\0';
	return boundary[len - 1] != ' ';
}

/* Takes the value of a parameter: name="value" with \" and \\ escaped, or a token. False when it
 * does not fit or is not closed. */
static bool
take_value(struct span *s, char *out, size_t size)
{
	size_t len = 0;
	bool quoted = s->at < s->end && *s->at == '"';

	if (quoted)
		s->at++;
	while (s->at < s->end && (quoted ? *s->at != '"' : *s->at != ';' && *s->at != ' '))
	{
		/* Only these two are escapes; browsers send a backslash of a path as it is. */
		if (quoted && *s->at == '\\' && left(s) > 1 && (s->at[1] == '"' || s->at[1] == '\\'))
			s->at++;
		if (len + 1 >= size || *s->at == '\0')
			return false;
		out[len++] = *s->at++;
	}
	out[len] = '\0';
	if (quoted)
	{
		if (s->at == s->end)
			return false;
		s->at++;
	}
	return true;
}

/* form-data; name="…"; filename="…" */
static bool
read_disposition(struct span value, struct multipart_part *part)
{
	while (value.at < value.end)
	{
		const char *name = value.at;
		size_t name_len;
		char ignored[HEADER_LINE_MAX] = "";

		while (value.at < value.end && *value.at != '=' && *value.at != ';')
			value.at++;
		name_len = (size_t) (value.at - name);
		if (value.at < value.end && *value.at == '=')
		{
			bool is_name = name_len == 4 && strncasecmp(name, "name", 4) == 0;
			bool is_file = name_len == 8 && strncasecmp(name, "filename", 8) == 0;

			value.at++;
			if (!take_value(&value,
							is_name	  ? part->name
							: is_file ? part->filename
									  : ignored,
							is_name	  ? sizeof(part->name)
							: is_file ? sizeof(part->filename)
									  : sizeof(ignored)))
				return false;
		}
		while (value.at < value.end && (*value.at == ';' || *value.at == ' ' || *value.at == '\t'))
			value.at++;
	}
	return true;
}

static void
read_type(struct span value, struct multipart_part *part)
{
	size_t len = 0;

	while (len < left(&value) && len + 1 < sizeof(part->type) && value.at[len] != ';' &&
		   value.at[len] > 0x20 && value.at[len] < 0x7F)
		len++;
	memcpy(part->type, value.at, len);
	part->type[len] = '\0';
}

static bool
header_is(const struct span *line, const char *name)
{
	size_t len = strlen(name);

	return left(line) > len && strncasecmp(line->at, name, len) == 0 && line->at[len] == ':';
}

static struct span
header_value(const struct span *line, const char *name)
{
	struct span value = {line->at + strlen(name) + 1, line->end};

	while (value.at < value.end && (*value.at == ' ' || *value.at == '\t'))
		value.at++;
	return value;
}

/* The headers of a part, up to and with the empty line. */
static bool
read_headers(struct span *s, struct multipart_part *part, struct va_error *err)
{
	memset(part, 0, sizeof(*part));
	for (;;)
	{
		const char *end = memmem(s->at, left(s), "\r\n", 2);
		struct span line;

		if (end == NULL || end - s->at > HEADER_LINE_MAX)
			return va_fail(err, "a part's header does not end");
		line = (struct span){s->at, end};
		s->at = end + 2;
		if (line.at == line.end)
			break;
		if (header_is(&line, "content-disposition") &&
			!read_disposition(header_value(&line, "content-disposition"), part))
			return va_fail(err, "a part's disposition is malformed");
		if (header_is(&line, "content-type"))
			read_type(header_value(&line, "content-type"), part);
	}
	return part->name[0] != '\0' || va_fail(err, "a part without a name");
}

/* Goes to the next delimiter, CRLF -- boundary, and behind its line. *last: it closes the body. */
static bool
next_delimiter(struct span *s, const char *delimiter, const char **data_end, bool *last)
{
	size_t len = strlen(delimiter);

	for (;;)
	{
		const char *found = memmem(s->at, left(s), delimiter, len);
		const char *after;

		if (found == NULL)
			return false;
		*data_end = found;
		after = found + len;
		*last = s->end - after >= 2 && memcmp(after, "--", 2) == 0;
		if (*last)
			return true;
		while (after < s->end && (*after == ' ' || *after == '\t'))
			after++;
		if (s->end - after >= 2 && memcmp(after, "\r\n", 2) == 0)
		{
			s->at = after + 2;
			return true;
		}
		/* A longer text that begins like the delimiter. */
		s->at = found + 1;
	}
}

bool
multipart_read(const char *boundary, const char *body, size_t len, struct multipart *out,
			   struct va_error *err)
{
	char delimiter[MULTIPART_BOUNDARY_SIZE + 4] = "\r\n--";
	struct span s = {body, body + len};
	const char *data_end;
	bool last = false;

	out->count = 0;
	if (strlen(boundary) >= MULTIPART_BOUNDARY_SIZE)
		return va_fail(err, "the boundary is too long");
	memcpy(delimiter + 4, boundary, strlen(boundary) + 1);
	/* The first delimiter may stand at the very beginning, without the line end before it. */
	if (len >= strlen(delimiter) - 2 && memcmp(body, delimiter + 2, strlen(delimiter) - 2) == 0)
	{
		struct span first = {body, body + len};

		if (!next_delimiter(&first, delimiter + 2, &data_end, &last) || data_end != body)
			return va_fail(err, "the first boundary is malformed");
		s.at = first.at;
	}
	else if (!next_delimiter(&s, delimiter, &data_end, &last))
		return va_fail(err, "there is no boundary");
	while (!last)
	{
		struct multipart_part *part = &out->parts[out->count];

		if (out->count == MULTIPART_MAX_PARTS)
			return va_fail(err, "more than %d parts", MULTIPART_MAX_PARTS);
		if (!read_headers(&s, part, err))
			return false;
		part->data = s.at;
		/* An empty part ends with the line end that its headers ended with. */
		s.at -= 2;
		if (!next_delimiter(&s, delimiter, &data_end, &last))
			return va_fail(err, "the last boundary is missing");
		part->len = data_end > part->data ? (size_t) (data_end - part->data) : 0;
		out->count++;
	}
	return true;
}

const struct multipart_part *
multipart_find(const struct multipart *m, const char *name)
{
	for (size_t i = 0; i < m->count; i++)
	{
		if (m->parts[i].filename[0] == '\0' && strcmp(m->parts[i].name, name) == 0)
			return &m->parts[i];
	}
	return NULL;
}
