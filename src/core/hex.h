/*
 * hex.h: hexadecimal digits, as escapes of forms and sizes of chunks have them.
 */
#ifndef VA_CORE_HEX_H
#define VA_CORE_HEX_H

/* The value of a digit of either case, 0 to 15; -1 for any other byte. Knows no locale. */
static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif
