/*
 * utf8.h: is this UTF-8? (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF)
 */
#ifndef VA_CORE_UTF8_H
#define VA_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes (1 to 4) of the character that starts at text, of which len bytes may be read; 0 when
 * there is no well-formed one. */
size_t utf8_sequence(const char *text, size_t len);

bool utf8_valid(const char *text, size_t len);

/* Length of text without the incomplete character that a cut may have left at its end. */
size_t utf8_cut(const char *text, size_t len);

#endif
