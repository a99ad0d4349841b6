/*
 * inbound_mail.h: a mail that came in, as the database takes it.
 *
 * Made of the fields that SendGrid's Inbound Parse posts (docs "Inbound Parse webhook").
 */
#ifndef VA_CORE_INBOUND_MAIL_H
#define VA_CORE_INBOUND_MAIL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/multipart.h"

#define INBOUND_TEXT_MAX (64 * 1024) /* bytes of UTF-8 that are kept of a body */

/* An object {"from", "from_name", "to" (array: the envelope's), "subject", "text" (without what it
 * quotes), "full_text" (when that is more), "message_id", "in_reply_to", "references" (array),
 * "auto" (written by a machine), "attachments" ({"filename", "type", "size"}), "invitation" (of an
 * answer to one: {"uid", "partstat", "sequence"}), "spf", "dkim", "spam_score", "sender_ip",
 * "raw"}, each there when it is known; to be released. NULL when there is no memory. */
struct json_object *inbound_mail(const struct multipart *form);

/* Length of the part of a mail's text that its sender wrote: what is quoted below it is left out.
 * The whole length when nothing else would remain. */
size_t inbound_own_text(const char *text);

/* The address in "Ann <ann@example.test>" or "ann@example.test", in lower case; false when there is
 * none that mail_address_good would take. */
bool inbound_address(const char *text, char *out, size_t size);

#endif
