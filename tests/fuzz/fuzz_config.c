// SPDX-License-Identifier: Apache-2.0
// A configuration file; behind the first NUL, a list of environment variables with a NUL after
// each. Whatever is refused has a message; whatever is accepted prints as a configuration that
// means the same.
#include "base/assert.h"
#include "config/config.h"

enum { VARIABLES_MAX = 8, OUTPUT_MAX = 8 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_secret(void *context, const struct kvs_option *option, const char *old_text,
                          const char *new_text)
{
    (void)context;
    (void)old_text;
    (void)new_text;
    kvs_assert(kvs_option_is_secret(option)); // left out below
}

// Copies the lines of `text` but those of secrets, which are masked and so would be refused.
static void append_without_secrets(struct kvs_buf *out, struct kvs_slice text)
{
    while (text.size > 0) {
        const char *end = memchr(text.data, '\n', text.size);
        kvs_assert(end != NULL);
        struct kvs_slice line = kvs_slice(text.data, (size_t)(end - text.data) + 1);
        if (!kvs_slice_starts_with(line, KVS_SLICE("cluster_secret")))
            kvs_buf_append_slice(out, line);
        text = kvs_slice(end + 1, text.size - line.size);
    }
}

static void print_and_parse_again(const struct kvs_config *config)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf printed = KVS_BUF_INIT(OUTPUT_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(OUTPUT_MAX);
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *again = NULL;
    kvs_config_print(config, &printed);
    append_without_secrets(&text, kvs_buf_slice(&printed));
    kvs_assert(printed.err == 0);
    kvs_assert(text.err == 0);
    kvs_assert(kvs_config_parse(kvs_buf_slice(&text), "/f/n.yaml", NULL, &again, NULL) == 0);
    kvs_assert(kvs_config_reload_diff(config, again, expect_secret, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *env[VARIABLES_MAX + 1] = {0};
    KVS_CLEANUP(kvs_freep) char *copy = malloc(size + 1);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    copy[size] = '\0';
    size_t text_size = strlen(copy);
    char *variable = copy + text_size + 1;
    for (size_t i = 0; i < VARIABLES_MAX && variable < copy + size; i++) {
        env[i] = variable;
        variable += strlen(variable) + 1;
    }
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    struct kvs_message message = {{0}};
    if (kvs_config_parse(kvs_slice(copy, text_size), "/f/n.yaml", env, &config, &message) < 0)
        kvs_assert(message.text[0] != '\0');
    else
        print_and_parse_again(config);
    return 0;
}
