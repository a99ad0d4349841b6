/*
 * conninfo.h: the first line a child program reads on its stdin: how to reach the database.
 */
#ifndef VA_WORKER_CONNINFO_H
#define VA_WORKER_CONNINFO_H

/* The roles of the programs in the database, made by the extension's script. */
#define GATEWAY_ROLE "voiceagent_gateway"
#define DISPATCHER_ROLE "voiceagent_dispatcher"

/* The line with its newline, palloc'd. program: "gateway" or "dispatcher"; name: of the child, such
 * as "gw-1". It holds the password: never log it. */
extern char *conninfo_config_line(const char *program, const char *role, const char *name,
								  const char *password);

#endif
