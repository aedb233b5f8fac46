#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    if (code == 0)
        code = EIO;
    if (err) {
        err->code = code;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
    }
    return -code;
}

int err_errno(struct err *err, const char *fmt, ...)
{
    int code = errno ? errno : EIO;
    va_list ap;
    size_t len;

    if (err) {
        err->code = code;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
        len = strlen(err->text);
        snprintf(err->text + len, sizeof(err->text) - len, ": %s", strerror(code));
    }
    return -code;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
    char old[ERR_TEXT_MAX];
    va_list ap;
    size_t len;

    memcpy(old, err->text, sizeof(old));
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    len = strlen(err->text);
    snprintf(err->text + len, sizeof(err->text) - len, ": %.*s", (int)(sizeof(old) - 1), old);
    return -err->code;
}

int err_hint(struct err *err, const char *fmt, ...)
{
    size_t len = strlen(err->text);
    va_list ap;

    if (len + 2 < sizeof(err->text)) {
        err->text[len++] = '\n';
        va_start(ap, fmt);
        vsnprintf(err->text + len, sizeof(err->text) - len, fmt, ap);
        va_end(ap);
    }
    return -err->code;
}
