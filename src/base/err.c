// SPDX-License-Identifier: Apache-2.0
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
    int http_status;
    bool retry;
} table[KVS_ERR_COUNT] = {
    [KVS_ERR_INDEX_NONE] = {"OK", "success", 200, false},
#define KVS_ERROR(name, text, http_status, retry)                                                  \
    [KVS_ERR_INDEX_##name] = {#name, text, http_status, retry},
#include "tables/errors.def"
#undef KVS_ERROR
};

static int index_of(int err)
{
    return err <= 0 && err > -KVS_ERR_COUNT ? -err : KVS_ERR_INDEX_INTERNAL;
}

const char *kvs_err_name(int err)
{
    return table[index_of(err)].name;
}

const char *kvs_err_text(int err)
{
    return table[index_of(err)].text;
}

int kvs_err_http_status(int err)
{
    return table[index_of(err)].http_status;
}

bool kvs_err_retry(int err)
{
    return table[index_of(err)].retry;
}

int kvs_err_from_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return KVS_ERR_NO_SPACE;
    case ENOMEM:
        return KVS_ERR_NOMEM;
    case ENOENT:
        return KVS_ERR_NOT_FOUND;
    default:
        return KVS_ERR_IO;
    }
}

int kvs_fail(struct kvs_message *message, int err, const char *format, ...)
{
    if (message) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(message->text, sizeof(message->text), format, args); // truncation is fine
        va_end(args);
    }
    return err;
}

int kvs_fail_wrap(struct kvs_message *message, int err, const char *format, ...)
{
    if (!message)
        return err;
    struct kvs_message outer = {{0}};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(outer.text, sizeof(outer.text), format, args); // truncation is fine
    va_end(args);
    size_t used = strlen(outer.text);
    (void)snprintf(outer.text + used, sizeof(outer.text) - used, ": %s", message->text);
    *message = outer;
    return err;
}
