/*
 * charset.h: text in whatever charset a sender chose, as UTF-8.
 */
#ifndef VA_CORE_CHARSET_H
#define VA_CORE_CHARSET_H

#include <stddef.h>

/* Converts at most max_out bytes' worth of UTF-8 into new memory, NUL-terminated, to be freed; NULL
 * only when there is no memory. What is not valid in the charset, and NUL, becomes U+FFFD; an
 * unknown charset is read as ISO 8859-1, in which every byte means something. The result may be cut
 * at max_out, between characters. */
char *charset_to_utf8(const char *charset, const char *data, size_t len, size_t max_out);

#endif
