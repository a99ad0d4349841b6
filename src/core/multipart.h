/*
 * multipart.h: multipart/form-data (RFC 7578), read whole from memory.
 *
 * SendGrid's Inbound Parse posts a mail in this form. The parts lie within the body and are not
 * copied; their bytes are whatever was sent, in whatever charset another part tells.
 */
#ifndef VA_CORE_MULTIPART_H
#define VA_CORE_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

#define MULTIPART_MAX_PARTS 128
#define MULTIPART_BOUNDARY_SIZE 72 /* RFC 2046: at most 70 characters */

struct multipart_part
{
	char name[64];
	char filename[256]; /* as sent, not to be trusted; "" when the part is no file */
	char type[128]; /* Content-Type without parameters, "" when absent */
	const char *data;
	size_t len;
};

struct multipart
{
	struct multipart_part parts[MULTIPART_MAX_PARTS];
	size_t count;
};

/* The boundary of a Content-Type "multipart/form-data; boundary=…", quoted or not. */
bool multipart_boundary(const char *content_type, char boundary[MULTIPART_BOUNDARY_SIZE]);

/* Finds the parts. False, with the reason, when a part has no name, a header is too long, there
 * are too many parts, or the end is missing. */
bool multipart_read(const char *boundary, const char *body, size_t len, struct multipart *out,
					struct va_error *err);

/* The first part of that name that is no file, or NULL. */
const struct multipart_part *multipart_find(const struct multipart *m, const char *name);

#endif
