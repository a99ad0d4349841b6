/*
 * tap.h: prints test results in TAP, the Test Anything Protocol. One header, no library.
 *
 *	int
 *	main(void)
 *	{
 *		plan(2);                 (or plan(0): done() prints the count at the end)
 *		ok(1 + 1 == 2, "sums");
 *		is_str(name(), "x", "the name is %s", "x");
 *		return done();
 *	}
 *
 * A property test makes thousands of checks and one result: it uses `check_that`, which stays
 * silent until something fails, and reports with `checked`. Its random numbers come from a fixed
 * seed, which TAP_SEED in the environment replaces, and which is printed with each failure.
 */
#ifndef VA_TEST_TAP_H
#define VA_TEST_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tap
{
	int planned;
	int run;
	int failed;
	int silent_failures; /* of check_that since the last checked() */
	uint64_t seed;
	uint64_t random;
};

static struct tap tap = {.seed = UINT64_C(0x9E3779B97F4A7C15),
						 .random = UINT64_C(0x9E3779B97F4A7C15)};

/* How many results will come; 0 when that is not known beforehand. */
static inline void
plan(int count)
{
	const char *seed = getenv("TAP_SEED");

	setvbuf(stdout, NULL, _IOLBF, 0);
	tap.planned = count;
	if (seed != NULL)
		tap.seed = tap.random = strtoull(seed, NULL, 0) | 1;
	if (count > 0)
		printf("1..%d\n", count);
}

static inline bool tap_result(bool passed, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
static inline bool
tap_result(bool passed, const char *format, va_list args)
{
	tap.run++;
	if (!passed)
		tap.failed++;
	printf("%sok %d - ", passed ? "" : "not ", tap.run);
	vprintf(format, args);
	printf("\n");
	return passed;
}

static inline bool ok(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool
ok(bool passed, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tap_result(passed, format, args);
	va_end(args);
	return passed;
}

static inline bool is_int(int64_t got, int64_t wanted, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static inline bool
is_int(int64_t got, int64_t wanted, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tap_result(got == wanted, format, args);
	va_end(args);
	if (got != wanted)
		printf("#      got: %" PRId64 "\n#   wanted: %" PRId64 "\n", got, wanted);
	return got == wanted;
}

static inline bool is_str(const char *got, const char *wanted, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static inline bool
is_str(const char *got, const char *wanted, const char *format, ...)
{
	bool same = got == wanted || (got != NULL && wanted != NULL && strcmp(got, wanted) == 0);
	va_list args;

	va_start(args, format);
	tap_result(same, format, args);
	va_end(args);
	if (!same)
		printf("#      got: %s\n#   wanted: %s\n", got != NULL ? got : "(null)",
			   wanted != NULL ? wanted : "(null)");
	return same;
}

static inline void diag(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void
diag(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

/* One of many checks of a property: says nothing when it holds, and little when it often fails. */
#define check_that(condition) tap_check((condition), #condition, __FILE__, __LINE__)
static inline bool
tap_check(bool passed, const char *condition, const char *file, int line)
{
	if (!passed && ++tap.silent_failures <= 5)
		diag("%s:%d: does not hold: %s (TAP_SEED=0x%" PRIx64 ")", file, line, condition, tap.seed);
	return passed;
}

/* The result of all check_that since the last one. */
static inline bool checked(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline bool
checked(const char *format, ...)
{
	bool passed = tap.silent_failures == 0;
	va_list args;

	tap.silent_failures = 0;
	va_start(args, format);
	tap_result(passed, format, args);
	va_end(args);
	return passed;
}

/* xorshift64*: the same numbers on every machine. */
static inline uint64_t
tap_random(void)
{
	tap.random ^= tap.random >> 12;
	tap.random ^= tap.random << 25;
	tap.random ^= tap.random >> 27;
	return tap.random * UINT64_C(0x2545F4914F6CDD1D);
}

/* A number below `limit`, which is at least 1. */
static inline size_t
tap_below(size_t limit)
{
	return (size_t) ((tap_random() >> 16) % limit);
}

/* A copy of exactly len bytes on the heap, so that a sanitizer sees a read beyond its end. For len
 * 0 the one byte there is not to be read either, but malloc may not return NULL. */
static inline char *
tap_exact(const void *data, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		abort();
	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

/* Ends the program's output; returns the status for main. */
static inline int
done(void)
{
	if (tap.planned == 0)
		printf("1..%d\n", tap.run);
	else if (tap.planned != tap.run)
		diag("planned %d results, but there were %d", tap.planned, tap.run);
	if (tap.failed > 0)
		diag("%d of %d failed (TAP_SEED=0x%" PRIx64 ")", tap.failed, tap.run, tap.seed);
	return tap.failed > 0 || (tap.planned > 0 && tap.planned != tap.run);
}

#endif
