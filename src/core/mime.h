/*
 * mime.h: an e-mail in the format of RFC 5322 and MIME, as SMTP carries it.
 *
 * The structure: text and HTML as alternatives, an invitation as a third of them (RFC 6047),
 * around them the attachments. The result is 7-bit, with CRLF line ends and no line longer than 998
 * octets; only SMTP's doubling of leading dots is left to whoever sends it.
 */
#ifndef VA_CORE_MIME_H
#define VA_CORE_MIME_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/error.h"
#include "core/mail.h"

/* Bytes that surely hold the printed mail and its NUL. */
size_t mime_size(const struct mail *mail);

/* Prints the mail. False with *err when it has no text and no HTML, or does not fit. */
bool mime_print(struct buf *out, const struct mail *mail, struct va_error *err);

#endif
