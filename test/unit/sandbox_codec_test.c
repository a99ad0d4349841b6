/* mu-law against published values, base64 against RFC 4648, both against all inputs. */
#include "sandbox/codec.h"
#include "tap.h"

static bool
decodes(const char *text)
{
	char out[64];

	return codec_base64_decode(out, sizeof(out), text, strlen(text)) >= 0;
}

int
main(void)
{
	static const struct
	{
		uint8_t byte;
		int16_t sample;
	} known[] = {{0xFF, 0},		{0x7F, 0},	 {0x00, -32124}, {0x80, 32124}, {0xAA, 5372},
				 {0x2A, -5372}, {0xD5, 716}, {0x55, -716},	 {0xE7, 260}};
	static const struct
	{
		int16_t sample;
		uint8_t byte;
	} coded[] = {{0, 0xFF},	   {1, 0xFF},	  {-1, 0x7F},	 {100, 0xF2},
				 {1000, 0xCE}, {-1000, 0x4E}, {32767, 0x80}, {-32768, 0x00}};
	bool right = true;
	char text[64], hex[CODEC_SHA256_HEX];
	uint8_t bytes[32];

	plan(12);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		right &= codec_pcm_from_ulaw(known[i].byte) == known[i].sample;
	ok(right, "mu-law decodes to the published values");
	right = true;
	for (size_t i = 0; i < sizeof(coded) / sizeof(coded[0]); i++)
		right &= codec_ulaw_from_pcm(coded[i].sample) == coded[i].byte;
	ok(right, "mu-law encodes to the published values");
	right = true;
	for (int b = 0; b < 256; b++)
		right &= b == 0x7F || codec_ulaw_from_pcm(codec_pcm_from_ulaw((uint8_t) b)) == b;
	ok(right, "every byte but the second zero survives decoding and encoding");
	is_int(codec_base64_encode(text, sizeof(text), "foob", 4), 8, "base64 length");
	is_str(text, "Zm9vYg==", "base64 of \"foob\"");
	is_int(codec_base64_encode(text, 8, "foob", 4), -1, "base64 that does not fit");
	is_int(codec_base64_decode(bytes, sizeof(bytes), "Zm9vYmE=", 8), 5, "decoded length");
	ok(memcmp(bytes, "fooba", 5) == 0, "decoded bytes");
	ok(!decodes("Zm9") && !decodes("Zm9=YmFy") && !decodes("Zm9v Zm9") && !decodes("Zm9vYh=="),
	   "wrong lengths, padding inside, blanks and stray bits are refused");
	is_int(codec_base64_decode(bytes, 4, "Zm9vYmE=", 8), -1, "decoding that does not fit");
	codec_sha256("abc", 3, hex);
	is_str(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256");
	codec_random_sid(text, sizeof(text), "CA");
	is_int(strlen(text), 34, "a SID has 34 characters");
	return done();
}
