// SPDX-License-Identifier: Apache-2.0
// A walk over libyaml's events. Each step asks for one event and says what may stand there.
#include "config/yaml.h"

#include <yaml.h>

enum { LIST_ITEMS_MAX = 1024 };

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; // the current one, owned; type YAML_NO_EVENT when there is none
    const char *name;
    struct kvs_message *ret_message;
};

static int fail_at(struct reader *reader, yaml_mark_t mark, const char *problem)
{
    return kvs_fail(reader->ret_message, KVS_ERR_INVALID, "%s:%zu:%zu: %s", reader->name,
                    mark.line + 1, mark.column + 1, problem);
}

static int fail_here(struct reader *reader, const char *problem)
{
    return fail_at(reader, reader->event.start_mark, problem);
}

static int fail_parser(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return kvs_fail(reader->ret_message, KVS_ERR_NOMEM, "%s: out of memory", reader->name);
    if (parser->error == YAML_READER_ERROR)
        return kvs_fail(reader->ret_message, KVS_ERR_INVALID, "%s: not YAML: %s at byte %zu",
                        reader->name, parser->problem, parser->problem_offset);
    const char *hint = parser->error == YAML_SCANNER_ERROR
                           ? "; a value that begins with one of @ * & ! % needs quotes, and tabs "
                             "cannot indent"
                           : "";
    return kvs_fail(reader->ret_message, KVS_ERR_INVALID, "%s:%zu:%zu: not valid YAML: %s%s%s%s",
                    reader->name, parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                    parser->context ? parser->context : "", parser->context ? ", " : "",
                    parser->problem, hint);
}

static const char *tag_or_anchor_problem(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return "aliases (*name) are not supported; a value that begins with * needs quotes";
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    return anchor ? "anchors (&name) are not supported"
           : tag  ? "tags (!type) are not supported"
                  : NULL;
}

static int next(struct reader *reader)
{
    yaml_event_delete(&reader->event);
    if (!yaml_parser_parse(&reader->parser, &reader->event)) {
        memset(&reader->event, 0, sizeof(reader->event));
        return fail_parser(reader);
    }
    const char *problem = tag_or_anchor_problem(&reader->event);
    return problem ? fail_here(reader, problem) : 0;
}

static struct kvs_slice scalar_of(const yaml_event_t *event)
{
    return kvs_slice(event->data.scalar.value, event->data.scalar.length);
}

static void set_mark(yaml_mark_t mark, uint32_t *ret_line, uint32_t *ret_column)
{
    *ret_line = (uint32_t)mark.line + 1; // the file is smaller than 2^32
    *ret_column = (uint32_t)mark.column + 1;
}

// The items of a list stay in `events` until the visitor has seen them.
struct list {
    yaml_event_t events[LIST_ITEMS_MAX];
    struct kvs_slice items[LIST_ITEMS_MAX];
    size_t count;
};

static int read_items(struct reader *reader, struct list *list)
{
    for (;;) {
        int err = next(reader);
        if (err < 0)
            return err;
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            return 0;
        if (reader->event.type != YAML_SCALAR_EVENT)
            return fail_here(reader, "a list may hold only single values");
        if (reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
            reader->event.data.scalar.length == 0)
            return fail_here(reader, "an item without a value");
        if (list->count == LIST_ITEMS_MAX)
            return fail_here(reader, "too many items in this list");
        list->events[list->count] = reader->event;
        memset(&reader->event, 0, sizeof(reader->event));
        list->items[list->count] = scalar_of(&list->events[list->count]);
        list->count++;
    }
}

static int visit_list(struct reader *reader, struct kvs_yaml_pair *pair, kvs_yaml_visitor *visit,
                      void *context)
{
    struct list *list = calloc(1, sizeof(*list));
    if (!list)
        return kvs_fail(reader->ret_message, KVS_ERR_NOMEM, "%s: out of memory", reader->name);
    int err = read_items(reader, list);
    if (err == 0) {
        pair->value = (struct kvs_value){KVS_VALUE_LIST, list->items, list->count};
        err = visit(context, pair, reader->ret_message);
    }
    for (size_t i = 0; i < list->count; i++)
        yaml_event_delete(&list->events[i]);
    free(list);
    return err;
}

static int visit_value(struct reader *reader, struct kvs_yaml_pair *pair, kvs_yaml_visitor *visit,
                       void *context)
{
    set_mark(reader->event.start_mark, &pair->value_line, &pair->value_column);
    if (reader->event.type == YAML_SEQUENCE_START_EVENT)
        return visit_list(reader, pair, visit, context);
    if (reader->event.type != YAML_SCALAR_EVENT)
        return kvs_fail(reader->ret_message, KVS_ERR_INVALID,
                        "%s:%u:%u: %.*s: keys below a key are not allowed", reader->name,
                        pair->value_line, pair->value_column,
                        pair->key.size < 64 ? (int)pair->key.size : 64, pair->key.data);
    struct kvs_slice item = scalar_of(&reader->event);
    bool plain = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    pair->value = (struct kvs_value){plain ? KVS_VALUE_PLAIN : KVS_VALUE_QUOTED, &item, 1};
    return visit(context, pair, reader->ret_message);
}

// From behind the mapping's start to its end.
static int read_pairs(struct reader *reader, kvs_yaml_visitor *visit, void *context)
{
    for (;;) {
        int err = next(reader);
        if (err < 0)
            return err;
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return 0;
        if (reader->event.type != YAML_SCALAR_EVENT)
            return fail_here(reader, "a key must be a single word");
        yaml_event_t key = reader->event;
        memset(&reader->event, 0, sizeof(reader->event));
        struct kvs_yaml_pair pair = {.key = scalar_of(&key)};
        set_mark(key.start_mark, &pair.key_line, &pair.key_column);
        err = next(reader);
        if (err == 0)
            err = visit_value(reader, &pair, visit, context);
        yaml_event_delete(&key);
        if (err < 0)
            return err;
    }
}

static bool is_empty_document(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0 &&
           event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int read_stream(struct reader *reader, kvs_yaml_visitor *visit, void *context)
{
    int err = next(reader); // start of the stream
    if (err == 0)
        err = next(reader);
    if (err < 0 || reader->event.type == YAML_STREAM_END_EVENT)
        return err;
    err = next(reader); // behind the start of the document
    if (err < 0)
        return err;
    if (reader->event.type == YAML_MAPPING_START_EVENT)
        err = read_pairs(reader, visit, context);
    else if (!is_empty_document(&reader->event))
        err = fail_here(reader, "expected lines of `key: value`");
    if (err == 0)
        err = next(reader); // end of the document
    if (err == 0)
        err = next(reader);
    if (err == 0 && reader->event.type != YAML_STREAM_END_EVENT)
        err = fail_here(reader, "a second document (---) is not allowed");
    return err;
}

int kvs_yaml_read(struct kvs_slice text, const char *name, kvs_yaml_visitor *visit, void *context,
                  struct kvs_message *ret_message)
{
    struct reader reader = {.name = name, .ret_message = ret_message};
    if (!yaml_parser_initialize(&reader.parser))
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "%s: out of memory", name);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser,
                                 (const unsigned char *)(text.data ? text.data : ""), text.size);
    int err = read_stream(&reader, visit, context);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    return err;
}
