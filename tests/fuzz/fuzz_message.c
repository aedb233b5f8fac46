/* Messages between coordinator and workers: any stream of bytes is frames or an error. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "extract/protocol.h"
#include "fuzz.h"

static void take(struct msg *m)
{
    struct reader a = m->body, b = m->body, c = m->body, d = m->body;
    struct msg_config config = {0};
    struct msg_chunk chunk = {0};
    struct msg_answer answer = {0};
    struct err why;

    msg_get_config(&a, &config);
    msg_get_chunk(&b, &chunk);
    msg_get_answer(&c, &answer);
    child_get_lost(&d, &why);
    msg_config_free(&config);
    msg_chunk_free(&chunk);
    msg_answer_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct msg_conn conn;
    struct err err = {0};
    struct msg m;
    int pair[2], rc = 0;

    if (size > 32768 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 0;
    if (size && write(pair[0], data, size) != (ssize_t)size)
        abort();
    close(pair[0]);
    msg_conn_init(&conn, pair[1]);
    while (rc >= 0 && msg_receive(&conn, &err) > 0)
        while ((rc = msg_next(&conn, &m, &err)) > 0)
            take(&m);
    msg_conn_free(&conn);
    close(pair[1]);
    return 0;
}
