/*
 * phone.h: telephone numbers in E.164 (ITU-T): a plus sign and 7 to 15 digits, no leading zero.
 */
#ifndef VA_CORE_PHONE_H
#define VA_CORE_PHONE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

#define PHONE_SIZE 17 /* '+', 15 digits, NUL */

/*
 * Normalises what people and Twilio write: spaces, dots, dashes, slashes and parentheses are
 * dropped, a leading 00 becomes +, "whatsapp:" and "tel:" prefixes go. A national number is not
 * guessed at: without + or 00 it is refused. "anonymous", client: and sip: addresses are refused.
 */
bool phone_normalize(const char *text, char out[PHONE_SIZE], struct va_error *err);

#endif
