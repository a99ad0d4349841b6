/*
 * download.h: the two pieces of a download's head that take thought: which bytes a Range header asks
 * for, and how a name of any characters becomes a Content-Disposition.
 */
#ifndef VA_CORE_DOWNLOAD_H
#define VA_CORE_DOWNLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

enum download_range
{
	DOWNLOAD_WHOLE, /* 200: no Range, one that is not understood, or several */
	DOWNLOAD_PART, /* 206 */
	DOWNLOAD_BEYOND /* 416: understood, and there are no such bytes */
};

/* range: the header's value, "" when absent; size: of the file in bytes. On DOWNLOAD_PART *from and *count
 * (at least 1) lie within the file; on DOWNLOAD_WHOLE they are all of it. RFC 9110, section 14: a server may
 * ignore a Range, and does so here with all but one range of bytes. */
enum download_range download_range(const char *range, uint64_t size, uint64_t *from,
								   uint64_t *count);

/* Writes `attachment; filename="…"; filename*=UTF-8''…` (RFC 6266, RFC 8187). name: UTF-8; whatever stands in
 * it, nothing in the value ends the header or the quotes. */
void download_disposition(struct buf *out, const char *name);

#endif
