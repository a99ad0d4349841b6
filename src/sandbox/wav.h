/*
 * wav.h: 16 bit PCM in WAV files, whole or written as a call goes on.
 */
#ifndef VA_SANDBOX_WAV_H
#define VA_SANDBOX_WAV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wav
{
	int16_t *pcm; /* interleaved; to be freed by the owner */
	size_t count; /* samples over all channels */
	unsigned rate;
	unsigned channels;
};

/* Reads bytes of a RIFF/WAVE file with 16 bit PCM. A data chunk that claims more than there is
 * (synthesizers that write to a pipe do that) is cut to what is there. false with the reason. */
bool wav_parse(const uint8_t *data, size_t len, struct wav *out, char *error, size_t size);
bool wav_read(const char *path, struct wav *out, char *error, size_t size);
bool wav_write(const char *path, const int16_t *pcm, size_t count, unsigned channels,
			   unsigned rate);

/* Writes as the samples come; the sizes in the header are set at the end. NULL when the file
 * cannot be made. */
struct wav_writer;
struct wav_writer *wav_writer_open(const char *path, unsigned channels, unsigned rate);
void wav_writer_add(struct wav_writer *w, const int16_t *pcm, size_t count);
void wav_writer_close(struct wav_writer *w);

#endif
