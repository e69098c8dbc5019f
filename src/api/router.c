// SPDX-License-Identifier: Apache-2.0
// From method and raw path to a row of the route table. Matching happens before percent-decoding,
// so that "%2F" and an escaped "/history" belong to the key and never to the route.
#include "api/api_internal.h"

#include "base/assert.h"

// A row with an empty scope or permission does not compile: there is no KVS_SCOPE_ to stand for it.
static const struct kvs_route routes[KVS_ROUTE_COUNT] = {
#define KVS_ROUTE(method, pattern, scope, permission, body, audit, feature, handler, summary)      \
    {KVS_HTTP_##method,           pattern,           KVS_SCOPE_##scope,                            \
     KVS_PERMISSION_##permission, KVS_BODY_##body,   "" audit,                                     \
     KVS_FEATURE_##feature,       kvs_api_##handler, "" summary},
#include "tables/routes.def"
#undef KVS_ROUTE
};

static struct kvs_route_shape shape_of(const char *pattern)
{
    struct kvs_route_shape shape = {.head = kvs_slice_from_str(pattern)};
    const char *brace = strchr(pattern, '{');
    if (!brace)
        return shape;
    shape.head.size = (size_t)(brace - pattern);
    if (strcmp(brace, "{prefix}/") == 0) {
        shape.kind = KVS_SHAPE_PREFIX;
        return shape;
    }
    if (strcmp(brace, "{uuid}") == 0 || strcmp(brace, "{hash}") == 0) {
        shape.kind = KVS_SHAPE_SEGMENT;
        return shape;
    }
    bool has_key = strncmp(brace, "{key}", 5) == 0;
    kvs_assert(has_key || strncmp(brace, "{n}", 3) == 0);
    shape.kind = has_key ? KVS_SHAPE_KEY : KVS_SHAPE_NUMBER;
    shape.tail = kvs_slice_from_str(has_key ? brace + 5 : brace);
    const char *number = strstr(shape.tail.data, "{n}");
    if (number) {
        shape.has_number = true;
        shape.tail.size = (size_t)(number - shape.tail.data);
        shape.end = kvs_slice_from_str(number + 3);
    }
    return shape;
}

void kvs_route_shapes_init(struct kvs_route_shape shapes[static KVS_ROUTE_COUNT])
{
    for (size_t i = 0; i < KVS_ROUTE_COUNT; i++) {
        shapes[i] = shape_of(routes[i].pattern);
        struct kvs_slice action = kvs_slice_from_str(routes[i].audit);
        shapes[i].has_action = action.size > 0;
        kvs_assert(action.size == 0 || kvs_audit_action_parse(action, &shapes[i].action));
        shapes[i].has_alias = kvs_slice_starts_with(shapes[i].head, KVS_SLICE("/api/users")) ||
                              kvs_slice_starts_with(shapes[i].head, KVS_SLICE("/api/tokens"));
    }
}

// Cuts `tail` off the end of `text`.
static bool cut_tail(struct kvs_slice *text, struct kvs_slice tail)
{
    if (!kvs_slice_ends_with(*text, tail))
        return false;
    text->size -= tail.size;
    return true;
}

// Cuts the last segment (not empty, without its '/') off the end of `text`.
static bool cut_segment(struct kvs_slice *text, struct kvs_slice *ret_segment)
{
    size_t start = text->size;
    while (start > 0 && text->data[start - 1] != '/')
        start--;
    *ret_segment = kvs_slice(text->data + start, text->size - start);
    text->size = start;
    return ret_segment->size > 0;
}

static const struct kvs_slice alias = {"/auth", 5};

static struct kvs_slice behind(struct kvs_slice text, size_t size)
{
    return kvs_slice(text.data + size, text.size - size);
}

static bool shape_matches(const struct kvs_route_shape *shape, struct kvs_slice path,
                          struct kvs_route_match *match)
{
    struct kvs_slice head = shape->head;
    if (shape->has_alias && kvs_slice_starts_with(path, alias)) {
        path = behind(path, alias.size);
        head = behind(head, sizeof("/api") - 1);
    }
    if (shape->kind == KVS_SHAPE_EXACT)
        return kvs_slice_eq(path, head);
    if (!kvs_slice_starts_with(path, head))
        return false;
    match->rest = behind(path, head.size);
    if (shape->kind == KVS_SHAPE_SEGMENT) {
        match->id = match->rest;
        return match->id.size > 0 && !memchr(match->id.data, '/', match->id.size);
    }
    if (shape->kind == KVS_SHAPE_PREFIX) {
        match->what = KVS_MATCH_PREFIX;
        return match->rest.size == 0 || kvs_slice_ends_with(match->rest, KVS_SLICE("/"));
    }
    if (shape->kind == KVS_SHAPE_KEY)
        match->what = KVS_MATCH_KEY;
    if (shape->has_number &&
        (!cut_tail(&match->rest, shape->end) || !cut_segment(&match->rest, &match->number)))
        return false;
    // A number stands directly behind the head: what is left of the path is the head's '/' alone.
    return shape->kind == KVS_SHAPE_NUMBER ? match->rest.size == 0
                                           : cut_tail(&match->rest, shape->tail);
}

static bool feature_is_on(const struct kvs_api *api, enum kvs_route_feature feature)
{
    switch (feature) {
    case KVS_FEATURE_HISTORY:
        return api->options.revision_history_enabled;
    case KVS_FEATURE_METRICS:
        return api->options.metrics_enabled && api->options.metrics;
    case KVS_FEATURE_AUDIT:
        return api->options.audit;
    case KVS_FEATURE_CLUSTER:
        return api->options.peer_auth;
    case KVS_FEATURE_AUTH:
        return api->options.auth != NULL;
    case KVS_FEATURE_BACKUPS:
        return api->options.backups != NULL;
    case KVS_FEATURE_ALWAYS:
        break;
    }
    return true;
}

struct kvs_route_match kvs_route_find(const struct kvs_api *api, enum kvs_http_method method,
                                      struct kvs_slice path)
{
    if (method == KVS_HTTP_HEAD)
        method = KVS_HTTP_GET;
    unsigned allowed = 0;
    enum kvs_route_feature off = KVS_FEATURE_ALWAYS;
    for (size_t i = 0; i < KVS_ROUTE_COUNT; i++) {
        struct kvs_route_match match = {.route = &routes[i],
                                        .has_action = api->shapes[i].has_action,
                                        .action = api->shapes[i].action};
        if (!shape_matches(&api->shapes[i], path, &match))
            continue;
        if (!feature_is_on(api, routes[i].feature)) {
            off = routes[i].feature;
            continue;
        }
        if (routes[i].method == method)
            return match;
        allowed |= 1U << routes[i].method;
    }
    return (struct kvs_route_match){.allowed = allowed, .off = off};
}
