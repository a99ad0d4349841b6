/*
 * key_file.h: the key that encrypts secrets, in a file beside the database and not in it.
 */
#ifndef VA_PG_KEY_FILE_H
#define VA_PG_KEY_FILE_H

#include <stdbool.h>

#define KEY_SIZE 32
#define KEY_ID_SIZE 8

struct va_key
{
	unsigned char bytes[KEY_SIZE]; /* wipe with explicit_bzero after use */
	unsigned char id[KEY_ID_SIZE]; /* tells keys apart, says nothing of the key */
};

/*
 * Reads voiceagent.key of the data directory. Without the file: makes it when `create`, else returns
 * false. A file that is not usable (wrong size, readable by others, no permission) is an error of
 * SQLSTATE VA006.
 */
bool key_load(struct va_key *key, bool create);

#endif
