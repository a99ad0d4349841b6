/* g711: check values, a reference coder written from the law, and exhaustive round trips. */
#include "core/g711.h"

#include "tap.h"

/* Straight from the definition: find the segment by comparing. */
static uint8_t
reference_encode(int sample)
{
	int sign = sample < 0 ? 0x80 : 0;
	int magnitude = sample < 0 ? -sample : sample;
	int segment = 7;

	if (magnitude > 32635)
		magnitude = 32635;
	magnitude += 132;
	while (segment > 0 && magnitude < (128 << segment))
		segment--;
	return (uint8_t) ~(sign | segment << 4 | ((magnitude >> (segment + 3)) & 15));
}

static int
reference_decode(uint8_t ulaw)
{
	int code = ulaw ^ 0xFF;
	int magnitude = ((2 * (code & 15) + 33) << ((code >> 4) & 7)) - 33;

	return (code & 0x80 ? -magnitude : magnitude) * 4;
}

static void
check_values(void)
{
	static const int decoded[][2] = {{0xFF, 0},		{0x7F, 0},	  {0x00, -32124},
									 {0x80, 32124}, {0xAA, 5372}, {0x2A, -5372},
									 {0xD5, 716},	{0x55, -716}, {0xE7, 260}};
	static const int encoded[][2] = {{0, 0xFF},	   {1, 0xFF},	  {-1, 0x7F},	 {100, 0xF2},
									 {1000, 0xCE}, {-1000, 0x4E}, {32767, 0x80}, {-32768, 0x00}};

	for (size_t i = 0; i < sizeof(decoded) / sizeof(decoded[0]); i++)
		is_int(g711_decode_one((uint8_t) decoded[i][0]), decoded[i][1], "decode 0x%02X",
			   (unsigned) decoded[i][0]);
	for (size_t i = 0; i < sizeof(encoded) / sizeof(encoded[0]); i++)
		is_int(g711_encode_one((int16_t) encoded[i][0]), encoded[i][1], "encode %d", encoded[i][0]);
	is_int(g711_encode_one(0), G711_ULAW_SILENCE, "silence");
}

static void
exhaustive(void)
{
	for (int code = 0; code < 256; code++)
	{
		check_that(g711_decode_one((uint8_t) code) == reference_decode((uint8_t) code));
		/* The law has two zeros; both become the positive one. */
		check_that(g711_encode_one(g711_decode_one((uint8_t) code)) ==
				   (code == 0x7F ? 0xFF : code));
	}
	checked("all 256 codes");

	for (int sample = -32768; sample <= 32767; sample++)
	{
		uint8_t code = g711_encode_one((int16_t) sample);
		int error = abs(g711_decode_one(code) - sample);
		int magnitude = abs(sample);

		check_that(code == reference_encode(sample));
		/* Half a step of the segment, which is a 32nd of the biased magnitude; or the clipping. */
		check_that(error <= (magnitude + 132) / 32 || magnitude > 32635);
		if (sample > -32768)
			check_that(g711_decode_one(code) >=
					   g711_decode_one(g711_encode_one((int16_t) (sample - 1))));
	}
	checked("all 65,536 samples: like the reference, near, and in order");
}

/* Pieces of every length, at every alignment, with nothing to read or write behind them. */
static void
pieces(void)
{
	for (size_t count = 0; count < 70; count++)
	{
		int16_t *pcm = malloc(count * sizeof(*pcm) + 1);
		int16_t *back = malloc(count * sizeof(*back) + 1);
		uint8_t *ulaw = malloc(count + 1);
		uint8_t guard = 0xA5;

		for (size_t i = 0; i < count; i++)
			pcm[i] = (int16_t) tap_random();
		memcpy(ulaw + count, &guard, 1);
		g711_encode(pcm, count, ulaw);
		g711_decode(ulaw, count, back);
		check_that(ulaw[count] == guard);
		for (size_t i = 0; i < count; i++)
		{
			check_that(ulaw[i] == reference_encode(pcm[i]));
			check_that(back[i] == reference_decode(ulaw[i]));
		}
		free(pcm);
		free(back);
		free(ulaw);
	}
	checked("pieces of 0 to 69 samples");
}

int
main(void)
{
	plan(0);
	check_values();
	exhaustive();
	pieces();
	return done();
}
