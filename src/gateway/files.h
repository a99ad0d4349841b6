/*
 * files.h: downloads of stored files by signed links, GET and HEAD /files/<id>?expires=…&signature=….
 *
 * The database says which file a link opens; here it is read and sent, in pieces and by other threads than
 * the loop's, which carries callers' audio.
 */
#ifndef VA_GATEWAY_FILES_H
#define VA_GATEWAY_FILES_H

#include "gateway/gateway.h"
#include "net/http_server.h"

/* id: the path behind "/files/". */
void files_request(struct gateway *g, struct http_exchange *ex, const struct http_request *req,
				   const char *id);

#endif
