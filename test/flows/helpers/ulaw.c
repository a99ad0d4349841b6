/*
 * ulaw.c: a WAV file (16 bit, mono, 8 kHz) as it sounds after a telephone line: encoded to mu-law and
 * back, with a second of silence behind it, and so many milliseconds before it as the argument says.
 * Reads standard input, writes standard output. Tests use it to know, bit for bit, what a caller
 * must hear of a sentence that was made, and when.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/g711.h"

#define HEADER 44 /* of the files that this project writes */
#define BEHIND 8000 /* samples */
#define MOST 600000 /* ms */

static void
grow(uint8_t *at, uint32_t by)
{
	uint32_t size;

	memcpy(&size, at, sizeof(size));
	size += by;
	memcpy(at, &size, sizeof(size));
}

static void
silence(uint32_t samples)
{
	static const int16_t none = 0;

	for (uint32_t i = 0; i < samples; i++)
		fwrite(&none, sizeof(none), 1, stdout);
}

int
main(int argc, char **argv)
{
	unsigned long before = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	uint8_t bytes[HEADER];
	int16_t sample;

	if (before > MOST || fread(bytes, 1, HEADER, stdin) != HEADER)
		return 1;
	before *= 8;
	grow(bytes + 4, (uint32_t) (before + BEHIND) * 2);
	grow(bytes + 40, (uint32_t) (before + BEHIND) * 2);
	fwrite(bytes, 1, HEADER, stdout);
	silence((uint32_t) before);
	while (fread(&sample, sizeof(sample), 1, stdin) == 1)
	{
		sample = g711_decode_one(g711_encode_one(sample));
		fwrite(&sample, sizeof(sample), 1, stdout);
	}
	silence(BEHIND);
	return fflush(stdout) != 0 || ferror(stdout);
}
