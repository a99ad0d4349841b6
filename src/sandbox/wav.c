/*
 * wav.c: reads and writes 16 bit PCM WAV files.
 *
 * The reader walks the chunks, since synthesizers put others before the data; the writer puts the
 * plain 44 byte header, which every player knows.
 */
#include "sandbox/wav.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE 44

struct wav_writer
{
	FILE *file;
	unsigned channels;
	unsigned rate;
	uint64_t bytes;
};

static uint32_t
le32(const uint8_t *p)
{
	return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static uint16_t
le16(const uint8_t *p)
{
	return (uint16_t) (p[0] | p[1] << 8);
}

static bool
fail(char *error, size_t size, const char *why)
{
	snprintf(error, size, "%s", why);
	return false;
}

static bool
take_data(const uint8_t *data, size_t len, struct wav *out, char *error, size_t size)
{
	out->count = len / 2;
	out->pcm = malloc(len + 2);
	if (!out->pcm)
		return fail(error, size, "out of memory");
	for (size_t i = 0; i < out->count; i++)
		out->pcm[i] = (int16_t) le16(data + 2 * i);
	return true;
}

bool
wav_parse(const uint8_t *data, size_t len, struct wav *out, char *error, size_t size)
{
	size_t at = 12;
	bool have_format = false;

	memset(out, 0, sizeof(*out));
	if (len < 12 || memcmp(data, "RIFF", 4) != 0 || memcmp(data + 8, "WAVE", 4) != 0)
		return fail(error, size, "not a WAV file");
	while (at + 8 <= len)
	{
		size_t chunk = le32(data + at + 4);
		size_t there = len - at - 8;

		if (memcmp(data + at, "fmt ", 4) == 0 && chunk >= 16 && chunk <= there)
		{
			const uint8_t *f = data + at + 8;

			if (le16(f) != 1 || le16(f + 14) != 16)
				return fail(error, size, "not 16 bit PCM");
			out->channels = le16(f + 2);
			out->rate = le32(f + 4);
			have_format = out->channels >= 1 && out->rate >= 1000 && out->rate <= 192000;
		}
		else if (memcmp(data + at, "data", 4) == 0)
		{
			if (!have_format)
				return fail(error, size, "no usable format before the data");
			return take_data(data + at + 8, chunk < there ? chunk : there, out, error, size);
		}
		if (chunk > there)
			break;
		at += 8 + chunk + (chunk & 1);
	}
	return fail(error, size, "no data in the WAV file");
}

bool
wav_read(const char *path, struct wav *out, char *error, size_t size)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *data = NULL;
	size_t len = 0, room = 0, got;
	bool ok;

	memset(out, 0, sizeof(*out));
	if (!f)
		return fail(error, size, "cannot be opened");
	do
	{
		if (len + 65536 > room)
		{
			uint8_t *more = realloc(data, room = room * 2 + 65536);

			if (!more)
				break;
			data = more;
		}
		got = fread(data + len, 1, 65536, f);
		len += got;
	} while (got > 0);
	fclose(f);
	ok = data && wav_parse(data, len, out, error, size);
	free(data);
	return ok;
}

static void
put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t) (v >> (8 * i));
}

static void
make_header(uint8_t h[HEADER_SIZE], unsigned channels, unsigned rate, uint64_t bytes)
{
	uint32_t size = bytes > UINT32_MAX - 64 ? UINT32_MAX - 64 : (uint32_t) bytes;

	memcpy(h, "RIFF....WAVEfmt ", 16);
	put32(h + 4, size + 36);
	put32(h + 16, 16);
	put32(h + 20, 1 | channels << 16);
	put32(h + 24, rate);
	put32(h + 28, rate * channels * 2);
	put32(h + 32, channels * 2 | 16u << 16);
	memcpy(h + 36, "data", 4);
	put32(h + 40, size);
}

struct wav_writer *
wav_writer_open(const char *path, unsigned channels, unsigned rate)
{
	struct wav_writer *w = calloc(1, sizeof(*w));
	uint8_t header[HEADER_SIZE];

	if (!w)
		return NULL;
	w->file = fopen(path, "wbe");
	w->channels = channels;
	w->rate = rate;
	make_header(header, channels, rate, 0);
	if (!w->file || fwrite(header, 1, sizeof(header), w->file) != sizeof(header))
	{
		if (w->file)
			fclose(w->file);
		free(w);
		return NULL;
	}
	return w;
}

void
wav_writer_add(struct wav_writer *w, const int16_t *pcm, size_t count)
{
	if (!w)
		return;
	for (size_t done = 0; done < count;)
	{
		uint8_t bytes[1024] = {0};
		size_t part = count - done < 512 ? count - done : 512;

		for (size_t i = 0; i < part; i++)
		{
			bytes[2 * i] = (uint8_t) pcm[done + i];
			bytes[2 * i + 1] = (uint8_t) ((uint16_t) pcm[done + i] >> 8);
		}
		w->bytes += fwrite(bytes, 1, 2 * part, w->file);
		done += part;
	}
}

void
wav_writer_close(struct wav_writer *w)
{
	uint8_t header[HEADER_SIZE];

	if (!w)
		return;
	make_header(header, w->channels, w->rate, w->bytes);
	if (fseek(w->file, 0, SEEK_SET) == 0)
		(void) !fwrite(header, 1, sizeof(header), w->file);
	fclose(w->file);
	free(w);
}

bool
wav_write(const char *path, const int16_t *pcm, size_t count, unsigned channels, unsigned rate)
{
	struct wav_writer *w = wav_writer_open(path, channels, rate);
	bool ok;

	if (!w)
		return false;
	wav_writer_add(w, pcm, count);
	ok = w->bytes == count * 2;
	wav_writer_close(w);
	return ok;
}
