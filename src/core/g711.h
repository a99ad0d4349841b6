/*
 * g711.h: mu-law, the audio of the telephone (ITU-T G.711), to and from 16 bit linear samples.
 *
 * Written for speed: this runs for every 20 ms of every call. Samples are native-endian int16_t;
 * the byte order of a wire is the caller's concern (all ours are little-endian).
 */
#ifndef VA_CORE_G711_H
#define VA_CORE_G711_H

#include <stddef.h>
#include <stdint.h>

#define G711_ULAW_SILENCE 0xFF

/* One output element per input element; the buffers must not overlap. */
void g711_decode(const uint8_t *ulaw, size_t count, int16_t *pcm);
void g711_encode(const int16_t *pcm, size_t count, uint8_t *ulaw);
int16_t g711_decode_one(uint8_t ulaw);
uint8_t g711_encode_one(int16_t sample);

#endif
