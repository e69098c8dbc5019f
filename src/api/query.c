// SPDX-License-Identifier: Apache-2.0
// Query parameters, strictly: a typo is told, never ignored.
#include "api/api_internal.h"

#include "base/duration.h"

#include <stdio.h>

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000, SHOWN_MAX = 64, NS_PER_MS = 1000 * 1000 };

// As much of a client's text as belongs into a message.
static struct kvs_slice shown(struct kvs_slice text)
{
    return kvs_slice(text.data, text.size < SHOWN_MAX ? text.size : SHOWN_MAX);
}

static struct kvs_slice cut_until(struct kvs_slice *rest, char separator)
{
    const char *at = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    struct kvs_slice head = kvs_slice(rest->data, at ? (size_t)(at - rest->data) : rest->size);
    size_t cut = head.size + (at ? 1 : 0);
    *rest = kvs_slice(rest->data + cut, rest->size - cut);
    return head;
}

static int fail_unknown(struct kvs_api_call *call, struct kvs_slice name,
                        const struct kvs_api_param *params, size_t param_count)
{
    char known[256];
    size_t used = 0;
    for (size_t i = 0; i < param_count && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used > 0 ? ", " : "",
                                 params[i].name);
    if (param_count == 0)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "Unknown query parameter \"%.*s\": this route takes none.",
                            KVS_SLICE_FMT(shown(name)));
    return kvs_api_fail(call, KVS_ERR_INVALID,
                        "Unknown query parameter \"%.*s\": this route takes %s.",
                        KVS_SLICE_FMT(shown(name)), known);
}

static int take_pair(struct kvs_api_call *call, struct kvs_slice pair, struct kvs_api_param *params,
                     size_t param_count)
{
    struct kvs_arena *arena = &call->exchange->arena;
    struct kvs_slice raw_name = cut_until(&pair, '=');
    struct kvs_slice name = KVS_SLICE_EMPTY;
    struct kvs_slice value = KVS_SLICE_EMPTY;
    int err = kvs_percent_decode(arena, raw_name, &name);
    if (!err)
        err = kvs_percent_decode(arena, pair, &value);
    if (err == KVS_ERR_INVALID)
        return kvs_api_fail(call, err, "The query parameter \"%.*s\" has a broken percent-escape.",
                            KVS_SLICE_FMT(shown(raw_name)));
    if (err)
        return err;
    for (size_t i = 0; i < param_count; i++) {
        if (!kvs_slice_eq(name, kvs_slice_from_str(params[i].name)))
            continue;
        if (params[i].found)
            return kvs_api_fail(call, KVS_ERR_INVALID, "The query parameter \"%s\" is given twice.",
                                params[i].name);
        params[i].found = true;
        params[i].value = value;
        return 0;
    }
    return fail_unknown(call, name, params, param_count);
}

int kvs_api_query(struct kvs_api_call *call, struct kvs_api_param *params, size_t param_count)
{
    struct kvs_slice rest = call->exchange->request.query;
    while (rest.size > 0) {
        struct kvs_slice pair = cut_until(&rest, '&');
        if (pair.size == 0)
            continue;
        int err = take_pair(call, pair, params, param_count);
        if (err)
            return err;
    }
    return 0;
}

int kvs_api_param_bool(struct kvs_api_call *call, const struct kvs_api_param *param,
                       bool *ret_value)
{
    *ret_value =
        kvs_slice_eq(param->value, KVS_SLICE("1")) || kvs_slice_eq(param->value, KVS_SLICE("true"));
    if (!param->found || *ret_value || kvs_slice_eq(param->value, KVS_SLICE("0")) ||
        kvs_slice_eq(param->value, KVS_SLICE("false")))
        return 0;
    return kvs_api_fail(call, KVS_ERR_INVALID, "%s must be 1, true, 0 or false.", param->name);
}

int kvs_api_param_limit(struct kvs_api_call *call, const struct kvs_api_param *param,
                        uint32_t *ret_limit)
{
    uint64_t limit = LIMIT_DEFAULT;
    if (param->found && (!kvs_slice_to_u64(param->value, &limit) || limit < 1 || limit > LIMIT_MAX))
        return kvs_api_fail(call, KVS_ERR_INVALID, "%s must be a number from 1 to %d.", param->name,
                            LIMIT_MAX);
    *ret_limit = (uint32_t)limit;
    return 0;
}

int kvs_api_parse_ttl(struct kvs_api_call *call, const char *where, struct kvs_slice text,
                      int64_t *ret_ttl_ms)
{
    int64_t ns = 0;
    if (text.size > 0 && kvs_duration_parse(text, &ns) != 0)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "%s \"%.*s\" is not a duration such as \"90s\", \"1h30m\" or \"250ms\" "
                            "(\"0\" = none, at most 292 years).",
                            where, KVS_SLICE_FMT(shown(text)));
    if (ns < 0)
        return kvs_api_fail(call, KVS_ERR_INVALID, "%s \"%.*s\" is negative.", where,
                            KVS_SLICE_FMT(shown(text)));
    *ret_ttl_ms = ns / NS_PER_MS + (ns % NS_PER_MS > 0 ? 1 : 0);
    return 0;
}
