/*
 * json_scan.h: reads the plain kind of JSON that machines write, without allocation.
 *
 * For the few messages that come 50 times a second and call. "Plain" means printable ASCII strings
 * without escapes and non-negative integers; whatever is not plain makes these functions give up,
 * and the caller turns to json_parse. So they need not be complete, only never wrong: a text they
 * read to the end is valid JSON and means what json_parse says it means.
 */
#ifndef VA_CORE_JSON_SCAN_H
#define VA_CORE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct json_scan
{
	const char *at;
	const char *end;
};

/* A string or an integer: the characters in the text, without quotes. */
struct json_scan_value
{
	const char *text;
	size_t len;
	bool is_number;
};

/* Repeats one byte eight times. */
#define JSON_SCAN_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The first character from `at` on that is a quote, a backslash, a control character or not ASCII;
 * `end` when there is none. */
static inline const char *
json_scan_plain(const char *at, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	/* Eight characters a step. A borrow can only pass from a byte that is itself marked, so the
	 * lowest mark, which is the first character, is always a true one. */
	while (end - at >= 8)
	{
		uint64_t word;

		memcpy(&word, at, 8);

		uint64_t quote = word ^ JSON_SCAN_EACH('"');
		uint64_t backslash = word ^ JSON_SCAN_EACH('\\');
		uint64_t marks = ((word - JSON_SCAN_EACH(0x20)) | (quote - JSON_SCAN_EACH(1)) |
						  (backslash - JSON_SCAN_EACH(1)) | word) &
						 JSON_SCAN_EACH(0x80);

		if (marks != 0)
			return at + __builtin_ctzll(marks) / 8;
		at += 8;
	}
#endif
	while (at < end && (unsigned char) *at >= 0x20 && (unsigned char) *at < 0x80 && *at != '"' &&
		   *at != '\\')
		at++;
	return at;
}

static inline void
json_scan_space(struct json_scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
		s->at++;
}

/* Skips space and then this character. */
static inline bool
json_scan_char(struct json_scan *s, char c)
{
	json_scan_space(s);
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* A string or non-negative integer of at most 18 digits (so that it fits in 64 bits). */
static inline bool
json_scan_scalar(struct json_scan *s, struct json_scan_value *value)
{
	value->is_number = !json_scan_char(s, '"');
	value->text = s->at;
	if (!value->is_number)
	{
		s->at = json_scan_plain(s->at, s->end);
		value->len = (size_t) (s->at - value->text);
		return s->at < s->end && *s->at++ == '"';
	}
	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	value->len = (size_t) (s->at - value->text);
	/* What follows is for the caller: it demands a comma or a brace, so a fraction or an exponent
	 * makes it give up. */
	return value->len > 0 && value->len <= 18 && (value->len == 1 || value->text[0] != '0');
}

enum json_scan_step
{
	JSON_SCAN_GIVE_UP,
	JSON_SCAN_MEMBER, /* a name was read, and its colon */
	JSON_SCAN_CLOSED /* the closing brace was read */
};

/* Steps to the next member of an object whose opening brace was read. *first is true before the
 * first step. */
static inline enum json_scan_step
json_scan_member(struct json_scan *s, bool *first, struct json_scan_value *name)
{
	if (json_scan_char(s, '}'))
		return JSON_SCAN_CLOSED;
	if (!*first && !json_scan_char(s, ','))
		return JSON_SCAN_GIVE_UP;
	*first = false;
	if (!json_scan_scalar(s, name) || name->is_number || !json_scan_char(s, ':'))
		return JSON_SCAN_GIVE_UP;
	return JSON_SCAN_MEMBER;
}

static inline bool
json_scan_is(const struct json_scan_value *value, const char *text)
{
	return !value->is_number && value->len == strlen(text) &&
		   memcmp(value->text, text, value->len) == 0;
}

/* 1 to 18 decimal digits, as a number or as a string. */
static inline bool
json_scan_digits(const char *text, size_t len, uint64_t *number)
{
	uint64_t n = 0;

	if (len == 0 || len > 18)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		n = n * 10 + (uint64_t) (text[i] - '0');
	}
	*number = n;
	return true;
}

#endif
